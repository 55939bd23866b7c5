using Gateway.Planning;

namespace Gateway.DataPlane.Listening;

/// <summary>
/// One open port, live. The listener set writes; accepted connections read <see cref="Plan"/> at accept and at each request, so
/// that a port may change owner or protocol without closing a socket.
/// </summary>
internal sealed class ListenerState(ListenerPlan plan)
{
    private volatile ListenerPlan _plan = plan;
    private volatile bool _closing;
    private int _connections;

    /// <summary>Identity.</summary>
    public ListenerKey Key => _plan.Key;

    /// <summary>What it should be now. Written by the listener set, read by every connection.</summary>
    public ListenerPlan Plan
    {
        get => _plan;
        internal set => _plan = value;
    }

    /// <summary>The port is gone from the plan: connections finish what they do and take no further request.</summary>
    public bool Closing
    {
        get => _closing;
        internal set => _closing = value;
    }

    /// <summary>Connections accepted here and still open.</summary>
    public int Connections => Volatile.Read(ref _connections);

    /// <summary>A connection was accepted.</summary>
    public void ConnectionOpened() => Interlocked.Increment(ref _connections);

    /// <summary>A connection ended.</summary>
    public void ConnectionClosed() => Interlocked.Decrement(ref _connections);
}
