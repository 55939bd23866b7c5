using System.Buffers;
using System.Net;

namespace Gateway.DataPlane.Http.FastLane;

/// <summary>The alphabets of RFC 9110 and RFC 3986, and the few words made of them that are read on their own.</summary>
internal static class Grammar
{
    /// <summary>What ends a line or has no place in a head: every control but tab, and DEL (RFC 9110 §5.5).</summary>
    public static readonly SearchValues<byte> Controls = SearchValues.Create(
        [.. Enumerable.Range(0, 32).Where(static b => b != '\t').Append(127).Select(static b => (byte)b)]);

    /// <summary>token (RFC 9110 §5.6.2).</summary>
    public static readonly SearchValues<byte> Token = SearchValues.Create(
        "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"u8);

    // reg-name (RFC 3986 §3.2.2) without the percent sign, which is looked at on its own.
    private static readonly SearchValues<byte> s_regName = SearchValues.Create(
        "-._~!$&'()*+,;=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"u8);

    private static readonly SearchValues<byte> s_ipv6 = SearchValues.Create("0123456789abcdefABCDEF:."u8);

    /// <summary>
    /// Whether a value of Host or an authority without userinfo is one: <c>uri-host [ ":" port ]</c>. An empty one is valid in
    /// Host (RFC 9112 §3.2). A colon asks for a port, as in Kestrel.
    /// </summary>
    public static bool IsHost(ReadOnlySpan<byte> host)
    {
        int end = host.IndexOfAnyExcept(s_regName);
        if (end < 0)
        {
            return true;
        }

        if (host[0] == '[')
        {
            int close = host.IndexOf((byte)']');
            if (close < 0 || !IsIpv6(host[1..close]))
            {
                return false;
            }

            end = close + 1;
            return end == host.Length || IsPort(host[end..]);
        }

        while (end < host.Length && host[end] == '%')
        {
            // RFC 3986 §2.1.
            if (host.Length - end < 3 || !char.IsAsciiHexDigit((char)host[end + 1]) || !char.IsAsciiHexDigit((char)host[end + 2]))
            {
                return false;
            }

            int next = host[(end + 3)..].IndexOfAnyExcept(s_regName);
            if (next < 0)
            {
                return true;
            }

            end += 3 + next;
        }

        return end > 0 && IsPort(host[end..]);
    }

    /// <summary>
    /// Digits alone, without sign, list or overflow (RFC 9110 §8.6: <c>1*DIGIT</c>). Whatever one party reads as a length and
    /// another does not ends in two requests where one was meant.
    /// </summary>
    public static bool TryLength(ReadOnlySpan<byte> value, out long length)
    {
        length = 0;
        if (value.IsEmpty || value.Length > 32)
        {
            return false;
        }

        foreach (byte b in value)
        {
            int digit = b - '0';
            if ((uint)digit > 9 || length > (long.MaxValue - digit) / 10)
            {
                return false;
            }

            length = (length * 10) + digit;
        }

        return true;
    }

    // Without a zone, which means something on one host only; a colon tells it from IPv4.
    private static bool IsIpv6(ReadOnlySpan<byte> address) =>
        !address.ContainsAnyExcept(s_ipv6) && address.Contains((byte)':') && IPAddress.IsValidUtf8(address);

    private static bool IsPort(ReadOnlySpan<byte> port)
    {
        if (port.Length is < 2 or > 6 || port[0] != ':')
        {
            return false;
        }

        return TryLength(port[1..], out long number) && number <= ushort.MaxValue;
    }
}
