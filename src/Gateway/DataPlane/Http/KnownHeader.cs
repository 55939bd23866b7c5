using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace Gateway.DataPlane.Http;

/// <summary>A header that means something to us. The order matters: <see cref="HeaderRules"/> asks for ranges.</summary>
internal enum KnownHeader : byte
{
    /// <summary>None of those below.</summary>
    Other,

    // These end here.
    Connection,
    KeepAlive,
    ProxyConnection,
    ProxyAuthenticate,
    ProxyAuthorization,
    TransferEncoding,
    Te,
    Upgrade,
    Http2Settings,

    // Nobody removes these by naming them in Connection.
    Host,
    ContentLength,
    CdnLoop,
    ForwardedFor,

    /// <summary>Forwarded, X-Real-IP and every other X-Forwarded-*, also spelled with underscores.</summary>
    Forwarding,
    RequestId,

    /// <summary>X-Gateway-*.</summary>
    Gateway,

    // These change how a message is read, and so have no place in trailers.
    Expect,
    Trailer,
    ContentType,
    ContentEncoding,
    ContentRange,
    Authorization,
    Cookie,
    SetCookie,
    WwwAuthenticate,
    CacheControl,
    Range,
    MaxForwards,

    // Read by us, otherwise ordinary.
    Accept,
    Date,
}

/// <summary>Names of headers, as characters or as bytes of a head, compared without case.</summary>
internal static class KnownHeaders
{
    /// <summary>What a name means to us.</summary>
    public static KnownHeader Of<TChar>(ReadOnlySpan<TChar> name)
        where TChar : unmanaged, IBinaryInteger<TChar>
    {
        if (name.IsEmpty)
        {
            return KnownHeader.Other;
        }

        // Length and first letter leave at most a few candidates, most often none.
        int first = int.CreateTruncating(name[0]) | 0x20;
        switch ((name.Length << 8) | first)
        {
            case (2 << 8) | 't': return Is(name, "te"u8, KnownHeader.Te);
            case (4 << 8) | 'd': return Is(name, "date"u8, KnownHeader.Date);
            case (4 << 8) | 'h': return Is(name, "host"u8, KnownHeader.Host);
            case (5 << 8) | 'r': return Is(name, "range"u8, KnownHeader.Range);
            case (6 << 8) | 'a': return Is(name, "accept"u8, KnownHeader.Accept);
            case (6 << 8) | 'c': return Is(name, "cookie"u8, KnownHeader.Cookie);
            case (6 << 8) | 'e': return Is(name, "expect"u8, KnownHeader.Expect);
            case (7 << 8) | 't': return Is(name, "trailer"u8, KnownHeader.Trailer);
            case (7 << 8) | 'u': return Is(name, "upgrade"u8, KnownHeader.Upgrade);
            case (8 << 8) | 'c': return Is(name, "cdn-loop"u8, KnownHeader.CdnLoop);
            case (9 << 8) | 'f' or (9 << 8) | 'x':
                return Forwarding.Concerns(name) ? KnownHeader.Forwarding : KnownHeader.Other;
            case (10 << 8) | 'c': return Is(name, "connection"u8, KnownHeader.Connection);
            case (10 << 8) | 'k': return Is(name, "keep-alive"u8, KnownHeader.KeepAlive);
            case (10 << 8) | 's': return Is(name, "set-cookie"u8, KnownHeader.SetCookie);
            case (12 << 8) | 'c': return Is(name, "content-type"u8, KnownHeader.ContentType);
            case (12 << 8) | 'm': return Is(name, "max-forwards"u8, KnownHeader.MaxForwards);
            case (12 << 8) | 'x': return Is(name, "x-request-id"u8, KnownHeader.RequestId);
            case (13 << 8) | 'a': return Is(name, "authorization"u8, KnownHeader.Authorization);
            case (13 << 8) | 'c':
                return Equal(name, "cache-control"u8)
                    ? KnownHeader.CacheControl
                    : Is(name, "content-range"u8, KnownHeader.ContentRange);
            case (14 << 8) | 'c': return Is(name, "content-length"u8, KnownHeader.ContentLength);
            case (14 << 8) | 'h': return Is(name, "http2-settings"u8, KnownHeader.Http2Settings);
            case (15 << 8) | 'x' when Equal(name, "x-forwarded-for"u8): return KnownHeader.ForwardedFor;
            case (16 << 8) | 'c': return Is(name, "content-encoding"u8, KnownHeader.ContentEncoding);
            case (16 << 8) | 'p': return Is(name, "proxy-connection"u8, KnownHeader.ProxyConnection);
            case (16 << 8) | 'w': return Is(name, "www-authenticate"u8, KnownHeader.WwwAuthenticate);
            case (17 << 8) | 't': return Is(name, "transfer-encoding"u8, KnownHeader.TransferEncoding);
            case (18 << 8) | 'p': return Is(name, "proxy-authenticate"u8, KnownHeader.ProxyAuthenticate);
            case (19 << 8) | 'p': return Is(name, "proxy-authorization"u8, KnownHeader.ProxyAuthorization);
            default:
                return first != 'x' || name.Length < 10 ? KnownHeader.Other
                    : Forwarding.Concerns(name) ? KnownHeader.Forwarding
                    : Equal(name[..10], "x-gateway-"u8) ? KnownHeader.Gateway
                    : KnownHeader.Other;
        }
    }

    /// <summary>Whether two names are one. <paramref name="other"/> is ASCII.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Equal<TChar>(ReadOnlySpan<TChar> name, ReadOnlySpan<byte> other)
        where TChar : unmanaged, IBinaryInteger<TChar> =>
        typeof(TChar) == typeof(byte)
            ? Ascii.EqualsIgnoreCase(MemoryMarshal.Cast<TChar, byte>(name), other)
            : Ascii.EqualsIgnoreCase(other, MemoryMarshal.Cast<TChar, char>(name));

    /// <summary>Whether two names are one, in either alphabet.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Same<TChar>(ReadOnlySpan<TChar> name, ReadOnlySpan<TChar> other)
        where TChar : unmanaged, IBinaryInteger<TChar> =>
        typeof(TChar) == typeof(byte)
            ? Ascii.EqualsIgnoreCase(MemoryMarshal.Cast<TChar, byte>(name), MemoryMarshal.Cast<TChar, byte>(other))
            : Ascii.EqualsIgnoreCase(MemoryMarshal.Cast<TChar, char>(name), MemoryMarshal.Cast<TChar, char>(other));

    /// <summary>Cuts the optional white space (RFC 9110 §5.6.3) around a value.</summary>
    public static ReadOnlySpan<TChar> Trim<TChar>(ReadOnlySpan<TChar> value)
        where TChar : unmanaged, IBinaryInteger<TChar> =>
        typeof(TChar) == typeof(byte)
            ? MemoryMarshal.Cast<byte, TChar>(MemoryMarshal.Cast<TChar, byte>(value).Trim(" \t"u8))
            : MemoryMarshal.Cast<char, TChar>(MemoryMarshal.Cast<TChar, char>(value).Trim(" \t"));

    private static KnownHeader Is<TChar>(ReadOnlySpan<TChar> name, ReadOnlySpan<byte> other, KnownHeader known)
        where TChar : unmanaged, IBinaryInteger<TChar> =>
        Equal(name, other) ? known : KnownHeader.Other;
}
