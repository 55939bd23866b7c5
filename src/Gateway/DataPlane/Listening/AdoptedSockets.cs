using System.Net;
using System.Net.Sockets;

namespace Gateway.DataPlane.Listening;

/// <summary>
/// Identity of a listening socket across processes. The port alone is not enough: TCP and UDP, IPv4 and IPv6 may use one port.
/// </summary>
internal readonly record struct SocketKey(AddressFamily Family, SocketType Type, IPAddress Address, int Port)
{
    /// <summary>The key of a TCP socket on that address.</summary>
    public static SocketKey Tcp(IPEndPoint endPoint) =>
        new(endPoint.AddressFamily, SocketType.Stream, endPoint.Address, endPoint.Port);

    /// <summary>Where it is bound.</summary>
    public IPEndPoint EndPoint => new(Address, Port);
}

/// <summary>Listening sockets that came from another process and wait for the listener that wants them.</summary>
internal sealed class AdoptedSockets : IDisposable
{
    private readonly Dictionary<SocketKey, SafeSocketHandle> _waiting = [];

    /// <summary>Sockets nobody has asked for yet.</summary>
    public int Count
    {
        get
        {
            lock (_waiting)
            {
                return _waiting.Count;
            }
        }
    }

    /// <summary>Takes over a socket; a second one of the same key is closed.</summary>
    public void Add(SocketKey key, SafeSocketHandle handle)
    {
        lock (_waiting)
        {
            if (!_waiting.TryAdd(key, handle))
            {
                Close(handle);
            }
        }
    }

    /// <summary>The socket bound there, ready to accept; null when none came, or what came is no socket.</summary>
    public Socket? Take(SocketKey key)
    {
        SafeSocketHandle? handle;
        lock (_waiting)
        {
            if (!_waiting.Remove(key, out handle))
            {
                return null;
            }
        }

        // A predecessor that disposed it with an accept pending has left SO_LINGER {1,0} on the shared description, which every
        // connection accepted later would inherit: responses cut short by a reset.
        try
        {
            return new Socket(handle) { LingerState = new LingerOption(false, 0) };
        }
        catch (SocketException)
        {
            handle.Dispose(); // no socket, so there is nothing that a predecessor accepts from
            return null;
        }
    }

    /// <summary>
    /// Closes what nobody asked for. Must follow the first apply: clients of a port that is bound but never accepted from would
    /// hang in its queue instead of being refused.
    /// </summary>
    public void Dispose()
    {
        lock (_waiting)
        {
            foreach (SafeSocketHandle handle in _waiting.Values)
            {
                Close(handle);
            }

            _waiting.Clear();
        }
    }

    // Through a Socket: a bare SafeSocketHandle closes "abortively", which sets SO_LINGER {1,0} on a description that the
    // predecessor still accepts from.
    private static void Close(SafeSocketHandle handle)
    {
        try
        {
            new Socket(handle).Dispose();
        }
        catch (SocketException)
        {
            handle.Dispose(); // no socket
        }
    }
}
