using System.Net;
using Gateway.Catalog;

namespace Gateway.Admin;

/// <summary>The admin address: <c>admin</c>.</summary>
public sealed record AdminOptions
{
    /// <summary>Where it listens. Default <c>127.0.0.1:9900</c>.</summary>
    public IPEndPoint Listen { get; init; } = new(IPAddress.Loopback, 9900);

    /// <summary>Host names it may be called by, beside IP literals and <c>localhost</c>.</summary>
    public EquatableArray<string> Names { get; init; }
}
