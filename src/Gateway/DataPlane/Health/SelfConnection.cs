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

    /// <summary>Whether a connected socket is connected to itself. One that was reset since is not: whoever reads it finds out.</summary>
    public static bool Is(Socket socket)
    {
        try
        {
            return socket.LocalEndPoint is { } local && local.Equals(socket.RemoteEndPoint);
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
