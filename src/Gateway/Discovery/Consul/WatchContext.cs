using Gateway.Observability;
using Microsoft.Extensions.Logging;

namespace Gateway.Discovery.Consul;

/// <summary>What all watches of one source share while it runs.</summary>
internal sealed class WatchContext(
    string source, ConsulOptions options, ConsulClient client, WatchTiming timing, TimeProvider time, ILogger log, GatewayMetrics metrics)
    : IDisposable
{
    // Reads without a wait come in crowds (start, a restart of Consul), so they queue here and not at Consul.
    private readonly SemaphoreSlim _reads = new(timing.ParallelReads);
    private TaskCompletionSource _recovered = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public string Source => source;

    public ConsulClient Client => client;

    public WatchTiming Timing => timing;

    public TimeProvider Time => time;

    public ILogger Log => log;

    public KnownCatalog Known { get; } = new(timing, time);

    public WatchProblems Problems { get; } = new();

    /// <summary>A pace for one more watch.</summary>
    public WatchPace NewPace() => new(timing, time);

    /// <summary>Asks within the pace: waiting for news where it has an index, at once where it has none.</summary>
    public async Task<ConsulReply<T>> AskAsync<T>(
        WatchPace pace, Func<ConsulQuery, CancellationToken, Task<ConsulReply<T>>> read, CancellationToken stop)
        where T : class
    {
        if (pace.Index == 0)
        {
            return await AskNowAsync(pace, read, consistent: false, stop);
        }

        await pace.TakeAsync(stop);
        return await read(new ConsulQuery(pace.Index, WatchPace.Jitter(options.Wait)), stop);
    }

    /// <summary>Asks for an answer at once, of the leader where <paramref name="consistent"/>.</summary>
    public async Task<ConsulReply<T>> AskNowAsync<T>(
        WatchPace pace, Func<ConsulQuery, CancellationToken, Task<ConsulReply<T>>> read, bool consistent, CancellationToken stop)
        where T : class
    {
        await pace.TakeAsync(stop);
        await _reads.WaitAsync(stop);
        try
        {
            return await read(new ConsulQuery(Consistent: consistent), stop);
        }
        finally
        {
            _reads.Release();
        }
    }

    /// <summary>Waits out the pause after an error, or until Consul answers again.</summary>
    public async Task PauseAsync(TimeSpan pause, CancellationToken stop)
    {
        using CancellationTokenSource over = CancellationTokenSource.CreateLinkedTokenSource(stop);
        await Task.WhenAny(Task.Delay(pause, time, over.Token), Volatile.Read(ref _recovered).Task);
        await over.CancelAsync();
        stop.ThrowIfCancellationRequested();
    }

    /// <summary>Consul answers again after it did not: nobody pauses any longer.</summary>
    public void Recovered() => Interlocked.Exchange(
        ref _recovered, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).SetResult();

    /// <summary>Counts a request.</summary>
    public void Count(string outcome) => metrics.SourceRequest(source, outcome);

    public void Dispose() => _reads.Dispose();
}
