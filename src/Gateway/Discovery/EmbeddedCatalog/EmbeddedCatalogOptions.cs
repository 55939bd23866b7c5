using System.Net;

namespace Gateway.Discovery.EmbeddedCatalog;

/// <summary>The catalog inside Gateway: <c>catalog.embedded</c>.</summary>
public sealed record EmbeddedCatalogOptions
{
    /// <summary>Where it serves the part of Consul's HTTP API that it has. Default <c>127.0.0.1:8500</c>.</summary>
    public IPEndPoint Listen { get; init; } = new(IPAddress.Loopback, 8500);
}
