using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.DataPlane.Http;

/// <summary>A header that is set on every HTTPS response.</summary>
public sealed record EdgeHeader(string Name, string Value);

/// <summary>The edge: <c>external</c>. Its hosts are an input of the planner.</summary>
public sealed record EdgeOptions
{
    /// <summary>Where it listens, for HTTP and for HTTPS. Default none.</summary>
    public EquatableArray<EdgeListener> Listeners { get; init; }

    /// <summary>Whether any listener speaks HTTPS, so that certificates are needed.</summary>
    public bool HasTls => Listeners.AsEnumerable().Any(l => l.Tls);

    /// <summary>Directory of <c>*.pem</c> (chain and key in any order) and <c>NAME.crt</c> with <c>NAME.key</c>.</summary>
    public string Certificates { get; init; } = "/etc/gateway/certs";

    /// <summary>File in that directory that serves clients without SNI and unknown names; null: the first by file name.</summary>
    public string? DefaultCertificate { get; init; }

    /// <summary>Refuse names that no certificate covers, instead of the default certificate. Default off.</summary>
    public bool StrictSni { get; init; }

    /// <summary>Set on every HTTPS response, over what the service says.</summary>
    public EquatableArray<EdgeHeader> Headers { get; init; } =
    [
        new("Strict-Transport-Security", "max-age=31536000; preload"),
        new("X-Frame-Options", "DENY"),
        new("X-Content-Type-Options", "nosniff"),
    ];
}
