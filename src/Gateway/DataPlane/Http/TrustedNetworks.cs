using System.Net;

namespace Gateway.DataPlane.Http;

/// <summary>Peers whose forwarding headers are believed: <c>trustedProxies</c>. Immutable.</summary>
internal sealed class TrustedNetworks
{
    /// <summary>Nobody is believed.</summary>
    public static readonly TrustedNetworks None = new([]);

    private readonly IPNetwork[] _networks;

    /// <summary>Reads addresses and networks.</summary>
    /// <exception cref="FormatException">One is neither.</exception>
    public TrustedNetworks(IEnumerable<string> networks) => _networks = [.. networks.Select(Parse)];

    /// <summary>Nobody is believed, so nobody's address needs to be known.</summary>
    public bool IsEmpty => _networks.Length == 0;

    /// <summary>Whether a peer is believed. IPv4 in IPv6 counts as IPv4.</summary>
    public bool Contains(IPAddress? peer)
    {
        if (_networks.Length == 0 || peer is null)
        {
            return false;
        }

        peer = peer.IsIPv4MappedToIPv6 ? peer.MapToIPv4() : peer;
        foreach (IPNetwork network in _networks)
        {
            if (network.Contains(peer))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// The client behind trusted proxies: from the right the first address of X-Forwarded-For that is not trusted itself. What
    /// stands left of it was said by somebody whom nobody vouches for. With nothing but trusted ones the leftmost, else the peer.
    /// </summary>
    public string ClientOf(IReadOnlyList<string?> forwardedFor, string peer)
    {
        string client = peer;
        for (int i = forwardedFor.Count - 1; i >= 0; i--)
        {
            string[] hops = (forwardedFor[i] ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
            for (int j = hops.Length - 1; j >= 0; j--)
            {
                if (!TryAddress(hops[j], out IPAddress? address))
                {
                    return client;
                }

                client = address.ToString();
                if (!Contains(address))
                {
                    return client;
                }
            }
        }

        return client;
    }

    // Some proxies write a port behind the address.
    private static bool TryAddress(string hop, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out IPAddress? address)
    {
        address = null;
        if (IPAddress.TryParse(hop, out address) || (IPEndPoint.TryParse(hop, out IPEndPoint? end) && (address = end.Address) is not null))
        {
            address = address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
            return true;
        }

        return false;
    }

    // 10.1.2.3/8 means 10.0.0.0/8: what is behind the prefix says nothing.
    private static IPNetwork Parse(string text)
    {
        int slash = text.IndexOf('/', StringComparison.Ordinal);
        IPAddress address = IPAddress.Parse(slash < 0 ? text : text[..slash]);
        byte[] bytes = address.GetAddressBytes();
        int bits = slash < 0 ? bytes.Length * 8 : int.Parse(text.AsSpan(slash + 1), System.Globalization.CultureInfo.InvariantCulture);
        for (int bit = bits; bit < bytes.Length * 8; bit++)
        {
            bytes[bit / 8] &= (byte)~(0x80 >> (bit % 8));
        }

        return new IPNetwork(new IPAddress(bytes), bits);
    }
}
