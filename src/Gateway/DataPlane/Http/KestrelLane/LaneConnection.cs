using System.Buffers;
using System.Collections.Concurrent;
using Gateway.DataPlane.Listening;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace Gateway.DataPlane.Http.KestrelLane;

/// <summary>One client connection in Kestrel's hands, with what draining must know of it. Found on the connection's
/// features.</summary>
internal sealed class LaneConnection(ConnectionContext context, ListenerState listener, long opened)
{
    // Written by the requests of this connection (several at a time on HTTP/2), read by drain and sweep.
    private int _inFlight;
    private int _tunnels;
    private long _served;
    private long _lastActive;
    private int _told;

    /// <summary>The port it came in on.</summary>
    public ListenerState Listener => listener;

    /// <summary>The other end.</summary>
    public System.Net.EndPoint? Client => context.RemoteEndPoint;

    /// <summary>Timestamp of its accept.</summary>
    public long Opened { get; } = opened;

    /// <summary>It has sent the HTTP/2 preface.</summary>
    public bool IsHttp2 { get; set; }

    /// <summary>It has sent enough to know what it speaks.</summary>
    public bool Began { get; set; }

    /// <summary>Requests under way, tunnels included.</summary>
    public int InFlight => Volatile.Read(ref _inFlight);

    /// <summary>Upgraded connections and extended CONNECTs under way.</summary>
    public int Tunnels => Volatile.Read(ref _tunnels);

    /// <summary>The WebSocket it has become (HTTP/1.1), or null.</summary>
    public PoliteTunnel? Tunnel { get; set; }

    /// <summary>Requests answered.</summary>
    public long Served => Volatile.Read(ref _served);

    /// <summary>Timestamp of the last end of a request.</summary>
    public long LastActive => Volatile.Read(ref _lastActive);

    /// <summary>What it is doing, as drains count it.</summary>
    public string State => Tunnels > 0 ? "tunnel" : InFlight > 0 ? "request" : Served > 0 ? "idle" : "new";

    /// <summary>A request begins.</summary>
    public void RequestBegan() => Interlocked.Increment(ref _inFlight);

    /// <summary>A request ended.</summary>
    public void RequestEnded(long now, bool wasTunnel)
    {
        Volatile.Write(ref _lastActive, now);
        Interlocked.Increment(ref _served);
        if (wasTunnel)
        {
            Interlocked.Decrement(ref _tunnels);
        }

        Interlocked.Decrement(ref _inFlight);
    }

    /// <summary>The request under way became a tunnel.</summary>
    public void TunnelBegan() => Interlocked.Increment(ref _tunnels);

    /// <summary>
    /// Asks Kestrel to end it politely: HTTP/2 sends GOAWAY and finishes its streams, an idle HTTP/1.1 connection is closed, a
    /// busy one after its response. Once is enough.
    /// </summary>
    public void RequestClose()
    {
        if (Interlocked.Exchange(ref _told, 1) == 0)
        {
            context.Features.Get<IConnectionLifetimeNotificationFeature>()?.RequestClose();
        }
    }

    /// <summary>Wakes a connection that still waits for its first bytes, so that it ends.</summary>
    public void GiveUpWaiting() => context.Transport.Input.CancelPendingRead();

    /// <summary>Writes bytes behind what Kestrel has written, without waiting.</summary>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        context.Transport.Output.Write(bytes);
        _ = context.Transport.Output.FlushAsync().AsTask().ContinueWith(
            static flush => _ = flush.Exception, TaskScheduler.Default);
    }

    /// <summary>Ends it now.</summary>
    public void Abort(string why) => context.Abort(new ConnectionAbortedException(why));
}

/// <summary>Every client connection of the lane, and who of them is to go.</summary>
internal sealed class ConnectionTracker(TimeProvider clock)
{
    /// <summary>How long a connection may stay without a byte: <c>keepAlive</c>, as between requests.</summary>
    public static readonly TimeSpan FirstByteMax = TimeSpan.FromSeconds(60);

    /// <summary>How long a connection of a closed port may be idle. Long enough for a client that is just about to
    /// send.</summary>
    public static readonly TimeSpan ClosedPortIdle = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<LaneConnection, bool> _all = new();

    /// <summary>Connections open.</summary>
    public int Count => _all.Count;

    /// <summary>Requests and tunnels under way.</summary>
    public int Requests => _all.Keys.Sum(static connection => connection.InFlight);

    /// <summary>A connection begins.</summary>
    public void Add(LaneConnection connection) => _all.TryAdd(connection, true);

    /// <summary>A connection ended.</summary>
    public void Remove(LaneConnection connection) => _all.TryRemove(connection, out _);

    /// <summary>Tells HTTP/2 connections to go; HTTP/1.1 ones are told with their next response.</summary>
    public void GoAway()
    {
        foreach ((LaneConnection connection, _) in _all)
        {
            if (connection.IsHttp2)
            {
                connection.RequestClose();
            }
        }
    }

    /// <summary>Closes what has served a request and has been idle for <paramref name="idle"/>, oldest first; returns how
    /// many.</summary>
    public int CloseIdle(TimeSpan idle)
    {
        // Oldest first: the longer a client was silent, the less likely it is to send in this very moment.
        LaneConnection[] due = [.. _all.Keys.Where(connection => IsIdle(connection, idle)).OrderBy(static c => c.LastActive)];
        foreach (LaneConnection connection in due)
        {
            connection.RequestClose();
        }

        return due.Length;
    }

    /// <summary>Ends everything now; returns how many by state.</summary>
    public Dictionary<string, int> AbortAll()
    {
        Dictionary<string, int> closed = new(StringComparer.Ordinal);
        foreach ((LaneConnection connection, _) in _all)
        {
            closed[connection.State] = closed.GetValueOrDefault(connection.State) + 1;
            connection.Abort("the gateway ends");
        }

        return closed;
    }

    /// <summary>Tells every WebSocket that the gateway goes away; returns how many tunnels there are.</summary>
    public int SayGoodbye()
    {
        int tunnels = 0;
        foreach ((LaneConnection connection, _) in _all)
        {
            tunnels += connection.Tunnels;
            connection.Tunnel?.SayGoodbye();
        }

        return tunnels;
    }

    /// <summary>Tunnels under way.</summary>
    public int Tunnels => _all.Sum(c => c.Key.Tunnels);

    /// <summary>
    /// Once a second: gives up on connections that never sent a byte, lets go idle ones of ports that are closed. One timer for
    /// all of them; a timer each would cost more memory than the rest of an idle connection.
    /// </summary>
    public void Sweep()
    {
        foreach ((LaneConnection connection, _) in _all)
        {
            if (!connection.Began && clock.GetElapsedTime(connection.Opened) >= FirstByteMax)
            {
                connection.GiveUpWaiting();
            }
            else if (connection.Listener.Closing && (connection.IsHttp2 || IsIdle(connection, ClosedPortIdle)))
            {
                connection.RequestClose();
            }
        }
    }

    private bool IsIdle(LaneConnection connection, TimeSpan idle) =>
        connection.Served > 0 && connection.InFlight == 0 && clock.GetElapsedTime(connection.LastActive) >= idle;
}
