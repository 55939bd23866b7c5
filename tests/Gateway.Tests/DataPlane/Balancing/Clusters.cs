using System.Globalization;
using Gateway.Catalog;
using Gateway.DataPlane.Balancing;
using Gateway.Planning;

namespace Gateway.Tests.DataPlane.Balancing;

/// <summary>Plans and habits shared by the tests of balancing and health.</summary>
internal static class Clusters
{
    public static DestinationPlan Destination(
        string id, int weight = 1, ReportedHealth reported = ReportedHealth.Passing, string address = "10.0.0.1", int? port = null) => new()
        {
            Instance = new InstanceKey("n", id),
            Address = address,
            Port = port ?? 1000 + (id.Length == 0 ? 0 : id[0]),
            Weight = weight,
            Reported = reported,
        };

    public static ClusterPlan Plan(params DestinationPlan[] destinations) => new()
    {
        Id = "web@production",
        Service = "web",
        Environment = "production",
        Destinations = destinations.OrderBy(one => one.Instance).ToEquatableArray(),
    };

    public static ClusterPlan Numbered(int count) =>
        Plan([.. Enumerable.Range(0, count).Select(i => Destination(i.ToString("d5", CultureInfo.InvariantCulture), port: 1000 + i))]);

    public static DestinationState Of(this ClusterState cluster, string id) =>
        cluster.Destinations.Single(one => one.Plan.Instance.ServiceId == id);

    public static string? PickId(this ClusterState cluster, params DestinationState[] tried) =>
        cluster.Pick(tried)?.Plan.Instance.ServiceId;

    /// <summary>How often each is picked; nothing stays in flight.</summary>
    public static Dictionary<string, int> Count(this ClusterState cluster, int picks)
    {
        Dictionary<string, int> counts = [];
        for (int i = 0; i < picks; i++)
        {
            string id = cluster.PickId() ?? "nobody";
            counts[id] = counts.GetValueOrDefault(id) + 1;
        }

        return counts;
    }
}
