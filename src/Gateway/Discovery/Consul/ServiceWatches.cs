namespace Gateway.Discovery.Consul;

/// <summary>
/// One watch per routed service, the way with the shortest time from change to traffic and the least work per change. Limited
/// by the connections that Consul allows one client, so it also finds out that limit. Used by the catalog watch alone, but for
/// the counters.
/// </summary>
internal sealed class ServiceWatches(WatchContext context, Action<Exception> broken)
{
    private readonly Dictionary<string, (CancellationTokenSource Stop, Task Task)> _watches = new(StringComparer.Ordinal);

    // Watches that wait for news at this moment. Written by all of them.
    private int _waiting;

    /// <summary>Called, by any watch at any time, with the number of watches that stand when more are refused.</summary>
    public required Action<int, string> LimitFound { get; init; }

    /// <summary>Number of watches.</summary>
    public int Count => _watches.Count;

    /// <summary>Watches exactly these from now on.</summary>
    public async Task FollowAsync(IReadOnlyCollection<string> names, CancellationToken stop)
    {
        HashSet<string> wanted = new(names, StringComparer.Ordinal);
        await EndAsync([.. _watches.Keys.Where(n => !wanted.Contains(n))]);
        foreach (string name in wanted)
        {
            if (!_watches.ContainsKey(name))
            {
                CancellationTokenSource own = CancellationTokenSource.CreateLinkedTokenSource(stop);
                _watches.Add(name, (own, WatchAsync(name, own.Token)));
            }
        }
    }

    /// <summary>Ends all of them; what they know stays known.</summary>
    public Task EndAsync() => EndAsync([.. _watches.Keys]);

    private async Task EndAsync(IReadOnlyCollection<string> names)
    {
        List<(CancellationTokenSource Stop, Task Task)> ending = [.. names.Select(n => _watches[n])];
        foreach ((CancellationTokenSource stop, _) in ending)
        {
            await stop.CancelAsync();
        }

        foreach ((CancellationTokenSource stop, Task task) in ending)
        {
            await task;
            stop.Dispose();
        }

        foreach (string name in names)
        {
            _watches.Remove(name);
        }
    }

    private async Task WatchAsync(string name, CancellationToken stop)
    {
        await Task.Yield();
        try
        {
            WatchPace pace = context.NewPace();
            int refusals = 0;
            while (!stop.IsCancellationRequested)
            {
                // The read after an error does not wait, so what is refused between two good reads is only the waiting: a limit,
                // where others wait undisturbed. A Consul that is away, or hates this service, fails the reads as well.
                bool waits = pace.Index != 0;
                int waiting = waits ? Interlocked.Increment(ref _waiting) : 0;
                ReadOutcome outcome;
                try
                {
                    outcome = await ServiceReader.ReadAsync(context, name, pace, stop);
                }
                finally
                {
                    waiting = waits ? Interlocked.Decrement(ref _waiting) : waiting;
                }

                if (outcome.Good)
                {
                    refusals = waits ? 0 : refusals;
                    continue;
                }

                refusals = outcome.Refused ? refusals + 1 : 0;
                if (refusals >= context.Timing.RefusalsProvingLimit && waiting > 0)
                {
                    LimitFound(waiting, name);
                }

                await context.PauseAsync(pace.Fail(), stop);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Asked to end.
        }
        catch (Exception e)
        {
            broken(e);
        }
    }
}
