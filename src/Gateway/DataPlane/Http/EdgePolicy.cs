namespace Gateway.DataPlane.Http;

/// <summary>What the edge does to heads: whom it believes, what it sets. Immutable, published by one reference write.</summary>
/// <param name="Trusted">Peers whose forwarding headers are extended instead of replaced.</param>
/// <param name="HttpsHeaders">Set on every HTTPS response, over what the service says.</param>
internal sealed record EdgePolicy(TrustedNetworks Trusted, EdgeHeader[] HttpsHeaders)
{
    /// <summary>Without an edge.</summary>
    public static readonly EdgePolicy None = new(TrustedNetworks.None, []);
}
