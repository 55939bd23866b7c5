using System.Globalization;
using Gateway.Planning;

namespace Gateway.DataPlane.Http.KestrelLane;

/// <summary>
/// Whether a request's Host can go on as it is. SocketsHttpHandler sends what it does not take for a host and writes the
/// instance's address as a second Host before it: one request, two hosts, and every reader believes another.
/// </summary>
internal static class HostHeader
{
    /// <summary>Whether it goes on alone, byte for byte; an empty one does not go on at all.</summary>
    /// <param name="host">The value, as Kestrel let it in.</param>
    public static bool CanGoOn(string host)
    {
        // 1. What nearly everybody sends: a name or an IPv4 address, and perhaps a port.
        ReadOnlySpan<char> name = host;
        int colon = name.IndexOf(':');
        bool port = colon < 0 || ushort.TryParse(name[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out _);
        name = colon < 0 ? name : name[..colon];
        name = name.EndsWith(".") ? name[..^1] : name;
        if (host.Length == 0 || (port && name.Length <= 253 && HostNames.IsName(name)))
        {
            return true;
        }

        // 2. The rest: exactly the question that SocketsHttpHandler asks.
        return Uri.TryCreate($"http://u@{host}/", UriKind.Absolute, out _);
    }
}
