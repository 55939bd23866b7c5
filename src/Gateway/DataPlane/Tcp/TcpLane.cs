using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Loops;
using Gateway.Observability;
using Gateway.Planning;
using Microsoft.Extensions.Logging;

namespace Gateway.DataPlane.Tcp;

// In: accepted connections of TCP ports, on a loop or as sockets of .NET (engine kestrel). Out: the same bytes, FINs and resets at a
// destination, and back. Invariant: an established relay depends on nothing but its two sockets; no change of plan, listener or health
// touches it.

/// <summary>
/// A destination for a connection of that listener that is not in <paramref name="tried"/>, with the timeouts of its cluster;
/// null when there is none.
/// </summary>
internal delegate DestinationState? DestinationPick(
    ListenerPlan listener, ReadOnlySpan<DestinationState> tried, out TimeoutsPlan timeouts);

/// <summary>One relay, for views.</summary>
internal sealed record RelayView(
    string Listener,
    string Service,
    string Environment,
    EndPoint? Client,
    string Destination,
    string DestinationAddress,
    DateTimeOffset Started,
    TimeSpan Silence,
    long BytesIn,
    long BytesOut);

/// <summary>Relays raw TCP: <see cref="LoopRelay"/>s on the loops, <see cref="Relay"/>s where there are none.</summary>
internal sealed class TcpLane : IAsyncDisposable
{
    /// <summary>Instances that are tried for one connection.</summary>
    public const int AttemptsMax = 3;

    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(1);

    // An aborted relay needs no peer to end; this only bounds a mistake of ours.
    private static readonly TimeSpan EndsWithin = TimeSpan.FromSeconds(2);
    private static readonly TimeoutsPlan DefaultTimeouts = new();

    private readonly ConcurrentDictionary<Relay, byte> _relays = [];
    private readonly DestinationPick _pick;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly GatewayMetrics _metrics;
    private readonly RelayRecords _records;

    // By the loops' index; none where the engine is Kestrel.
    private readonly TcpLoop[] _loops;

    // One timer for all relays: reads only note the time, so a busy relay pays nothing for its idle timeout.
    private readonly ITimer _sweep;

    /// <summary>Makes a lane that asks the clusters for destinations.</summary>
    public TcpLane(
        ClusterTable clusters, TimeProvider time, ILogger logger, GatewayMetrics metrics, AccessLog accessLog, LoopGroup? loops = null)
        : this(PickFrom(clusters), accessLog.Write, time, logger, metrics, loops)
    {
    }

    /// <summary>Makes a lane that asks <paramref name="pick"/> and gives its records to <paramref name="recorded"/>.</summary>
    public TcpLane(
        DestinationPick pick, RelayRecorded recorded, TimeProvider time, ILogger logger, GatewayMetrics metrics, LoopGroup? loops = null)
    {
        (_pick, _time, _logger, _metrics) = (pick, time, logger, metrics);
        _records = new RelayRecords(recorded, metrics, logger);
        _loops = [.. (loops?.Loops ?? []).Select(loop => new TcpLoop(loop, pick, _records, time, logger, metrics))];
        _sweep = time.CreateTimer(_ => Sweep(), null, SweepInterval, SweepInterval);
    }

    /// <summary>Relays under way, connecting ones included.</summary>
    public int Relays => _relays.Count + _loops.Sum(own => own.Relays);

    /// <summary>An <see cref="AcceptedSocket"/>: connects to a destination and relays until both sides are done.</summary>
    public void Accept(ListenerState listener, Socket socket)
    {
        Relay relay = new(listener, socket, _time);
        listener.ConnectionOpened();
        _metrics.ConnectionOpened(listener.Name, "tcp");
        _relays.TryAdd(relay, 0);
        _ = ServeAsync(relay);
    }

    /// <summary>An <see cref="AcceptedOnLoop"/>: the same, and all of it stays on that loop.</summary>
    public void AcceptOnLoop(ListenerState listener, EventLoop loop, int fd)
    {
        listener.ConnectionOpened();
        _metrics.ConnectionOpened(listener.Name, "tcp");
        _loops[loop.Index].Accept(listener, fd);
    }

    /// <summary>Tells both sides of every relay that it ends (FIN, not a reset); returns how many there are.</summary>
    public int SayGoodbye()
    {
        int told = Relays;
        foreach (Relay relay in _relays.Keys)
        {
            relay.SayGoodbye();
        }

        foreach (TcpLoop own in _loops)
        {
            own.Loop.Post(static own => ((TcpLoop)own!).SayGoodbye(), own);
        }

        return told;
    }

    /// <summary>Ends every relay now; returns how many.</summary>
    public int AbortAll()
    {
        int aborted = Relays;
        foreach (Relay relay in _relays.Keys)
        {
            relay.Abort();
        }

        foreach (TcpLoop own in _loops)
        {
            own.Loop.Post(static own => ((TcpLoop)own!).AbortAll(), own);
        }

        return aborted;
    }

    /// <summary>Every relay, in no order.</summary>
    public async Task<IReadOnlyList<RelayView>> ListAsync()
    {
        RelayView[][] onLoops = await Task.WhenAll(_loops.Select(own => own.Loop.AskAsync(own.List)));
        return
        [
            .. onLoops.SelectMany(views => views),
            .. _relays.Keys.Select(r => new RelayView(
                r.Listener.Name, r.Plan.Service, r.Plan.Environment, r.ClientEndPoint,
                r.Target?.Plan.Instance.ToString() ?? "", r.Target?.Plan.EndPoint ?? "",
                r.Started, r.Target is null ? TimeSpan.Zero : r.Silence, r.BytesToDestination, r.BytesToClient)),
        ];
    }

    /// <summary>Ends what is left; all of it is recorded and counted out then.</summary>
    public async ValueTask DisposeAsync()
    {
        await _sweep.DisposeAsync();
        Task[] ends = [.. _relays.Keys.Select(r => r.Ended.Task), .. _loops.Select(own => own.Loop.AskAsync(own.Close))];
        AbortAll();
        await Task.WhenAll(ends).WaitAsync(EndsWithin, _time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Ends relays that were silent too long and counts bytes of the others; called every second.</summary>
    internal void Sweep()
    {
        foreach (Relay relay in _relays.Keys)
        {
            relay.EndIfIdle();
            CountBytes(relay);
        }

        foreach (TcpLoop own in _loops)
        {
            own.Loop.Post(static own => ((TcpLoop)own!).Sweep(), own);
        }
    }

    private static DestinationPick PickFrom(ClusterTable clusters)
    {
        return Pick;

        DestinationState? Pick(ListenerPlan listener, ReadOnlySpan<DestinationState> tried, out TimeoutsPlan timeouts)
        {
            ClusterState? cluster = clusters.Find(listener.Cluster);
            timeouts = cluster?.Plan.Timeouts ?? DefaultTimeouts;
            return cluster?.Pick(tried);
        }
    }

    private async Task ServeAsync(Relay relay)
    {
        Served served = new();
        try
        {
            await ConnectAndRelayAsync(relay, served);
        }
        catch (Exception e)
        {
            _logger.LogError(e, "{Listener}: relay failed", relay.Listener.Name);
        }
        finally
        {
            End(relay, served);
        }
    }

    // Whatever happened: closed, recorded, counted out. In this order: who waits for the count to be 0 may rely on the record.
    private void End(Relay relay, Served served)
    {
        relay.Client.Dispose();
        CountBytes(relay);
        Record(relay, served);
        relay.Listener.ConnectionClosed();
        _relays.TryRemove(relay, out _);
        relay.Ended.SetResult();
    }

    private async Task ConnectAndRelayAsync(Relay relay, Served served)
    {
        DestinationState[] tried = [];
        while (true)
        {
            // 1. Choose. Nothing was sent yet, so another instance may always be tried.
            DestinationState? target = _pick(relay.Plan, tried, out TimeoutsPlan timeouts);
            if (target is null)
            {
                served.Reason = tried.Length == 0 ? "no-instance" : served.Reason;
                return;
            }

            DestinationPlan plan = target.Plan;
            served.Retries = tried.Length;
            served.Destination = plan;
            target.Begin();
            try
            {
                // 2. Connect at once: the server may be the one who speaks first.
                ConnectOutcome outcome = await ConnectAsync(relay, plan, timeouts.Connect);
                if (outcome.Socket is { } destination)
                {
                    // 3. Relay.
                    served.Connect = _time.GetElapsedTime(relay.StartedTimestamp);
                    served.Reason = "";
                    target.Health.ConnectSucceeded();
                    await relay.RunAsync(target, destination, timeouts.Tunnel);
                    return;
                }

                if (relay.End != RelayEnd.None)
                {
                    return;
                }

                // 4. Or learn from it, and try another.
                served.Reason = outcome.OurFault ? "overloaded" : outcome.Reason;
                _logger.LogDebug("{Listener}: {Destination}: {Evidence}", relay.Listener.Name, plan.EndPoint, outcome.Evidence);
                if (outcome.OurFault)
                {
                    _logger.LogWarning("no connection to {Destination}: {Evidence}", plan.EndPoint, outcome.Evidence);
                    return;
                }

                target.Failed();
                target.Health.ConnectFailed(outcome.Evidence);
            }
            finally
            {
                target.End();
            }

            tried = [.. tried, target];
            if (tried.Length == AttemptsMax)
            {
                return;
            }

            target.RetriedAway();
            _metrics.DestinationRetry(relay.Plan.Service, relay.Plan.Environment, served.Reason);
        }
    }

    private async ValueTask<ConnectOutcome> ConnectAsync(Relay relay, DestinationPlan plan, TimeSpan timeout)
    {
        using CancellationTokenSource deadline = new(timeout, _time);
        if (!relay.BeginConnect(deadline))
        {
            return default;
        }

        try
        {
            return await DestinationConnection.ConnectAsync(plan, deadline.Token);
        }
        finally
        {
            relay.EndConnect();
        }
    }

    private void CountBytes(Relay relay)
    {
        (long toDestination, long toClient) = relay.TakeUnreported();
        _records.CountBytes(relay.Listener, relay.Plan, toDestination, toClient);
    }

    private void Record(Relay relay, Served served) => _records.Write(new RelayOutcome
    {
        Listener = relay.Listener,
        Plan = relay.Plan,
        Client = relay.ClientEndPoint,
        Destination = served.Destination,
        End = relay.End,
        FailedBy = served.Reason,
        Retries = served.Retries,
        Started = relay.Started,
        Connect = served.Connect,
        Total = _time.GetElapsedTime(relay.StartedTimestamp),
        BytesToDestination = relay.BytesToDestination,
        BytesToClient = relay.BytesToClient,
    });

    /// <summary>What the record tells beyond the relay itself.</summary>
    private sealed class Served
    {
        public DestinationPlan? Destination;
        public string Reason = "";
        public int Retries;
        public TimeSpan? Connect;
    }
}
