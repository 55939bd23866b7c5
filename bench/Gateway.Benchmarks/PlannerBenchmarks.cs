using BenchmarkDotNet.Attributes;
using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.Benchmarks;

/// <summary>
/// Question: what does a catalog of 10,000 services with 3 instances each cost to plan, cold, and after a change of one of them,
/// with the difference to the plan before? Target: well under 100 ms cold.
/// </summary>
[MemoryDiagnoser]
[ShortRunJob]
public class PlannerBenchmarks
{
    private readonly Planner _warm = new();
    private CatalogSnapshot _catalog = CatalogSnapshot.Empty;
    private CatalogSnapshot _changed = CatalogSnapshot.Empty;
    private Plan _plan = Plan.Empty;
    private bool _flip;

    /// <summary>Number of services.</summary>
    [Params(100, 10_000)]
    public int Services { get; set; }

    /// <summary>Makes two catalogs that differ in one instance of one service.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _catalog = CatalogSnapshot.Of(
            from s in Enumerable.Range(0, Services)
            from i in Enumerable.Range(0, 3)
            select new Instance
            {
                Service = $"service-{s:D5}",
                Node = $"node-{i}",
                ServiceId = $"service-{s:D5}.{i}",
                Address = $"10.{i}.{s >> 8}.{s & 255}",
                Port = 31_000 + i,
                Tags = [$"internal-listen-http-{Port(s)}", i == 2 ? "staging" : "production", "version-17"],
                Health = ReportedHealth.Passing,
                CreateIndex = (ulong)(s + 1),
            });
        Service one = _catalog.Services[$"service-{Services / 2:D5}"];
        _changed = _catalog with
        {
            Services = _catalog.Services.SetItem(one.Name, one with { Instances = [.. one.Instances.Skip(1)] }),
        };
        _plan = _warm.Plan(new PlanInput { Catalogs = [_catalog] });
    }

    /// <summary>A planner that knows nothing.</summary>
    [Benchmark]
    public int Cold() => new Planner().Plan(new PlanInput { Catalogs = [_catalog] }).Listeners.Count;

    /// <summary>One service changed: plan and difference.</summary>
    [Benchmark]
    public int OneServiceChanged()
    {
        _flip = !_flip;
        Plan old = _plan;
        _plan = _warm.Plan(new PlanInput
        {
            Catalogs = [_flip ? _changed : _catalog],
            Present = old.Listeners,
            PresentRoutes = old.Routes,
        });
        return PlanDiff.Between(old, _plan).ClustersChanged.Count;
    }

    // The first thousand have a staging port that is nobody's production port; of the others it is impossible and reported.
    private static int Port(int service) => service < 1_000 ? 2_000 + service : 20_000 + (service * 4);
}
