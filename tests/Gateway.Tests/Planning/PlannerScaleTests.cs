using System.Globalization;
using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.Tests.Planning;

/// <summary>Large inputs: what is derived again and what is not. How long it takes is the benchmark's question.</summary>
public sealed class PlannerScaleTests
{
    private const int Count = 10_000;

    [Fact]
    public void A_change_to_one_of_ten_thousand_services_touches_only_that_one()
    {
        Planner planner = new();
        CatalogSnapshot before = CatalogSnapshot.Of(Enumerable.Range(0, Count).SelectMany(s => Enumerable.Range(0, 3).Select(i => At(s, i))));
        Plan old = planner.Plan(new PlanInput { Catalogs = [before] });

        Assert.Equal(Count + 1_000, old.Listeners.Count);
        Assert.Equal(old.Listeners.Count, old.Clusters.Count);
        Assert.Empty(old.Problems);

        Service changed = before.Services["service-04711"];
        changed = changed with { Instances = [.. changed.Instances.Skip(1), At(4711, 9)] };
        CatalogSnapshot after = before with { Services = before.Services.SetItem(changed.Name, changed) };
        Plan @new = planner.Plan(new PlanInput { Catalogs = [after], Present = old.Listeners, PresentRoutes = old.Routes });

        int others = 0;
        foreach ((ClusterPlan was, ClusterPlan now) in old.Clusters.Zip(@new.Clusters))
        {
            others += ReferenceEquals(was, now) ? 1 : 0;
        }

        Assert.Equal(old.Clusters.Count - 1, others);
        Assert.All(old.Listeners.Zip(@new.Listeners), p => Assert.Same(p.First, p.Second));
        Assert.All(old.Routes.Zip(@new.Routes), p => Assert.Same(p.First, p.Second));
        Assert.Equal(
            """
            + destination n3/service-04711-9 10.0.18.103:31009 unchecked weight=1 of service-04711@production
            - destination n0/service-04711-0 10.0.18.103:31000 unchecked weight=1 of service-04711@production

            """,
            PlanText.RenderDiff(PlanDiff.Between(old, @new)),
            ignoreLineEndingDifferences: true);

        // Within the changed cluster the destinations that stay are the same objects too.
        ClusterPlan oldCluster = old.Clusters.Single(c => c.Id == "service-04711@production");
        ClusterPlan newCluster = @new.Clusters.Single(c => c.Id == "service-04711@production");
        Assert.Same(oldCluster.Destinations[1], newCluster.Destinations[0]);
        Assert.Same(oldCluster.Destinations[2], newCluster.Destinations[1]);
    }

    [Fact]
    public void Other_options_with_the_same_outcome_keep_the_objects()
    {
        Planner planner = new();
        CatalogSnapshot catalog = CatalogSnapshot.Of(Enumerable.Range(0, 20).Select(s => At(s, 0)));
        Plan old = planner.Plan(new PlanInput { Catalogs = [catalog] });
        PlanningOptions tuned = new() { Services = [new("service-00007", "production", [new("balance", "leastconn", "gateway.yaml:1:1")])] };
        Plan @new = planner.Plan(new PlanInput { Catalogs = [catalog], Options = tuned });
        PlanDiff diff = PlanDiff.Between(old, @new);
        Assert.Equal("service-00007@production", Assert.Single(diff.ClustersChanged).New.Id);
        Assert.Equal(1, old.Clusters.Zip(@new.Clusters).Count(p => !ReferenceEquals(p.First, p.Second)));
        Assert.All(old.Listeners.Zip(@new.Listeners), p => Assert.Same(p.First, p.Second));
    }

    [Fact]
    public void Ten_thousand_tags_on_one_service_are_read_like_three()
    {
        string[] tags = [.. Enumerable.Range(0, 10_000).Select(i => (i % 4) switch
        {
            0 => string.Create(CultureInfo.InvariantCulture, $"internal-listen-http-{20_000 + i}"),
            1 => string.Create(CultureInfo.InvariantCulture, $"version-{i}"),
            2 => string.Create(CultureInfo.InvariantCulture, $"internal-listen-http-0{i}"),
            _ => "production",
        })];
        Instance crowded = At(1, 0) with { Service = "crowded", Tags = tags.ToEquatableArray() };
        Planner planner = new();
        Plan plan = planner.Plan(new PlanInput { Catalogs = [CatalogSnapshot.Of([crowded, At(3, 0)])] });
        Assert.Equal(2_500, plan.Listeners.Count(l => l.Service == "crowded"));
        Assert.Equal(2_500, plan.Problems.Count);
        Assert.Single(plan.Clusters, c => c.Service == "crowded");
        Assert.Contains(plan.Listeners, l => l.Service == "service-00003" && l.Environment == "production");
    }

    [Fact]
    public void A_name_of_four_kilobytes_is_a_name()
    {
        string name = new('n', 4096);
        Plan plan = new Planner().Plan(new PlanInput { Catalogs = [CatalogSnapshot.Of([At(1, 0) with { Service = name }])] });
        Assert.Contains(plan.Clusters, c => c.Id == name + "@production" && c.Destinations.Count == 1);
        Assert.Empty(plan.Problems);
    }

    // The first thousand have a staging port (12000-12999) that is nobody's production port; of the others it is impossible.
    private static int Port(int service) => service < 1_000 ? 2_000 + service : 20_000 + (service * 4);

    private static Instance At(int service, int instance) => new()
    {
        Service = $"service-{service:D5}",
        Node = $"n{instance % 6}",
        ServiceId = $"service-{service:D5}-{instance}",
        Address = $"10.0.{service >> 8}.{service & 255}",
        Port = 31_000 + instance,
        Tags = [$"internal-listen-http-{Port(service)}", "production", "v1"],
    };
}
