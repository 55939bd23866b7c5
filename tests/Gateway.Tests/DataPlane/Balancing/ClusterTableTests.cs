using Gateway.DataPlane.Balancing;
using Gateway.Planning;
using static Gateway.Tests.DataPlane.Balancing.Clusters;

namespace Gateway.Tests.DataPlane.Balancing;

public sealed class ClusterTableTests
{
    [Fact]
    public void Published_clusters_are_found_until_they_retire()
    {
        ClusterTable table = new();
        ClusterPlan b = Numbered(2) with { Id = "b@production" };
        ClusterPlan a = Numbered(1) with { Id = "a@production" };
        table.Publish([b, a], []);

        Assert.Equal(["a@production", "b@production"], table.Clusters.Select(cluster => cluster.Plan.Id));
        Assert.Equal(2, table.Find("b@production")!.UsableCount);
        Assert.Null(table.Find("B@production"));

        table.Retire([a]);
        Assert.Null(table.Find("a@production"));
        Assert.Single(table.Clusters);
    }

    [Fact]
    public void A_changed_cluster_stays_the_same_object_and_its_neighbors_are_not_touched()
    {
        ClusterTable table = new();
        ClusterPlan[] plans = [.. Enumerable.Range(0, 100).Select(i => Numbered(2) with { Id = $"s{i}@production" })];
        table.Publish(plans, []);
        ClusterState[] before = [.. table.Clusters];
        ClusterPlan changed = plans[7] with { Balance = BalanceAlgorithm.LeastConn };
        table.Publish([], [new Change<ClusterPlan>(plans[7], changed)]);

        Assert.Equal(before, table.Clusters);
        Assert.Same(changed, table.Find("s7@production")!.Plan);
        Assert.All(plans.Where(plan => plan != plans[7]), plan => Assert.Same(plan, table.Find(plan.Id)!.Plan));
    }

    [Fact]
    public void A_retired_cluster_still_serves_who_holds_it()
    {
        ClusterTable table = new();
        ClusterPlan plan = Numbered(1);
        table.Publish([plan], []);
        ClusterState held = table.Find(plan.Id)!;
        table.Retire([plan]);

        DestinationState one = held.Pick([])!;
        one.Begin();
        one.End();
        Assert.Equal(1, one.Requests);
    }
}
