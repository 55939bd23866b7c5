using BenchmarkDotNet.Attributes;
using Gateway.Catalog;
using Gateway.DataPlane.Balancing;
using Gateway.Planning;

namespace Gateway.Benchmarks;

/// <summary>
/// What does choosing a destination cost a request, and what does a change of one cluster cost when there are 20,000? The first
/// should vanish beside a request of some microseconds and not grow with the cluster (roundrobin); neither may allocate on the
/// request path.
/// </summary>
[MemoryDiagnoser]
public class PickerBenchmarks
{
    private ClusterState _cluster = null!;
    private DestinationState[] _tried = [];
    private ClusterTable _table = null!;
    private Change<ClusterPlan>[] _change = [];

    /// <summary>Destinations of the cluster.</summary>
    [Params(1, 3, 100)]
    public int Destinations { get; set; }

    /// <summary>Algorithm; <c>weighted</c> is roundrobin with weights of 1, 2 and 3.</summary>
    [Params("roundrobin", "weighted", "leastconn")]
    public string Balance { get; set; } = "";

    /// <summary>20,000 clusters, of which one is picked from.</summary>
    [GlobalSetup]
    public void Setup()
    {
        ClusterPlan plan = Plan("s0");
        _table = new ClusterTable();
        _table.Publish([plan, .. Enumerable.Range(1, 19_999).Select(i => Plan($"s{i}") with { Destinations = [] })], []);
        _cluster = _table.Find(plan.Id)!;
        _tried = [_cluster.Destinations[0]];
        _change = [new Change<ClusterPlan>(plan, plan with { Timeouts = new TimeoutsPlan { Tunnel = TimeSpan.FromMinutes(1) } })];
    }

    /// <summary>The usual case, with the counters of the request.</summary>
    [Benchmark(Baseline = true)]
    public int PickBeginEnd()
    {
        DestinationState one = _cluster.Pick([])!;
        one.Begin();
        one.End();
        return one.InFlight;
    }

    /// <summary>Only the choice.</summary>
    [Benchmark]
    public object? Pick() => _cluster.Pick([]);

    /// <summary>A retry elsewhere.</summary>
    [Benchmark]
    public object? PickUntried() => _cluster.Pick(_tried);

    /// <summary>From the id of the cluster, as a listener without a route does.</summary>
    [Benchmark]
    public object? FindAndPick() => _table.Find("s0@production")!.Pick([]);

    /// <summary>An apply that changes one cluster.</summary>
    [Benchmark]
    public void PublishOneChange() => _table.Publish([], _change);

    private ClusterPlan Plan(string service) => new()
    {
        Id = $"{service}@production",
        Service = service,
        Environment = "production",
        Balance = Balance == "leastconn" ? BalanceAlgorithm.LeastConn : BalanceAlgorithm.RoundRobin,
        Destinations = Enumerable.Range(0, Destinations).Select(i => new DestinationPlan
        {
            Instance = new InstanceKey("n", $"{i:d5}"),
            Address = "10.0.0.1",
            Port = 1000 + i,
            Weight = Balance == "weighted" ? 1 + (i % 3) : 1,
        }).ToEquatableArray(),
    };
}
