using System.Net;

namespace Gateway.DataPlane.Http;

/// <summary>
/// Which headers end here, and what is appended. In: names and values; out: decisions. Works on plain values, because every HTTP
/// engine of ours must decide alike. Invariant: no client can remove or override a header that Gateway owns.
/// </summary>
internal static class HeaderRules
{
    /// <summary>Where the client's address is appended.</summary>
    public const string ForwardedFor = "X-Forwarded-For";

    /// <summary>Where our id is appended (RFC 8586).</summary>
    public const string CdnLoop = "CDN-Loop";

    /// <summary>
    /// Whether a header concerns this hop only. RFC 9110 §7.6.1 with the names that RFC 2616 had in addition; HTTP2-Settings is
    /// RFC 7540's. Te is listed too: it goes on as <c>trailers</c> where the next hop is HTTP/2.
    /// </summary>
    public static bool EndsHere(ReadOnlySpan<char> name) => name.Length switch
    {
        2 => Is(name, "TE"),
        7 => Is(name, "Upgrade"),
        10 => Is(name, "Connection") || Is(name, "Keep-Alive"),
        14 => Is(name, "HTTP2-Settings"),
        16 => Is(name, "Proxy-Connection"),
        17 => Is(name, "Transfer-Encoding"),
        18 => Is(name, "Proxy-Authenticate"),
        19 => Is(name, "Proxy-Authorization"),
        _ => false,
    };

    /// <summary>
    /// Whether <paramref name="connection"/> (one value of Connection) names the header. RFC 9110 §7.6.1: fields named in
    /// Connection end at this hop, so they are removed before forwarding - but never those that carry meaning for us or frame
    /// the message: a client that names X-Forwarded-For would strip what the service trusts, one that names Content-Length
    /// would change where the body ends.
    /// </summary>
    public static bool IsNamedBy(ReadOnlySpan<char> connection, ReadOnlySpan<char> name)
    {
        if (connection.Length < name.Length || IsOwned(name))
        {
            return false;
        }

        foreach (Range part in connection.Split(','))
        {
            if (connection[part].Trim(" \t").Equals(name, StringComparison.OrdinalIgnoreCase))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whether Connection says only what every client says, so that no header needs to be looked up in it.</summary>
    public static bool NamesNothing(ReadOnlySpan<char> connection) =>
        connection.IsEmpty || Is(connection, "keep-alive") || Is(connection, "close") || Is(connection, "Upgrade");

    /// <summary>How often our id stands in a value of CDN-Loop: ids apart by commas, each with parameters after a
    /// semicolon.</summary>
    public static int CountOwnId(ReadOnlySpan<char> cdnLoop, ReadOnlySpan<char> ownId)
    {
        int count = 0;
        foreach (Range part in cdnLoop.Split(','))
        {
            ReadOnlySpan<char> id = cdnLoop[part];
            int parameters = id.IndexOf(';');
            id = (parameters < 0 ? id : id[..parameters]).Trim(" \t");
            count += id.Equals(ownId, StringComparison.OrdinalIgnoreCase) ? 1 : 0;
        }

        return count;
    }

    /// <summary>Our id this often means a loop. Once is no loop: an edge and an internal port of one gateway in a row.</summary>
    public const int OwnIdMax = 2;

    /// <summary>What is appended to X-Forwarded-For: the client's address without a port, IPv4 in IPv6 as IPv4.</summary>
    public static string? ClientAddress(EndPoint? client) => client switch
    {
        IPEndPoint { Address.IsIPv4MappedToIPv6: true } ip => ip.Address.MapToIPv4().ToString(),
        IPEndPoint ip => ip.Address.ToString(),
        _ => null,
    };

    private static bool IsOwned(ReadOnlySpan<char> name) =>
        Is(name, "Host") || Is(name, "Content-Length") || Is(name, CdnLoop) || Is(name, "Forwarded") || Is(name, "X-Real-IP")
        || name.StartsWith("X-Forwarded-", StringComparison.OrdinalIgnoreCase)
        || name.StartsWith("X-Gateway-", StringComparison.OrdinalIgnoreCase) || Is(name, "X-Request-Id");

    private static bool Is(ReadOnlySpan<char> name, ReadOnlySpan<char> other) =>
        name.Equals(other, StringComparison.OrdinalIgnoreCase);
}
