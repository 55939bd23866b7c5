using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Gateway.Configuration;

/// <summary>Addresses, ports and host names as operators write them; stricter than .NET, which reads <c>1</c> as 0.0.0.1.</summary>
internal static class AddressForms
{
    /// <summary>What a listen address looks like, for messages.</summary>
    public const string ListenForm = "ADDRESS:PORT, [V6]:PORT or :PORT (every address)";

    /// <summary>Parses a listen address; <c>:PORT</c> becomes the IPv6 any address, which means every address, IPv4 too.</summary>
    public static bool TryListen(string text, out IPEndPoint endPoint)
    {
        endPoint = new IPEndPoint(IPAddress.IPv6Any, 0);
        int colon = text.LastIndexOf(':');
        if (colon < 0 || !TryPort(text[(colon + 1)..], out int port))
        {
            return false;
        }

        string host = text[..colon];
        bool bracketed = host.Length > 2 && host[0] == '[' && host[^1] == ']';
        IPAddress? address = IPAddress.IPv6Any;
        if (host.Length > 0 && !TryIp(bracketed ? host[1..^1] : host, out address))
        {
            return false;
        }

        endPoint = new IPEndPoint(address, port);
        return host.Length == 0 || bracketed == (address.AddressFamily == AddressFamily.InterNetworkV6);
    }

    /// <summary>Renders so that <see cref="TryListen"/> reads it back.</summary>
    public static string Listen(IPEndPoint endPoint) => endPoint.Address.Equals(IPAddress.IPv6Any)
        ? string.Create(CultureInfo.InvariantCulture, $":{endPoint.Port}")
        : endPoint.ToString();

    /// <summary>Whether binding both would collide: the same port on the same address, or on every address of one of them.</summary>
    public static bool Collide(IPEndPoint a, IPEndPoint b) => a.Port == b.Port && Overlap(a.Address, b.Address);

    /// <summary>Whether one of the addresses covers the other.</summary>
    public static bool Overlap(IPAddress a, IPAddress b) => a.Equals(b) || Covers(a, b) || Covers(b, a);

    /// <summary>1-65535 without leading zeros.</summary>
    public static bool TryPort(string text, out int port) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out port)
        && port is >= 1 and <= 65535
        && text[0] != '0'
        && text.Length <= 5;

    /// <summary>An IPv4 address in four parts, or an IPv6 address without brackets.</summary>
    public static bool TryIp(string text, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out IPAddress? address) =>
        IPAddress.TryParse(text, out address)
        && (address.AddressFamily == AddressFamily.InterNetworkV6
            ? text[0] != '['
            : string.Equals(address.ToString(), text, StringComparison.Ordinal));

    /// <summary>An address or a network with its prefix length, like <c>10.0.0.0/8</c>.</summary>
    public static bool TryNetwork(string text)
    {
        int slash = text.IndexOf('/', StringComparison.Ordinal);
        return TryIp(slash < 0 ? text : text[..slash], out IPAddress? address)
            && (slash < 0
                || (int.TryParse(text[(slash + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out int bits)
                    && bits <= (address.AddressFamily == AddressFamily.InterNetworkV6 ? 128 : 32)));
    }

    /// <summary>A host name: labels of letters, digits, hyphens and underscores, each at most 63 long, 253 in all.</summary>
    public static bool IsHostName(string text) =>
        text.Length is > 0 and <= 253
        && text.Split('.').All(label =>
            label.Length is > 0 and <= 63
            && label[0] != '-'
            && label[^1] != '-'
            && label.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'));

    /// <summary><c>HOST:PORT</c> of a server: an IP address or a host name.</summary>
    public static bool IsServer(string text)
    {
        int colon = text.LastIndexOf(':');
        return TryListen(text, out _)
            ? colon > 0
            : colon > 0 && TryPort(text[(colon + 1)..], out _) && !IsIpLike(text[..colon]) && IsHostName(text[..colon]);
    }

    /// <summary>Digits and dots, or colons: meant as an IP address even if it is none.</summary>
    public static bool IsIpLike(string text) =>
        text.Contains(':', StringComparison.Ordinal) || text.All(c => char.IsAsciiDigit(c) || c == '.');

    private static bool Covers(IPAddress every, IPAddress one) =>
        every.Equals(IPAddress.IPv6Any)
        || (every.Equals(IPAddress.Any) && one.AddressFamily == AddressFamily.InterNetwork);
}
