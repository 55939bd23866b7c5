using System.Threading.Channels;

namespace Gateway.Discovery.Consul;

/// <summary>
/// Services to be read again, each at most once at a time, a few side by side. In: names, urgent ones (they changed) before
/// swept ones (they might have). A service whose read fails comes back after its own pause and holds up nobody.
/// </summary>
internal sealed class ReadQueue(WatchContext context, Func<string, bool> wanted, Action<string, ReadOutcome> done)
{
    private enum Place
    {
        Queued,
        Reading,
        ReadingAgain,
    }

    private readonly Lock _gate = new();
    private readonly Queue<string> _urgent = new();
    private readonly Queue<string> _swept = new();
    private readonly Dictionary<string, Place> _places = new(StringComparer.Ordinal);
    private readonly Dictionary<string, WatchPace> _paces = new(StringComparer.Ordinal);
    private readonly Channel<bool> _waiting = Channel.CreateUnbounded<bool>();
    private int _sweeping;
    private TaskCompletionSource _sweepDone = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Reads these soon.</summary>
    public void Add(IEnumerable<string> names) => Add(names, _urgent);

    /// <summary>Reads these when nothing urgent is left; completes when all are read or given up for now.</summary>
    public Task SweepAsync(IEnumerable<string> names)
    {
        lock (_gate)
        {
            _sweepDone = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            Add(names, _swept);
            EndSweep();
            return _sweepDone.Task;
        }
    }

    /// <summary>Works until stopped.</summary>
    public Task RunAsync(CancellationToken stop) =>
        Together.RunAsync(stop, [.. Enumerable.Repeat<Func<CancellationToken, Task>>(WorkAsync, context.Timing.ParallelReads)]);

    private void Add(IEnumerable<string> names, Queue<string> queue)
    {
        int added = 0;
        lock (_gate)
        {
            foreach (string name in names)
            {
                if (!_places.TryGetValue(name, out Place place))
                {
                    _places[name] = Place.Queued;
                    queue.Enqueue(name);
                    _sweeping += queue == _swept ? 1 : 0;
                    added++;
                }
                else if (place == Place.Reading)
                {
                    _places[name] = Place.ReadingAgain;
                }
                else if (place == Place.Queued && queue == _urgent)
                {
                    // It may stand far back in a sweep. Whoever takes it first reads it; the other finds it gone.
                    queue.Enqueue(name);
                    added++;
                }
            }
        }

        for (; added > 0; added--)
        {
            _waiting.Writer.TryWrite(true);
        }
    }

    private async Task WorkAsync(CancellationToken stop)
    {
        while (true)
        {
            await _waiting.Reader.ReadAsync(stop);
            if (Take() is not { } next)
            {
                continue;
            }

            if (wanted(next.Name))
            {
                // A pace lives as long as its name is routed; it always asks at once, and never counts an index.
                next.Pace.Restart();
                ReadOutcome outcome = await ServiceReader.ReadAsync(context, next.Name, next.Pace, stop);
                done(next.Name, outcome);
                if (!outcome.Good)
                {
                    _ = ComeBackAsync(next.Name, next.Pace.Fail(), stop);
                }
            }

            Finish(next.Name);
        }
    }

    private (string Name, WatchPace Pace)? Take()
    {
        lock (_gate)
        {
            bool sweep = _urgent.Count == 0;
            string name = sweep ? _swept.Dequeue() : _urgent.Dequeue();
            if (sweep)
            {
                _sweeping--;
                EndSweep();
            }

            if (_places.GetValueOrDefault(name, Place.Reading) != Place.Queued)
            {
                return null;
            }

            _places[name] = Place.Reading;
            if (!_paces.TryGetValue(name, out WatchPace? pace))
            {
                pace = _paces[name] = context.NewPace();
            }

            return (name, pace);
        }
    }

    private void EndSweep()
    {
        if (_sweeping == 0)
        {
            _sweepDone.TrySetResult();
        }
    }

    private void Finish(string name)
    {
        lock (_gate)
        {
            bool again = _places.Remove(name, out Place place) && place == Place.ReadingAgain;
            if (!wanted(name))
            {
                _paces.Remove(name);
            }

            if (!again)
            {
                return;
            }
        }

        Add([name]);
    }

    private async Task ComeBackAsync(string name, TimeSpan pause, CancellationToken stop)
    {
        try
        {
            await context.PauseAsync(pause, stop);
            Add([name]);
        }
        catch (OperationCanceledException)
        {
            // Stopped; whoever follows reads everything anew.
        }
    }
}
