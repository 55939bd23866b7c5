using System.Globalization;
using Gateway.Catalog;

namespace Gateway.Planning;

// What the planner intends. Everything here is immutable, compares by content, and is keyed by an identity that survives
// changes, so that traffic can keep connections, counters, pools and health of whatever did not change.

/// <summary>What a listener speaks.</summary>
internal enum ListenProtocol
{
    /// <summary>HTTP/1.1, h2c, WebSockets, gRPC.</summary>
    Http,

    /// <summary>Raw TCP.</summary>
    Tcp,
}

/// <summary>Identity of a listener. Where its sockets are bound is the listener set's business.</summary>
/// <param name="Scope"><c>internal</c> (every internal address), or an address of the edge, <c>*</c> for every one.</param>
/// <param name="Port">1-65535.</param>
internal readonly record struct ListenerKey(string Scope, int Port) : IComparable<ListenerKey>
{
    /// <summary>Scope of the per-service ports.</summary>
    public const string Internal = "internal";

    /// <inheritdoc/>
    public int CompareTo(ListenerKey other)
    {
        int byScope = string.CompareOrdinal(Scope, other.Scope);
        return byScope != 0 ? byScope : Port.CompareTo(other.Port);
    }

    /// <summary>Whether it is of the edge: anything that is not internal.</summary>
    public bool IsEdge => Scope != Internal;

    /// <summary><c>:3000</c> for internal listeners, else <c>SCOPE:PORT</c>, IPv6 in brackets.</summary>
    public override string ToString() =>
        Scope == Internal ? string.Create(CultureInfo.InvariantCulture, $":{Port}") : Text(Scope, Port);

    /// <summary>An address and a port, IPv6 in brackets.</summary>
    public static string Text(string address, int port) => address.Contains(':', StringComparison.Ordinal)
        ? string.Create(CultureInfo.InvariantCulture, $"[{address}]:{port}")
        : string.Create(CultureInfo.InvariantCulture, $"{address}:{port}");
}

/// <summary>A port that should be open.</summary>
internal sealed record ListenerPlan
{
    /// <summary>Identity.</summary>
    public required ListenerKey Key { get; init; }

    /// <summary>What it speaks.</summary>
    public required ListenProtocol Protocol { get; init; }

    /// <summary>HTTPS instead of HTTP (edge only).</summary>
    public bool Tls { get; init; }

    /// <summary>Service that owns it; empty where it is Gateway's own.</summary>
    public required string Service { get; init; }

    /// <summary>Environment it serves; empty where it is Gateway's own.</summary>
    public required string Environment { get; init; }

    /// <summary>Cluster that answers (TCP), or the cluster of its catch-all route (HTTP).</summary>
    public required string Cluster { get; init; }

    /// <summary>Nobody claims it any more; it stays open for <c>portGrace</c> and then goes.</summary>
    public bool Lingering { get; init; }
}

/// <summary>Which requests go where.</summary>
internal sealed record RoutePlan
{
    /// <summary>Listener it belongs to; scope <c>edge</c> with port 0 stands for every edge listener.</summary>
    public required ListenerKey Listener { get; init; }

    /// <summary>Host in lower case without port or trailing dot, <c>*.example.com</c>, or <c>*</c> for any.</summary>
    public required string Host { get; init; }

    /// <summary>Path prefix on segment borders; <c>/</c> for all.</summary>
    public string PathPrefix { get; init; } = "/";

    /// <summary>Cluster that answers.</summary>
    public required string Cluster { get; init; }

    /// <summary>Identity as text.</summary>
    public string Id => $"{Listener} {Host}{PathPrefix}";
}

/// <summary>How a cluster shares work among its destinations.</summary>
internal enum BalanceAlgorithm
{
    /// <summary>In turn, by weight.</summary>
    RoundRobin,

    /// <summary>The fewest requests or connections in flight per weight.</summary>
    LeastConn,
}

/// <summary>What is spoken to the destinations.</summary>
internal enum UpstreamProtocol
{
    /// <summary>HTTP/1.1; gRPC requests, which HTTP/1.1 cannot carry, use prior-knowledge HTTP/2.</summary>
    Auto,

    /// <summary>Always HTTP/1.1.</summary>
    Http1,

    /// <summary>Always HTTP/2 with prior knowledge, in plaintext.</summary>
    H2c,
}

/// <summary>How an instance is probed.</summary>
internal enum CheckKind
{
    /// <summary><c>GET /healthcheck</c> by the forgiving rules of <c>check: auto</c>, with a TCP connect as fallback.</summary>
    Auto,

    /// <summary>A GET of <see cref="CheckPlan.Path"/> that must answer 2xx or 3xx.</summary>
    Http,

    /// <summary>A TCP connect.</summary>
    Tcp,

    /// <summary>No probe; the catalog's verdict stands.</summary>
    None,
}

/// <summary>The active check of a cluster.</summary>
internal sealed record CheckPlan
{
    /// <summary>Kind of probe.</summary>
    public CheckKind Kind { get; init; } = CheckKind.Auto;

    /// <summary>Path and query of an HTTP probe.</summary>
    public string Path { get; init; } = "/healthcheck";

    /// <summary>Time between probes, ±10 %.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Time between probes while the state is in question.</summary>
    public TimeSpan FastInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>A probe that takes longer has failed.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Successes in a row that bring an instance up.</summary>
    public int Rise { get; init; } = 1;

    /// <summary>Failures in a row that take it down.</summary>
    public int Fall { get; init; } = 1;
}

/// <summary>Timeouts by phase, named as in HAProxy.</summary>
internal sealed record TimeoutsPlan
{
    /// <summary>Connecting to a destination.</summary>
    public TimeSpan Connect { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Time without a byte while a destination should answer.</summary>
    public TimeSpan Response { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Time without a byte in a tunnel: WebSocket or raw TCP.</summary>
    public TimeSpan Tunnel { get; init; } = TimeSpan.FromHours(1);
}

/// <summary>One instance as a target of traffic.</summary>
internal sealed record DestinationPlan
{
    /// <summary>Identity: health and counters are held by it.</summary>
    public required InstanceKey Instance { get; init; }

    /// <summary>IP address or DNS name.</summary>
    public required string Address { get; init; }

    /// <summary>1-65535.</summary>
    public required int Port { get; init; }

    /// <summary>Share of the work, 0-65535; 0 takes no new work.</summary>
    public int Weight { get; init; } = 1;

    /// <summary>The catalog's verdict.</summary>
    public ReportedHealth Reported { get; init; } = ReportedHealth.Unchecked;

    /// <summary>Whether the catalog lets it have new work.</summary>
    public bool Admitted => Weight > 0 && Reported is ReportedHealth.Passing or ReportedHealth.Warning or ReportedHealth.Unchecked;

    /// <summary><c>ADDRESS:PORT</c>, IPv6 in brackets.</summary>
    public string EndPoint => Address.Contains(':', StringComparison.Ordinal)
        ? string.Create(CultureInfo.InvariantCulture, $"[{Address}]:{Port}")
        : string.Create(CultureInfo.InvariantCulture, $"{Address}:{Port}");
}

/// <summary>One service in one environment, as a target of routes and TCP listeners.</summary>
internal sealed record ClusterPlan
{
    /// <summary><c>SERVICE@ENV</c>, or <c>SERVICE@ENV:PORT</c> where one service's instances are split by port.</summary>
    public required string Id { get; init; }

    /// <summary>Name of the service.</summary>
    public required string Service { get; init; }

    /// <summary>Name of the environment.</summary>
    public required string Environment { get; init; }

    /// <summary>What its listeners speak; decides what <c>check: auto</c> means.</summary>
    public ListenProtocol Protocol { get; init; }

    /// <summary>How work is shared.</summary>
    public BalanceAlgorithm Balance { get; init; }

    /// <summary>What is spoken to the destinations (HTTP only).</summary>
    public UpstreamProtocol Upstream { get; init; }

    /// <summary>The active check; <see cref="CheckKind.Auto"/> is already resolved to TCP for TCP services.</summary>
    public CheckPlan Check { get; init; } = new();

    /// <summary>Timeouts by phase.</summary>
    public TimeoutsPlan Timeouts { get; init; } = new();

    /// <summary>Whether X-Forwarded-For and CDN-Loop are appended (HTTP only).</summary>
    public bool ForwardedFor { get; init; } = true;

    /// <summary>Every instance of the environment, usable or not, sorted by identity.</summary>
    public EquatableArray<DestinationPlan> Destinations { get; init; }
}
