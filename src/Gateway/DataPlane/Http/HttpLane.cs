using System.Net.Sockets;
using Gateway.Catalog;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Http.KestrelLane;
using Gateway.DataPlane.Http.Routing;
using Gateway.DataPlane.Http.Tls;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Loops;
using Gateway.Observability;
using Gateway.Planning;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Yarp.ReverseProxy.Forwarder;

namespace Gateway.DataPlane.Http;

/// <summary>
/// Serves HTTP on every HTTP port, internal and edge. In: accepted sockets and plans; out: requests at destinations, records, counts. Kestrel
/// stands in front, YARP's forwarder behind, our own policy between. Invariant: a plan changes which table the next request
/// reads, and nothing else: no connection, pool, counter or request in flight.
/// </summary>
internal sealed class HttpLane : IAsyncDisposable
{
    private readonly ClusterTable _clusters;
    private readonly ConnectionTracker _connections;
    private readonly GatewayApplication _application;
    private readonly KestrelFront _front;
    private readonly Upstream _upstream;
    private readonly ServiceProvider _forwarding;
    private readonly FastLane.FastLane? _fast;
    private readonly ITimer _sweep;

    // Written by PublishRoutes under _gate, read by requests on listeners without routes. Replaced as a whole.
    private readonly Lock _gate = new();
    private volatile Dictionary<string, RouteTarget> _targets = new(StringComparer.Ordinal);
    private int _disposed;

    /// <summary>Builds the lane; nothing is served before <see cref="StartAsync"/>.</summary>
    /// <param name="clusters">Who answers.</param>
    /// <param name="clock">Time.</param>
    /// <param name="loggers">Logs. Per request only at Debug.</param>
    /// <param name="metrics">Counts.</param>
    /// <param name="accessLog">Takes a record per request.</param>
    /// <param name="loopId">Our id in CDN-Loop: a token without blanks, commas or semicolons, the same after a restart.</param>
    /// <param name="recorded">Told of each record too, on the request's thread; null: nobody.</param>
    /// <param name="loops">The loops of the fast lane; null: Kestrel serves everything.</param>
    public HttpLane(
        ClusterTable clusters, TimeProvider clock, ILoggerFactory loggers, GatewayMetrics metrics, AccessLog accessLog,
        string loopId, Action<AccessRecord>? recorded = null, LoopGroup? loops = null)
    {
        ILogger logger = loggers.CreateLogger("Gateway.Http");
        RequestRecords records = new(metrics, accessLog, recorded);
        _clusters = clusters;
        _connections = new ConnectionTracker(clock);
        _upstream = new Upstream(clock);

        // YARP logs two lines per request and a warning per failure; ours says more in one record, so YARP's go nowhere.
        _forwarding = new ServiceCollection()
            .AddSingleton<ILoggerFactory>(NullLoggerFactory.Instance)
            .AddSingleton(typeof(ILogger<>), typeof(NullLogger<>))
            .AddHttpForwarder()
            .BuildServiceProvider();
        RequestForwarder forwarder = new(
            _forwarding.GetRequiredService<IHttpForwarder>(), _upstream, metrics, clock, loopId, logger);
        Certificates = new CertificateStore(clock, loggers.CreateLogger("Gateway.Tls"));
        _application = new GatewayApplication(forwarder, records, Certificates, clock, FallbackTarget);
        _front = new KestrelFront(
            new PrefacePeek(_connections, clock), new TlsEndpoint(_connections, Certificates, clock),
            new RefusalWatch(_application, records, clock, logger), loggers, metrics);
        _fast = loops is null ? null : new FastLane.FastLane(loops, records, metrics, clock, loopId, FallbackTarget, HandOver);
        _sweep = clock.CreateTimer(static lane => ((HttpLane)lane!).Sweep(), this, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
    }

    /// <summary>The edge's certificates, live.</summary>
    public CertificateStore Certificates { get; }

    /// <summary>Connections open, idle ones included.</summary>
    public int Connections => _connections.Count + (_fast?.Connections ?? 0);

    /// <summary>Requests and upgraded connections under way.</summary>
    public int Requests => _connections.Requests + (_fast?.Requests ?? 0);

    /// <summary>Starts Kestrel; call once before the first <see cref="Accept"/>.</summary>
    public Task StartAsync(CancellationToken cancel) => _front.StartAsync(_application, cancel);

    /// <summary>An <see cref="AcceptedSocket"/>.</summary>
    public void Accept(ListenerState listener, Socket socket) => _front.Accept(listener, socket);

    /// <summary>An <see cref="AcceptedOnLoop"/>: plain connections begin in the fast lane, those with TLS in Kestrel.</summary>
    public void AcceptOnLoop(ListenerState listener, EventLoop loop, int fd)
    {
        if (_fast is not null && !listener.Plan.Tls)
        {
            _fast.Accept(listener, loop, fd);
        }
        else
        {
            _front.Accept(listener, loop, fd);
        }
    }

    /// <summary>Takes the edge's options and reads its certificates now; connections and requests under way are not touched.</summary>
    /// <param name="edge">The edge; null: there is none.</param>
    /// <param name="trustedProxies">Peers whose forwarding headers are believed: addresses and networks.</param>
    public void Configure(EdgeOptions? edge, EquatableArray<string> trustedProxies)
    {
        EdgePolicy policy = edge is null
            ? EdgePolicy.None
            : new EdgePolicy(new TrustedNetworks(trustedProxies.AsEnumerable()), [.. edge.Headers.AsEnumerable()]);
        _application.Edge = policy;
        _fast?.Edge = policy;
        Certificates.Configure(edge);
    }

    /// <summary>
    /// Publishes the routes of a plan by one reference write; requests under way keep the table they began with. Costs in
    /// proportion to the listeners that changed. The clusters of the plan are published already. One caller at a time.
    /// </summary>
    public void PublishRoutes(Plan plan, PlanDiff diff)
    {
        lock (_gate)
        {
            // 1. Targets keep their retry budget for as long as their cluster lives. Copied only when a cluster comes or goes.
            if (diff.ClustersAdded.Count + diff.ClustersRemoved.Count > 0)
            {
                Dictionary<string, RouteTarget> targets = new(_targets, StringComparer.Ordinal);
                foreach (ClusterPlan removed in diff.ClustersRemoved)
                {
                    targets.Remove(removed.Id);
                }

                foreach (ClusterPlan added in diff.ClustersAdded)
                {
                    if (_clusters.Find(added.Id) is { } cluster)
                    {
                        targets[added.Id] = new RouteTarget(cluster, new RetryBudget());
                    }
                }

                _targets = targets;
            }

            // 2. The table, from the one in force.
            RouteTable routes = _application.Routes.With(plan, diff, id => _targets.GetValueOrDefault(id));
            _application.Routes = routes;
            _fast?.Routes = routes;
        }
    }

    /// <summary>From now on every response closes its connection politely (Connection: close, GOAWAY).</summary>
    public void BeginDrain()
    {
        _application.Draining = true;
        _fast?.Draining = true;
        _connections.GoAway();
    }

    /// <summary>Closes connections that have served a request and were idle for <paramref name="idle"/>, oldest first.</summary>
    public async Task<int> CloseIdleAsync(TimeSpan idle) =>
        _connections.CloseIdle(idle) + (_fast is null ? 0 : await _fast.CloseIdleAsync(idle));

    /// <summary>Tunnels under way: WebSockets and extended CONNECTs.</summary>
    public int Tunnels => _connections.Tunnels + (_fast?.Tunnels ?? 0);

    /// <summary>Tells every WebSocket that the gateway goes away (close frame 1001); returns how many tunnels there are.</summary>
    public async Task<int> SayGoodbyeAsync() =>
        _connections.SayGoodbye() + (_fast is null ? 0 : await _fast.SayGoodbyeAsync());

    /// <summary>
    /// Ends everything now; returns what was closed by state (<c>request</c>, <c>tunnel</c>, <c>idle</c>, <c>new</c>).
    /// </summary>
    public async Task<IReadOnlyDictionary<string, int>> AbortAllAsync()
    {
        Dictionary<string, int> closed = _connections.AbortAll();
        foreach ((string state, int count) in _fast is null ? [] : await _fast.AbortAllAsync())
        {
            closed[state] = closed.GetValueOrDefault(state) + count;
        }

        return closed;
    }

    /// <summary>Ends everything that is left and stops, within two seconds.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 1)
        {
            return;
        }

        await _sweep.DisposeAsync();
        await AbortAllAsync();
        await _front.DisposeAsync();
        Certificates.Dispose();
        _upstream.Dispose();
        await _forwarding.DisposeAsync();
    }

    private void HandOver(ListenerState listener, EventLoop loop, int fd, ReadOnlyMemory<byte> read) =>
        _front.TakeOver(listener, loop, fd, read.Span);

    private void Sweep()
    {
        _connections.Sweep();
        _fast?.Sweep();
    }

    // A listener that was opened before its routes were published, or has none: its plan names a cluster.
    private RouteTarget? FallbackTarget(string cluster) => _targets.GetValueOrDefault(cluster);
}
