using System.Net;
using Gateway.Planning;

namespace Gateway.DataPlane.Listening;

/// <summary>One address of a listener.</summary>
/// <param name="EndPoint">Where it is, or should be, bound.</param>
/// <param name="Failure">Code of the problem that keeps it from being bound; null: it accepts.</param>
internal sealed record ListenerBinding(IPEndPoint EndPoint, string? Failure)
{
    /// <summary>Whether it accepts.</summary>
    public bool IsBound => Failure is null;
}

/// <summary>
/// One open port, live. The listener set writes; accepted connections read <see cref="Plan"/> at accept and at each request, so
/// that a port may change owner or protocol without closing a socket.
/// </summary>
/// <param name="plan">What it should be.</param>
/// <param name="gate">Where its connections are counted with all others; null: nowhere.</param>
internal sealed class ListenerState(ListenerPlan plan, ConnectionGate? gate = null)
{
    private volatile ListenerPlan _plan = plan;
    private volatile IReadOnlyList<ListenerBinding> _bindings = [];
    private volatile bool _closing;
    private int _connections;
    private long _accepted;

    /// <summary>Identity.</summary>
    public ListenerKey Key => _plan.Key;

    /// <summary>Identity as text, as logs and metrics name it.</summary>
    public string Name { get; } = plan.Key.ToString();

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

    /// <summary>Its addresses, bound or not, in the order of the options. Written by the listener set.</summary>
    public IReadOnlyList<ListenerBinding> Bindings
    {
        get => _bindings;
        internal set => _bindings = value;
    }

    /// <summary>Connections accepted here and still open.</summary>
    public int Connections => Volatile.Read(ref _connections);

    /// <summary>Connections ever accepted here.</summary>
    public long Accepted => Volatile.Read(ref _accepted);

    /// <summary>A connection was accepted. Its place in the gate was taken by the accept loop before.</summary>
    public void ConnectionOpened()
    {
        Interlocked.Increment(ref _connections);
        Interlocked.Increment(ref _accepted);
    }

    /// <summary>A connection ended.</summary>
    public void ConnectionClosed()
    {
        Interlocked.Decrement(ref _connections);
        gate?.Exit();
    }
}
