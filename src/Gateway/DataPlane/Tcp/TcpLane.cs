using System.Net.Sockets;
using Gateway.DataPlane.Listening;

namespace Gateway.DataPlane.Tcp;

/// <summary>Relays raw TCP.</summary>
internal sealed class TcpLane
{
    /// <summary>Relays under way.</summary>
    public int Relays => 0;

    /// <summary>An <see cref="AcceptedSocket"/>: connects to a destination and relays until both sides are done.</summary>
    public void Accept(ListenerState listener, Socket socket)
    {
    }

    /// <summary>Ends every relay now; returns how many.</summary>
    public int AbortAll() => 0;
}
