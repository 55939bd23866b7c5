using Gateway.DataPlane.Http;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Tcp;
using Gateway.Observability;
using Microsoft.Extensions.Logging;

namespace Gateway.Lifecycle;

/// <summary>Where the process stands, as <c>/readyz</c> and <c>status</c> tell it.</summary>
internal enum ProcessState
{
    /// <summary>Not ready yet.</summary>
    Starting,

    /// <summary>Serving.</summary>
    Ready,

    /// <summary>Ending politely.</summary>
    Draining,

    /// <summary>Done.</summary>
    Stopped,
}

/// <summary>
/// Ends the process without failing anybody: readiness first, then no new connections, then every connection politely, and a
/// deadline of our own. Kestrel's StopAsync is no drain (it closes idle connections and such whose first request has not been
/// read yet, and disposes its timers first), so it only runs once nothing is left.
/// </summary>
internal sealed class Drain(ListenerSet listeners, HttpLane http, TcpLane tcp, GatewayMetrics metrics, TimeProvider clock, ILogger log)
{
    private static readonly TimeSpan s_poll = TimeSpan.FromMilliseconds(20);

    // Long enough for a close frame and its answer to cross a network, short enough to change no deadline.
    private static readonly TimeSpan s_goodbye = TimeSpan.FromMilliseconds(500);

    /// <summary>Called once no port of a service is open any more.</summary>
    public Action? PortsClosed { get; init; }

    /// <summary>Drains. <paramref name="hurry"/> (the second signal) ends every wait at once. Never throws.</summary>
    public async Task RunAsync(DrainOptions options, CancellationToken hurry)
    {
        long began = clock.GetTimestamp();
        log.LogInformation(
            "draining: serving on for {Grace} s, connections have until {Timeout} s from now", options.Grace.TotalSeconds, options.Timeout.TotalSeconds);

        // 1. Keep serving, so that whoever balances over us reads /readyz and leaves without a refused connect.
        await Pause(options.Grace < options.Timeout ? options.Grace : options.Timeout, hurry);

        // 2. No new connections.
        await listeners.StopAcceptingAsync();
        PortsClosed?.Invoke();

        // 3. Every answer closes its connection politely; idle ones go as soon as closing them is unlikely to race a request.
        http.BeginDrain();
        while (!hurry.IsCancellationRequested && clock.GetElapsedTime(began) < options.Timeout)
        {
            http.CloseIdle(options.Idle);
            if (Open == 0)
            {
                log.LogInformation("drained in {Seconds:0.0} s, nothing was cut", clock.GetElapsedTime(began).TotalSeconds);
                return;
            }

            await Pause(s_poll, hurry);

            // Again each time: a connection may turn out to speak HTTP/2 only now.
            http.BeginDrain();
        }

        // 4. The deadline: whoever can be told is told, and gets a moment to leave. A second signal skips that.
        string why = hurry.IsCancellationRequested ? "told to stop at once" : "drain deadline";
        int relays = tcp.Relays, tunnels = http.Tunnels;
        if (!hurry.IsCancellationRequested)
        {
            tcp.SayGoodbye();
            http.SayGoodbye();
            long told = clock.GetTimestamp();
            while (tcp.Relays + http.Tunnels > 0 && clock.GetElapsedTime(told) < s_goodbye && !hurry.IsCancellationRequested)
            {
                await Pause(s_poll, hurry);
            }
        }

        // 5. The rest is cut. Told or cut, it is counted: nobody chose to end it.
        int queued = Open - http.Connections - tcp.Relays;
        Dictionary<string, int> cut = new(http.AbortAll(), StringComparer.Ordinal);
        cut["tunnel"] = Math.Max(tunnels, cut.GetValueOrDefault("tunnel"));
        cut["relay"] = Math.Max(relays, tcp.AbortAll());
        cut["new"] = cut.GetValueOrDefault("new") + Math.Max(0, queued);
        foreach ((string state, int count) in cut)
        {
            Forced(why, state, count);
        }
    }

    // The gate also counts what was accepted and not taken by a server yet; the lanes count on to the very end of a connection.
    private int Open => Math.Max(listeners.Gate.Open, http.Connections + tcp.Relays);

    private void Forced(string why, string state, int count)
    {
        if (count > 0)
        {
            metrics.DrainForced(state, count);
            log.LogWarning("{Why}: closed {Count} connections in state {State}", why, count, state);
        }
    }

    private Task Pause(TimeSpan time, CancellationToken hurry) =>
        Task.Delay(time, clock, hurry).ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
}
