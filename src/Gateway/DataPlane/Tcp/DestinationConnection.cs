using System.Net;
using System.Net.Sockets;
using Gateway.Planning;

namespace Gateway.DataPlane.Tcp;

/// <summary>What came of connecting to a destination.</summary>
/// <param name="Socket">The connection; null: there is none.</param>
/// <param name="Evidence">Why there is none, in words.</param>
/// <param name="Reason">Reason code: <c>connect-failed</c> or <c>timeout-connect</c>.</param>
/// <param name="OurFault">We lack descriptors, ports or memory: that says nothing of the destination; no other would do.</param>
internal readonly record struct ConnectOutcome(Socket? Socket, string Evidence, string Reason, bool OurFault);

/// <summary>Connects to destinations.</summary>
internal static class DestinationConnection
{
    /// <summary>Connects within the deadline; a name is resolved each time, its addresses tried in turn. Never throws.</summary>
    public static async ValueTask<ConnectOutcome> ConnectAsync(DestinationPlan destination, CancellationToken deadline)
    {
        try
        {
            if (IPAddress.TryParse(destination.Address, out IPAddress? literal))
            {
                return await ConnectAsync(new IPEndPoint(literal, destination.Port), deadline);
            }

            ConnectOutcome outcome = Failed("the name has no address");
            foreach (IPAddress address in await Dns.GetHostAddressesAsync(destination.Address, deadline))
            {
                outcome = await ConnectAsync(new IPEndPoint(address, destination.Port), deadline);
                if (outcome.Socket is not null || outcome.OurFault || deadline.IsCancellationRequested)
                {
                    break;
                }
            }

            return outcome;
        }
        catch (OperationCanceledException)
        {
            return TimedOut;
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            return Failed(e.Message); // no such name, or nothing that could be a name
        }
    }

    private static ConnectOutcome TimedOut => new(null, "connect timed out", "timeout-connect", false);

    private static ConnectOutcome Failed(string evidence, bool ourFault = false) =>
        new(null, evidence, "connect-failed", ourFault);

    private static async ValueTask<ConnectOutcome> ConnectAsync(IPEndPoint endPoint, CancellationToken deadline)
    {
        Socket? socket = null;
        try
        {
            socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await socket.ConnectAsync(endPoint, deadline);

            // With nobody listening on a port of the ephemeral range the kernel may choose that very port as our source, and
            // TCP's simultaneous open then connects the socket to itself: an echo, and the port taken from its service.
            if (!endPoint.Equals(socket.LocalEndPoint))
            {
                return new ConnectOutcome(socket, "", "", false);
            }

            socket.Dispose();
            return Failed("connected to itself: nobody listens there");
        }
        catch (OperationCanceledException)
        {
            socket?.Dispose();
            return TimedOut;
        }
        catch (Exception e) when (e is not SocketException)
        {
            socket?.Dispose();
            throw;
        }
        catch (SocketException e)
        {
            socket?.Dispose();
            return e.SocketErrorCode == SocketError.TimedOut
                ? TimedOut
                : Failed(e.Message, ourFault: e.SocketErrorCode is SocketError.TooManyOpenSockets
                    or SocketError.NoBufferSpaceAvailable or SocketError.AddressNotAvailable or SocketError.AddressAlreadyInUse);
        }
    }
}
