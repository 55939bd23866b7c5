namespace Gateway.Discovery.Consul;

/// <summary>How Consul is reached and watched: <c>catalog.consul</c>.</summary>
public sealed record ConsulOptions
{
    /// <summary>Base address; <c>http://</c> or <c>https://</c>. Default <c>http://127.0.0.1:8500</c>.</summary>
    public Uri Address { get; init; } = new("http://127.0.0.1:8500");

    /// <summary>File with the ACL token, read again whenever it changes; null: no token.</summary>
    public string? TokenFile { get; init; }

    /// <summary>Datacenter to ask; null: the agent's own.</summary>
    public string? Datacenter { get; init; }

    /// <summary>Whether any server may answer (<c>?stale</c>). Default true.</summary>
    public bool Stale { get; init; } = true;

    /// <summary>Longest wait of a blocking query before jitter, 1s-10m. Default 55s.</summary>
    public TimeSpan Wait { get; init; } = TimeSpan.FromSeconds(55);

    /// <summary>PEM file of the authorities that Consul's certificate must come from; null: the system's.</summary>
    public string? TlsCa { get; init; }

    /// <summary>PEM file of our client certificate; null: none.</summary>
    public string? TlsCertificate { get; init; }

    /// <summary>PEM file of its key; null: it is in the certificate's file.</summary>
    public string? TlsKey { get; init; }
}
