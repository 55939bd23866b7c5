using System.Net;
using System.Net.Sockets;

namespace Gateway.DataPlane.Health;

/// <summary>
/// A connection whose two ends are one socket. With nobody listening on a port of the ephemeral range the kernel may choose that
/// very port as our source, and TCP's simultaneous open then connects the socket to itself: an echo that looks like a service, and
/// the port taken from the one that comes back.
/// </summary>
internal static class SelfConnection
{
    /// <summary>What it is called where failures are told.</summary>
    public const string Evidence = "connected to itself: nobody listens there";

    /// <summary>
    /// Whether a socket that was connected to <paramref name="to"/> is connected to itself. The peer's address is not asked for: of a
    /// socket that was reset meanwhile .NET would then believe that it never was connected.
    /// </summary>
    public static bool Is(Socket socket, EndPoint to)
    {
        try
        {
            return socket.LocalEndPoint is IPEndPoint local && to is IPEndPoint remote && local.Port == remote.Port
                && Plain(local.Address).Equals(Plain(remote.Address));
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private static IPAddress Plain(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
}
