using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Loops;
using Gateway.Observability;
using Microsoft.Extensions.Logging;

namespace Gateway.DataPlane.Tcp;

/// <summary>One loop's share of the lane: its relays and its pipes. Touched by its loop only.</summary>
internal sealed class TcpLoop(
    EventLoop loop, DestinationPick pick, RelayRecords records, TimeProvider time, ILogger logger, GatewayMetrics metrics)
{
    private readonly HashSet<LoopRelay> _relays = [];

    // Those with bytes to count, or whose receiver is slow: the sweep looks at no others.
    private readonly HashSet<LoopRelay> _watched = [];

    // Written by the loop, read by anybody.
    private int _count;

    /// <summary>The loop.</summary>
    public EventLoop Loop => loop;

    /// <summary>Chooses destinations.</summary>
    public DestinationPick Pick => pick;

    /// <summary>Takes records and byte counts.</summary>
    public RelayRecords Records => records;

    /// <summary>The clock.</summary>
    public TimeProvider Time => time;

    /// <summary>Log.</summary>
    public ILogger Logger => logger;

    /// <summary>Counts.</summary>
    public GatewayMetrics Metrics => metrics;

    /// <summary>Pipes to splice through.</summary>
    public PipePool Pipes { get; } = new();

    /// <summary>Relays under way. Read by anybody.</summary>
    public int Relays => Volatile.Read(ref _count);

    /// <summary>Takes an accepted descriptor.</summary>
    public void Accept(ListenerState listener, int fd)
    {
        LoopRelay relay = new(this, listener, fd);
        _relays.Add(relay);
        Volatile.Write(ref _count, _relays.Count);
        relay.Begin();
    }

    /// <summary>The sweep shall look at a relay.</summary>
    public void Watch(LoopRelay relay)
    {
        if (!relay.IsWatched)
        {
            relay.IsWatched = true;
            _watched.Add(relay);
        }
    }

    /// <summary>A relay is over, and recorded.</summary>
    public void Remove(LoopRelay relay)
    {
        if (relay.IsWatched)
        {
            _watched.Remove(relay);
        }

        _relays.Remove(relay);
        Volatile.Write(ref _count, _relays.Count);
    }

    /// <summary>Once a second: counts bytes, and notes what slow receivers have acknowledged.</summary>
    public void Sweep() => _watched.RemoveWhere(static relay => !(relay.IsWatched = relay.Sweep()));

    /// <summary>Ends every relay in order.</summary>
    public void SayGoodbye()
    {
        foreach (LoopRelay relay in _relays.ToArray())
        {
            relay.SayGoodbye();
        }
    }

    /// <summary>Ends every relay now.</summary>
    public void AbortAll()
    {
        foreach (LoopRelay relay in _relays.ToArray())
        {
            relay.Abort();
        }
    }

    /// <summary>Ends every relay and closes what is kept; true, for whoever waits.</summary>
    public bool Close()
    {
        AbortAll();
        Pipes.Close();
        return true;
    }

    /// <summary>Every relay, in no order.</summary>
    public RelayView[] List() => [.. _relays.Select(relay => relay.View())];
}
