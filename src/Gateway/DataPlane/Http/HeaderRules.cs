using System.Net;
using System.Numerics;

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
    public static bool EndsHere(KnownHeader header) => header is >= KnownHeader.Connection and <= KnownHeader.Http2Settings;

    /// <summary>As <see cref="EndsHere(KnownHeader)"/>, by name.</summary>
    public static bool EndsHere(ReadOnlySpan<char> name) => EndsHere(KnownHeaders.Of(name));

    /// <summary>As <see cref="EndsHere(KnownHeader)"/>, by name.</summary>
    public static bool EndsHere(ReadOnlySpan<byte> name) => EndsHere(KnownHeaders.Of(name));

    /// <summary>
    /// Whether a field may stand behind a body. RFC 9110 §6.5.1: not one that frames or routes the message, says who asks, or
    /// changes how the head or the body is read, because whoever merges trailers into the head would act on it too late or twice.
    /// </summary>
    public static bool MayTrail(KnownHeader header) => header is KnownHeader.Other or KnownHeader.Accept or KnownHeader.Date;

    /// <summary>
    /// Whether <paramref name="connection"/> (one value of Connection) names the header. RFC 9110 §7.6.1: fields named in
    /// Connection end at this hop, so they are removed before forwarding - but never those that carry meaning for us or frame
    /// the message: a client that names X-Forwarded-For would strip what the service trusts, one that names Content-Length
    /// would change where the body ends.
    /// </summary>
    public static bool IsNamedBy(ReadOnlySpan<char> connection, ReadOnlySpan<char> name) =>
        connection.Length >= name.Length && !IsOwned(KnownHeaders.Of(name)) && Lists(connection, name);

    /// <summary>As <see cref="IsNamedBy(ReadOnlySpan{char}, ReadOnlySpan{char})"/>, on bytes of a head whose names are
    /// known.</summary>
    public static bool IsNamedBy(ReadOnlySpan<byte> connection, ReadOnlySpan<byte> name, KnownHeader known) =>
        connection.Length >= name.Length && !IsOwned(known) && Lists(connection, name);

    /// <summary>Whether a comma-separated list holds a word, compared without case.</summary>
    public static bool Lists<TChar>(ReadOnlySpan<TChar> list, ReadOnlySpan<TChar> word)
        where TChar : unmanaged, IBinaryInteger<TChar>
    {
        foreach (Range part in list.Split(TChar.CreateTruncating(',')))
        {
            if (KnownHeaders.Same(KnownHeaders.Trim(list[part]), word))
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
    public static int CountOwnId<TChar>(ReadOnlySpan<TChar> cdnLoop, ReadOnlySpan<TChar> ownId)
        where TChar : unmanaged, IBinaryInteger<TChar>
    {
        int count = 0;
        foreach (Range part in cdnLoop.Split(TChar.CreateTruncating(',')))
        {
            ReadOnlySpan<TChar> id = cdnLoop[part];
            int parameters = id.IndexOf(TChar.CreateTruncating(';'));
            id = KnownHeaders.Trim(parameters < 0 ? id : id[..parameters]);
            count += KnownHeaders.Same(id, ownId) ? 1 : 0;
        }

        return count;
    }

    /// <summary>As <see cref="CountOwnId{TChar}"/>, on characters.</summary>
    public static int CountOwnId(ReadOnlySpan<char> cdnLoop, ReadOnlySpan<char> ownId) => CountOwnId<char>(cdnLoop, ownId);

    /// <summary>Our id this often means a loop. Once is no loop: an edge and an internal port of one gateway in a row.</summary>
    public const int OwnIdMax = 2;

    /// <summary>What is appended to X-Forwarded-For: the client's address without a port, IPv4 in IPv6 as IPv4.</summary>
    public static string? ClientAddress(EndPoint? client) => client switch
    {
        IPEndPoint { Address.IsIPv4MappedToIPv6: true } ip => ip.Address.MapToIPv4().ToString(),
        IPEndPoint ip => ip.Address.ToString(),
        _ => null,
    };

    private static bool IsOwned(KnownHeader header) => header is >= KnownHeader.Host and <= KnownHeader.Gateway;

    private static bool Is(ReadOnlySpan<char> name, ReadOnlySpan<char> other) =>
        name.Equals(other, StringComparison.OrdinalIgnoreCase);
}
