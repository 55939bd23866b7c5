using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Listening;
using Gateway.Observability;
using Gateway.Planning;
using Microsoft.Extensions.Logging;

namespace Gateway.DataPlane.Tcp;

// In: accepted sockets of TCP ports. Out: the same bytes, FINs and resets at a destination, and back. Invariant: an established
// relay depends on nothing but its two sockets; no change of plan, listener or health touches it.

/// <summary>
/// A destination for a connection of that listener that is not in <paramref name="tried"/>, with the timeouts of its cluster;
/// null when there is none.
/// </summary>
internal delegate DestinationState? DestinationPick(
    ListenerPlan listener, ReadOnlySpan<DestinationState> tried, out TimeoutsPlan timeouts);

/// <summary>Takes the record of a relay that ended.</summary>
internal delegate void RelayRecorded(in AccessRecord record);

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

/// <summary>Relays raw TCP.</summary>
internal sealed class TcpLane : IAsyncDisposable
{
    private const int AttemptsMax = 3;
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(1);

    // An aborted relay needs no peer to end; this only bounds a mistake of ours.
    private static readonly TimeSpan EndsWithin = TimeSpan.FromSeconds(2);
    private static readonly TimeoutsPlan DefaultTimeouts = new();

    private readonly ConcurrentDictionary<Relay, byte> _relays = [];
    private readonly DestinationPick _pick;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly GatewayMetrics _metrics;
    private readonly RelayRecorded _recorded;

    // One timer for all relays: reads only note the time, so a busy relay pays nothing for its idle timeout.
    private readonly ITimer _sweep;

    /// <summary>Makes a lane that asks the clusters for destinations.</summary>
    public TcpLane(ClusterTable clusters, TimeProvider time, ILogger logger, GatewayMetrics metrics, AccessLog accessLog)
        : this(PickFrom(clusters), accessLog.Write, time, logger, metrics)
    {
    }

    /// <summary>Makes a lane that asks <paramref name="pick"/> and gives its records to <paramref name="recorded"/>.</summary>
    public TcpLane(DestinationPick pick, RelayRecorded recorded, TimeProvider time, ILogger logger, GatewayMetrics metrics)
    {
        (_pick, _recorded, _time, _logger, _metrics) = (pick, recorded, time, logger, metrics);
        _sweep = time.CreateTimer(_ => Sweep(), null, SweepInterval, SweepInterval);
    }

    /// <summary>Relays under way, connecting ones included.</summary>
    public int Relays => _relays.Count;

    /// <summary>An <see cref="AcceptedSocket"/>: connects to a destination and relays until both sides are done.</summary>
    public void Accept(ListenerState listener, Socket socket)
    {
        Relay relay = new(listener, socket, _time);
        listener.ConnectionOpened();
        _metrics.ConnectionOpened(listener.Name, "tcp");
        _relays.TryAdd(relay, 0);
        _ = ServeAsync(relay);
    }

    /// <summary>Tells both sides of every relay that it ends (FIN, not a reset); returns how many there are.</summary>
    public int SayGoodbye()
    {
        int told = 0;
        foreach (Relay relay in _relays.Keys)
        {
            relay.SayGoodbye();
            told++;
        }

        return told;
    }

    /// <summary>Ends every relay now; returns how many.</summary>
    public int AbortAll()
    {
        int aborted = 0;
        foreach (Relay relay in _relays.Keys)
        {
            relay.Abort();
            aborted++;
        }

        return aborted;
    }

    /// <summary>Every relay, in no order.</summary>
    public IReadOnlyList<RelayView> List() =>
    [
        .. _relays.Keys.Select(r => new RelayView(
            r.Listener.Name, r.Plan.Service, r.Plan.Environment, r.ClientEndPoint,
            r.Target?.Plan.Instance.ToString() ?? "", r.Target?.Plan.EndPoint ?? "",
            r.Started, r.Target is null ? TimeSpan.Zero : r.Silence, r.BytesToDestination, r.BytesToClient)),
    ];

    /// <summary>Ends what is left; all of it is recorded and counted out then.</summary>
    public async ValueTask DisposeAsync()
    {
        await _sweep.DisposeAsync();
        Task[] ends = [.. _relays.Keys.Select(r => r.Ended.Task)];
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
        try
        {
            CountBytes(relay);
            Record(relay, served);
        }
        catch (Exception e)
        {
            _logger.LogError(e, "{Listener}: relay not recorded", relay.Listener.Name);
        }

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
                served.Reason = outcome.Reason;
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
        if (toDestination + toClient > 0)
        {
            _metrics.BytesRelayed(
                relay.Listener.Name, relay.Plan.Service, relay.Plan.Environment, toDestination, toClient);
        }
    }

    private void Record(Relay relay, Served served)
    {
        AccessRecord record = new()
        {
            Started = relay.Started,
            Client = relay.ClientEndPoint,
            Listener = relay.Listener.Name,
            Service = relay.Plan.Service,
            Environment = relay.Plan.Environment,
            Destination = served.Destination?.Instance.ToString() ?? "",
            DestinationAddress = served.Destination?.EndPoint ?? "",
            Protocol = "TCP",
            Method = "",
            Host = "",
            Target = "",
            Reason = relay.End switch
            {
                RelayEnd.ClientClosed => "client-closed",
                RelayEnd.ServerClosed => "server-closed",
                RelayEnd.Reset => "reset",
                RelayEnd.Idle => "idle",
                RelayEnd.Aborted => "aborted",
                _ => served.Reason,
            },
            RequestId = "",
            BytesIn = relay.BytesToDestination,
            BytesOut = relay.BytesToClient,
            Retries = served.Retries,
            ConnectMs = served.Connect?.TotalMilliseconds ?? -1,
            ResponseMs = -1,
            TotalMs = _time.GetElapsedTime(relay.StartedTimestamp).TotalMilliseconds,
        };
        _recorded(in record);
    }

    /// <summary>What the record tells beyond the relay itself.</summary>
    private sealed class Served
    {
        public DestinationPlan? Destination;
        public string Reason = "";
        public int Retries;
        public TimeSpan? Connect;
    }
}
