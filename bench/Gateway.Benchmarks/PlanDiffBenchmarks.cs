using BenchmarkDotNet.Attributes;
using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.Benchmarks;

/// <summary>
/// Question: what does the difference between two plans cost, when nothing, one cluster or everything changed? Every apply pays it,
/// so for one change among 10,000 services it must stay far below the 5 ms that an apply may take.
/// </summary>
[MemoryDiagnoser]
[ShortRunJob]
public class PlanDiffBenchmarks
{
    private Plan _old = Plan.Empty;
    private Plan _new = Plan.Empty;

    /// <summary>Number of services with a port each, 3 instances each.</summary>
    [Params(100, 10_000)]
    public int Services { get; set; }

    /// <summary>What the new plan changes: <c>nothing</c>, <c>one</c> service's instances, <c>all</c> of them.</summary>
    [Params("nothing", "one", "all")]
    public string Changed { get; set; } = "";

    /// <summary>Plans twice, as the control loop does: one planner, and what is present goes in.</summary>
    [GlobalSetup]
    public void Setup()
    {
        Planner planner = new();
        _old = planner.Plan(new PlanInput { Catalogs = [Catalog(31_000, _ => false)] });
        _new = planner.Plan(new PlanInput
        {
            Catalogs = [Catalog(31_000, s => Changed == "all" || (Changed == "one" && s == Services / 2))],
            Present = _old.Listeners,
            PresentRoutes = _old.Routes,
        });
        if (_new.Clusters.Count < Services)
        {
            throw new InvalidOperationException($"{_new.Clusters.Count} clusters of {Services} services: nothing would be measured");
        }
    }

    /// <summary>The difference.</summary>
    [Benchmark]
    public int Between() => PlanDiff.Between(_old, _new).ClustersChanged.Count;

    /// <summary>From nothing, as at the start.</summary>
    [Benchmark]
    public int FromNothing() => PlanDiff.Between(Plan.Empty, _new).ClustersAdded.Count;

    private CatalogSnapshot Catalog(int port, Func<int, bool> moved) => CatalogSnapshot.Of(
        from s in Enumerable.Range(0, Services)
        from i in Enumerable.Range(0, 3)
        select new Instance
        {
            Service = $"service-{s:D5}",
            Node = $"node-{i}",
            ServiceId = $"service-{s:D5}.{i}",
            Address = $"10.{i}.{s >> 8}.{s & 255}",
            Port = port + i + (moved(s) ? 10 : 0),
            Tags = ["production", $"internal-listen-http-{10_000 + s}"],
            Health = ReportedHealth.Passing,
            CreateIndex = (ulong)(s + 1),
        });
}
