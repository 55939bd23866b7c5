using Gateway.Catalog;
using Gateway.Control;
using Gateway.Discovery;
using Gateway.Discovery.Consul;
using Gateway.Observability;
using Gateway.Planning;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Primitives;
using Yarp.ReverseProxy.Configuration;

namespace Gateway;

/// <summary>
/// Follows Consul and gives YARP the routes and clusters that Gateway would plan from it. The last good catalog stays through every
/// error of Consul's; before the first there are none.
/// </summary>
internal sealed class ConsulProxyConfigProvider : BackgroundService, IProxyConfigProvider
{
    private readonly ICatalogSource _source;
    private readonly PlanningOptions _planning;
    private readonly Planner _planner = new();
    private readonly YarpConfiguration _translation = new();
    private readonly ILogger _log;
    private readonly GatewayMetrics? _metrics;
    private readonly Lock _gate = new();
    private Plan _plan = Plan.Empty;
    private volatile Snapshot _snapshot = new([], []);

    public ConsulProxyConfigProvider(ConsulOptions consul, PlanningOptions planning, TimeProvider clock, ILoggerFactory logs)
        : this(null, planning, logs)
    {
        _metrics = new GatewayMetrics();
        HashSet<string> named = [.. planning.EdgeHosts.AsEnumerable().Select(h => h.Service)];
        _source = new ConsulSource(
            "consul", consul, (name, tags) => named.Contains(name) || RoutedServices.MayBeRouted(name, tags), clock,
            logs.CreateLogger("Gateway.Consul"), _metrics);
    }

    public ConsulProxyConfigProvider(ICatalogSource? source, PlanningOptions planning, ILoggerFactory logs)
    {
        _source = source!;
        _planning = planning with { Edge = true };
        _log = logs.CreateLogger("Gateway.Yarp");
    }

    /// <inheritdoc/>
    public IProxyConfig GetConfig() => _snapshot;

    /// <inheritdoc/>
    public override void Dispose()
    {
        base.Dispose();
        _metrics?.Dispose();
    }

    /// <summary>Plans a catalog and tells YARP, if anything changed.</summary>
    internal void Take(CatalogSnapshot catalog)
    {
        lock (_gate)
        {
            Plan old = _plan;
            Plan plan = _planner.Plan(new PlanInput
            {
                Catalogs = [catalog],
                Options = _planning,
                Present = old.Listeners,
                PresentRoutes = old.Routes,
                Expired = old.Listeners.AsEnumerable().Where(l => l.Lingering).Select(l => l.Key).ToHashSet(),
            });
            foreach (Problem problem in plan.Problems.AsEnumerable().Except(old.Problems.AsEnumerable()))
            {
                _log.LogWarning("{Problem}", problem);
            }

            _plan = plan;
            (IReadOnlyList<RouteConfig> routes, IReadOnlyList<ClusterConfig> clusters) = _translation.Of(plan);
            Snapshot present = _snapshot;
            if (present.Routes.SequenceEqual(routes) && present.Clusters.SequenceEqual(clusters))
            {
                return;
            }

            _snapshot = new Snapshot(routes, clusters);
            _log.LogInformation("{Routes} routes to {Clusters} clusters", routes.Count, clusters.Count);
            present.Changed();
        }
    }

    /// <inheritdoc/>
    protected override Task ExecuteAsync(CancellationToken stoppingToken) => _source.WatchAsync(Take, stoppingToken);

#pragma warning disable CA1001 // cancelled once and then nobody's: there is nothing in it to free
    private sealed class Snapshot(IReadOnlyList<RouteConfig> routes, IReadOnlyList<ClusterConfig> clusters) : IProxyConfig
#pragma warning restore CA1001
    {
        private readonly CancellationTokenSource _changed = new();

        public IReadOnlyList<RouteConfig> Routes => routes;

        public IReadOnlyList<ClusterConfig> Clusters => clusters;

        public IChangeToken ChangeToken => new CancellationChangeToken(_changed.Token);

        public void Changed() => _changed.Cancel();
    }
}
