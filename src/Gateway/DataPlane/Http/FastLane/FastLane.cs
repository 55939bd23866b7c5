using System.Text;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Http.Routing;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Loops;
using Gateway.Observability;
using Gateway.Planning;

namespace Gateway.DataPlane.Http.FastLane;

/// <summary>Takes a connection that the fast lane does not serve: the descriptor, and what was read of it.</summary>
internal delegate void HandedOver(ListenerState listener, EventLoop loop, int fd, ReadOnlyMemory<byte> read);

/// <summary>
/// Plain HTTP/1.1 to plain HTTP/1.1, on the event loops. In: accepted descriptors, the routes and edge policy in force; out: requests at
/// instances, records, counts; connections of other protocols and for other clusters, to the other lane. Nothing on the way of a
/// request leaves its loop.
/// </summary>
internal sealed class FastLane
{
    /// <summary>Time between requests, and before the first byte: <c>keepAlive</c>, in milliseconds.</summary>
    public const long KeepAliveMs = 60_000;

    /// <summary>Time for the head of a request: <c>request</c>, in milliseconds.</summary>
    public const long HeadMs = 10_000;

    /// <summary>How long a client's last bytes are waited for after its connection's last answer, in milliseconds.</summary>
    public const long LingerMs = 2_000;

    /// <summary>Where no cluster says otherwise.</summary>
    public static readonly TimeoutsPlan DefaultTimeouts = new();

    private readonly FastLoop[] _loops;
    private readonly LoopGroup _group;
    private readonly HandedOver _other;
    private readonly Func<string, RouteTarget?> _fallback;
    private readonly byte[] _loopId;

    // Written by the control loop, read by every request.
    private volatile RouteTable _routes = RouteTable.Empty;
    private volatile EdgePolicy _edge = EdgePolicy.None;
    private volatile bool _draining;
    private int _connections;

    public FastLane(
        LoopGroup group, RequestRecords records, GatewayMetrics metrics, TimeProvider time, string loopId,
        Func<string, RouteTarget?> fallback, HandedOver other)
    {
        (_group, Records, Metrics, Time, _fallback, _other) = (group, records, metrics, time, fallback, other);
        _loopId = Encoding.ASCII.GetBytes(loopId);
        _loops = [.. group.Loops.Select(loop => new FastLoop(this, loop))];
    }

    /// <summary>Takes records and counts.</summary>
    public RequestRecords Records { get; }

    /// <summary>Counts.</summary>
    public GatewayMetrics Metrics { get; }

    /// <summary>The clock.</summary>
    public TimeProvider Time { get; }

    /// <summary>Our id in CDN-Loop.</summary>
    public ReadOnlySpan<byte> LoopId => _loopId;

    /// <summary>The table for requests that begin from now on.</summary>
    public RouteTable Routes
    {
        get => _routes;
        set => _routes = value;
    }

    /// <summary>What the edge does to requests that begin from now on.</summary>
    public EdgePolicy Edge
    {
        get => _edge;
        set => _edge = value;
    }

    /// <summary>Every response from now on closes its connection politely.</summary>
    public bool Draining
    {
        get => _draining;
        set => _draining = value;
    }

    /// <summary>Connections open, idle ones included.</summary>
    public int Connections => Volatile.Read(ref _connections);

    /// <summary>Requests and upgraded connections under way.</summary>
    public int Requests => _loops.Sum(own => own.Requests);

    /// <summary>Upgraded connections under way.</summary>
    public int Tunnels => _loops.Sum(own => own.Tunnels);

    /// <summary>
    /// Whether this lane serves a request for a cluster: plain HTTP/1.1 towards its instances. gRPC needs HTTP/2, and protocols that a
    /// connection may be upgraded to, other than WebSocket, are the other lane's.
    /// </summary>
    public static bool Serves(ClusterPlan cluster, RequestHead head, ReadOnlySpan<byte> raw)
    {
        if (cluster.Upstream == UpstreamProtocol.H2c)
        {
            return false;
        }

        foreach (ref readonly HeaderLine line in head.Lines)
        {
            if (line.Known == KnownHeader.Upgrade && !head.WantsWebSocket && !line.Value.Of(raw).StartsWith("h2c"u8))
            {
                return false;
            }

            if (line.Known == KnownHeader.ContentType && cluster.Upstream == UpstreamProtocol.Auto && line.Value.Of(raw).StartsWith("application/grpc"u8))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Takes an accepted descriptor, on the loop that is to serve it.</summary>
    public void Accept(ListenerState listener, EventLoop loop, int fd)
    {
        listener.ConnectionOpened();
        Metrics.ConnectionOpened(listener.Name, "http");
        new ClientConnection(_loops[loop.Index], listener, fd).Begin();
    }

    /// <summary>Where a request goes, by the table of this moment.</summary>
    public RouteTarget? Route(ListenerState listener, ReadOnlySpan<byte> host, ReadOnlySpan<byte> path) =>
        _routes.Find(listener.Key) is { } routes ? routes.Hosts.Find(host, path) : _fallback(listener.Plan.Cluster);

    /// <summary>Whether a client's forwarding headers are believed.</summary>
    public static bool Believes(EdgePolicy policy, ClientConnection client) =>
        !policy.Trusted.IsEmpty && policy.Trusted.Contains(client.EndPoint?.Address);

    /// <summary>Gives a connection to the other lane.</summary>
    public void HandOver(ListenerState listener, EventLoop loop, int fd, ReadOnlyMemory<byte> read) =>
        _other(listener, loop, fd, read);

    /// <summary>Closes connections that have served a request and were idle for <paramref name="idle"/>, oldest first; returns how many.</summary>
    public async Task<int> CloseIdleAsync(TimeSpan idle) => (await _group.AskEachAsync(loop => CloseIdle(_loops[loop.Index], idle))).Sum();

    /// <summary>Tells every WebSocket that the gateway goes away; returns how many tunnels there are.</summary>
    public async Task<int> SayGoodbyeAsync() => (await _group.AskEachAsync(loop =>
    {
        FastExchange[] tunnels = [.. _loops[loop.Index].Clients.Select(c => c.Exchange).OfType<FastExchange>().Where(e => e.IsTunnel)];
        foreach (FastExchange tunnel in tunnels)
        {
            tunnel.SayGoodbye();
        }

        return tunnels.Length;
    })).Sum();

    /// <summary>What is under way, by state (<c>request</c>, <c>tunnel</c>, <c>idle</c>, <c>new</c>).</summary>
    public async Task<Dictionary<string, int>> CountAsync() => Sum(await _group.AskEachAsync(loop => States(_loops[loop.Index])));

    /// <summary>Ends everything now; returns what was closed by state.</summary>
    public async Task<Dictionary<string, int>> AbortAllAsync() => Sum(await _group.AskEachAsync(loop =>
    {
        FastLoop own = _loops[loop.Index];
        Dictionary<string, int> states = States(own);
        foreach (ClientConnection client in own.Clients.ToArray())
        {
            client.End(reset: client.Exchange is not null);
        }

        return states;
    }));

    /// <summary>Once a second: lets go of idle connections of ports that are closed, and of instances that are gone.</summary>
    public void Sweep()
    {
        foreach (FastLoop own in _loops)
        {
            own.Loop.Post(
                static state =>
                {
                    FastLoop swept = (FastLoop)state!;
                    swept.Prune();
                    foreach (ClientConnection client in swept.Clients.Where(c => c.Listener.Closing && c.IsIdle).ToArray())
                    {
                        if (swept.Lane.Time.GetElapsedTime(client.LastActive, swept.Loop.Timestamp) >= ClosedPortIdle)
                        {
                            client.EndIfIdle();
                        }
                    }
                },
                own);
        }
    }

    /// <summary>Counts a connection in (1) or out (-1).</summary>
    internal void Count(int change) => Interlocked.Add(ref _connections, change);

    private static readonly TimeSpan ClosedPortIdle = TimeSpan.FromSeconds(1);

    private static int CloseIdle(FastLoop own, TimeSpan idle)
    {
        // Oldest first: the longer a client was silent, the less likely it is to send in this very moment.
        ClientConnection[] due =
        [
            .. own.Clients.Where(c => c.IsIdle && c.Served > 0 && own.Lane.Time.GetElapsedTime(c.LastActive, own.Loop.Timestamp) >= idle)
                .OrderBy(c => c.LastActive),
        ];
        foreach (ClientConnection client in due)
        {
            client.EndIfIdle();
        }

        return due.Length;
    }

    private static Dictionary<string, int> States(FastLoop own) =>
        own.Clients.GroupBy(c => c.State).ToDictionary(g => g.Key, g => g.Count(), StringComparer.Ordinal);

    private static Dictionary<string, int> Sum(Dictionary<string, int>[] parts) =>
        parts.SelectMany(p => p).GroupBy(p => p.Key, StringComparer.Ordinal).ToDictionary(g => g.Key, g => g.Sum(p => p.Value), StringComparer.Ordinal);
}
