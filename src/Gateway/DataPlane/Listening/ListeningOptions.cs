using Gateway.Catalog;

namespace Gateway.DataPlane.Listening;

/// <summary>Where the per-service ports are bound: <c>internal</c>.</summary>
public sealed record ListeningOptions
{
    /// <summary>
    /// IP addresses or interface names; an interface that appears later is bound then. Default <c>127.0.0.1</c>, <c>::1</c>.
    /// </summary>
    public EquatableArray<string> Addresses { get; init; } = ["127.0.0.1", "::1"];
}
