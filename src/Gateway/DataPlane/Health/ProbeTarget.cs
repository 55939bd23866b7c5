using System.Net;
using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.DataPlane.Health;

/// <summary>What is probed, and how.</summary>
internal sealed record ProbeTarget
{
    /// <summary>Name of the service, for logs and metrics.</summary>
    public required string Service { get; init; }

    /// <summary>Name of the environment, for logs and metrics.</summary>
    public required string Environment { get; init; }

    /// <summary>Identity.</summary>
    public required InstanceKey Instance { get; init; }

    /// <summary>IP address or DNS name.</summary>
    public required string Address { get; init; }

    /// <summary>1-65535.</summary>
    public required int Port { get; init; }

    /// <summary>
    /// What an HTTP probe speaks: HTTP/2 with prior knowledge for <see cref="UpstreamProtocol.H2c"/>, else HTTP/1.1.
    /// </summary>
    public UpstreamProtocol Upstream { get; init; }

    /// <summary>How.</summary>
    public required CheckPlan Check { get; init; }

    /// <summary>Where to connect.</summary>
    public EndPoint EndPoint =>
        IPAddress.TryParse(Address, out IPAddress? ip) ? new IPEndPoint(ip, Port) : new DnsEndPoint(Address, Port);

    /// <summary><c>ADDRESS:PORT</c>, IPv6 in brackets: the Host of an HTTP probe.</summary>
    public string Authority => Address.Contains(':', StringComparison.Ordinal) ? $"[{Address}]:{Port}" : $"{Address}:{Port}";

    /// <summary>Whether a result for <paramref name="other"/> says the same about the instance: only timing may differ.</summary>
    public bool AsksTheSameAs(ProbeTarget other) =>
        Address == other.Address && Port == other.Port && Check.Kind == other.Check.Kind
        && Check.Path == other.Check.Path && Upstream == other.Upstream;
}

/// <summary>How one probe ended.</summary>
/// <param name="Success">Whether it counts for the instance.</param>
/// <param name="Evidence">What was seen, for people: <c>HTTP 503 in 2 ms</c>, <c>connect refused</c>.</param>
/// <param name="Answered">It answered 2xx or 3xx, which makes <c>check: auto</c> take a later 404 seriously.</param>
internal readonly record struct ProbeResult(bool Success, string Evidence, bool Answered = false)
{
    /// <summary>Gateway itself lacked what a probe needs, so it says nothing about the instance.</summary>
    public bool IsUnsent { get; private init; }

    /// <summary>A probe that could not be sent.</summary>
    /// <param name="evidence">What was lacking.</param>
    public static ProbeResult Unsent(string evidence) => new(false, evidence) { IsUnsent = true };
}

/// <summary>Sends one probe. Never throws for what the world does; cancellation means that time is up.</summary>
/// <param name="target">What is probed.</param>
/// <param name="answered">Whether the instance has ever answered 2xx or 3xx to this check.</param>
/// <param name="cancel">The timeout.</param>
internal delegate Task<ProbeResult> Probe(ProbeTarget target, bool answered, CancellationToken cancel);

/// <summary>A change of the verdict.</summary>
internal readonly record struct HealthTransition(DateTimeOffset At, bool Up, string Evidence);

/// <summary>The health of a destination at one moment.</summary>
internal sealed record HealthView
{
    /// <summary>Verdict of the active check.</summary>
    public required bool Up { get; init; }

    /// <summary>Since when.</summary>
    public required DateTimeOffset Since { get; init; }

    /// <summary>Why it is suspect, or null.</summary>
    public required string? Suspicion { get; init; }

    /// <summary>Evidence of the last probe, or null before the first.</summary>
    public required string? LastCheck { get; init; }

    /// <summary>When the last probe ended, or null.</summary>
    public required DateTimeOffset? LastCheckAt { get; init; }

    /// <summary>Connects that traffic saw refused, reset or timed out.</summary>
    public required long ConnectFailures { get; init; }

    /// <summary>The last ten changes, oldest first.</summary>
    public required EquatableArray<HealthTransition> History { get; init; }
}
