using System.Net;
using System.Net.Sockets;

namespace Gateway.BlackBoxTests.Harness;

/// <summary>
/// Hands out ports that no other test run on this machine holds. Outside the kernel's ephemeral range, so that no outgoing
/// connection takes one in between; each is claimed by an open lock file, which the kernel lets go when we die.
/// </summary>
internal static class Ports
{
    private static readonly Lock Gate = new();
    private static readonly List<FileStream> Claims = [];
    private static readonly string Folder = Directory.CreateDirectory(
        Path.Combine(Path.GetTempPath(), "gateway-test-ports")).FullName;

    /// <summary>A port P of 1000-9999 of which 1P (staging's, SPEC §2) and 2P (for an environment of a test's own) are free too.</summary>
    public static int Production() => Take(2000, 9899, static port => [port, 10_000 + port, 20_000 + port]);

    /// <summary>A port for a server of ours, an agent or an admin address; its staging port means nothing.</summary>
    public static int Any() => Take(20_000, 32_000, static port => [port]);

    private static int Take(int from, int to, Func<int, int[]> needed)
    {
        for (int attempt = 0; attempt < 5000; attempt++)
        {
            int port = Random.Shared.Next(from, to + 1);
            int[] ports = needed(port);
            if (Array.TrueForAll(ports, IsFree) && Array.TrueForAll(ports, TryClaim))
            {
                return port;
            }
        }

        throw new InvalidOperationException($"No free port between {from} and {to}.");
    }

    private static bool IsFree(int port)
    {
        foreach (IPAddress address in (IPAddress[])[IPAddress.Any, IPAddress.IPv6Any])
        {
            try
            {
                using Socket socket = new(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
                if (address.AddressFamily == AddressFamily.InterNetworkV6)
                {
                    socket.DualMode = false;
                }

                socket.Bind(new IPEndPoint(address, port));
                socket.Listen();
            }
            catch (SocketException)
            {
                return false;
            }
        }

        return true;
    }

    private static bool TryClaim(int port)
    {
        lock (Gate)
        {
            try
            {
                Claims.Add(new FileStream(Path.Combine(Folder, port.ToString()), FileMode.OpenOrCreate, FileAccess.Write, FileShare.None));
                return true;
            }
            catch (Exception taken) when (taken is IOException or UnauthorizedAccessException)
            {
                return false;
            }
        }
    }
}
