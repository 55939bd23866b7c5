using Gateway.Catalog;
using Gateway.Observability;
using Gateway.Planning;
using Microsoft.Extensions.Logging;

namespace Gateway.DataPlane.Health;

/// <summary>
/// Probes destinations. Clusters say what is to be probed, verdicts go into each <see cref="DestinationHealth"/>. One queue and
/// one timer serve them all, whatever their number, and what is untracked leaves nothing behind. What must stay true: a target is
/// probed by one probe at a time, and a result counts only for the check it was sent for.
/// </summary>
internal sealed class HealthProber : IAsyncDisposable
{
    // Probes at a time. A rack of 500 dead hosts, each costing a timeout of 2 s every 10 s, keeps 100 under way; the rest must
    // not wait for them. Bounded, because each takes a descriptor of the 500 that the connection limit leaves to the process.
    private const int DefaultConcurrency = 256;

    // First probes of many destinations added at once are spread at 5,000 per second.
    private static readonly long SpreadTicks = TimeSpan.FromMilliseconds(0.2).Ticks;

    // Whatever a tag says, one instance is not probed more often than this.
    private static readonly long FloorTicks = TimeSpan.FromMilliseconds(50).Ticks;

    // Nor more rarely than this, which keeps sums of times far from overflow; a duration that can be written is 30 days at most.
    private static readonly long CeilingTicks = TimeSpan.FromDays(60).Ticks;

    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly GatewayMetrics _metrics;
    private readonly Probe _probe;
    private readonly int _concurrency;
    private readonly long _origin;
    private readonly ITimer _timer;

    private readonly Lock _gate = new();

    // All below under _gate.
    private readonly ProbeQueue _queue = new();
    private readonly Dictionary<(InstanceKey Instance, string Address, int Port), ProbeSchedule> _known = [];
    private readonly FirstResults _first = new();
    private int _tracked;
    private readonly HashSet<ProbeSchedule> _running = [];
    private bool _pumping;
    private bool _disposed;

    /// <summary>Starts with nothing to probe.</summary>
    /// <param name="clock">Time.</param>
    /// <param name="log">Changes of verdicts go here.</param>
    /// <param name="metrics">Counts probes.</param>
    /// <param name="probe">Sends a probe; the real ones by default.</param>
    /// <param name="concurrency">Probes at a time, 1 or more. Default 256.</param>
    public HealthProber(
        TimeProvider clock, ILogger log, GatewayMetrics metrics, Probe? probe = null, int concurrency = DefaultConcurrency)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(concurrency, 1);
        _clock = clock;
        _log = log;
        _metrics = metrics;
        _probe = probe ?? Probes.Send;
        _concurrency = concurrency;
        _origin = clock.GetTimestamp();
        _timer = clock.CreateTimer(
            static self => ((HealthProber)self!).Pump(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Destinations it knows.</summary>
    public int Tracked
    {
        get
        {
            lock (_gate)
            {
                return _tracked;
            }
        }
    }

    /// <summary>Probes waiting for their time.</summary>
    public int Queued
    {
        get
        {
            lock (_gate)
            {
                return _queue.Count;
            }
        }
    }

    private long Now => _clock.GetElapsedTime(_origin).Ticks;

    /// <summary>Begins to probe; the first probe goes out at once.</summary>
    public void Track(DestinationHealth health, ProbeTarget target)
    {
        ProbeSchedule entry = new(this, health, target);
        ProbeSchedule? elsewhere;
        lock (_gate)
        {
            if (_disposed || health.Schedule is not null)
            {
                return;
            }

            health.Schedule = entry;
            _tracked++;
            (InstanceKey, string, int) key = (target.Instance, target.Address, target.Port);
            entry.Elsewhere = _known.GetValueOrDefault(key);
            _known[key] = entry;
            elsewhere = entry.Elsewhere;
            while (elsewhere?.Target.AsksTheSameAs(target) == false)
            {
                elsewhere = elsewhere.Elsewhere;
            }
        }

        // The same instance in another cluster, which this plan may be about to remove: go on from there.
        health.CheckChanged(target.Check.Kind);
        if (elsewhere is not null)
        {
            health.StartFrom(elsewhere.Health);
        }

        lock (_gate)
        {
            if (target.Check.Kind != CheckKind.None)
            {
                long spread = Math.Clamp(target.Check.Interval.Ticks / 2, 0, _first.Count * SpreadTicks);
                _first.Expect(entry);
                Enqueue(entry, Now + Random.Shared.NextInt64(spread + 1));
            }
            else if (health.IsSuspect)
            {
                Enqueue(entry, Now);
            }
        }
    }

    /// <summary>Probes differently from now on. What only concerns timing resets nothing.</summary>
    public void Update(DestinationHealth health, ProbeTarget target)
    {
        bool same;
        CancellationTokenSource? outdated;
        lock (_gate)
        {
            if (health.Schedule is not ProbeSchedule entry)
            {
                return;
            }

            // Another question: the probe under way asks the old one, so its answer is thrown away.
            same = entry.Target.AsksTheSameAs(target);
            entry.Target = target;
            entry.Question += same ? 0 : 1;
            entry.Again |= !same;
            outdated = same ? null : entry.Running;
            if (!same)
            {
                _queue.Remove(entry);
            }
        }

        if (!same)
        {
            health.CheckChanged(target.Check.Kind);
        }

        lock (_gate)
        {
            if (health.Schedule is not ProbeSchedule entry)
            {
                return;
            }

            if (target.Check.Kind == CheckKind.None)
            {
                _first.Settle(entry);
            }

            if (entry.Running is null && IsWanted(entry))
            {
                Enqueue(entry, same ? Math.Min(entry.Due, Now + Jittered(target.Check.Interval)) : Now);
            }
        }

        Cancel(outdated);
    }

    /// <summary>Stops probing; a probe under way is ended and its result dropped.</summary>
    public void Untrack(DestinationHealth health)
    {
        CancellationTokenSource? running;
        lock (_gate)
        {
            if (health.Schedule is not ProbeSchedule entry)
            {
                return;
            }

            health.Schedule = null;
            _tracked--;
            _queue.Remove(entry);
            _first.Settle(entry);
            Forget(entry);
            running = entry.Running;
        }

        Cancel(running);
    }

    /// <summary>
    /// Probes at once, but no sooner than a quarter of the fast interval after the last probe began: an instance that passes its
    /// probes and refuses its traffic must not be probed in a loop.
    /// </summary>
    public void ProbeNow(DestinationHealth health)
    {
        lock (_gate)
        {
            if (_disposed || health.Schedule is not ProbeSchedule entry || !IsWanted(entry))
            {
                return;
            }

            if (entry.Running is not null)
            {
                entry.Again = true;
                return;
            }

            long due = Soonest(entry);
            if (entry.Place < 0 || due < entry.Due)
            {
                Enqueue(entry, due);
            }
        }
    }

    /// <summary>
    /// Completes when every destination tracked by then has its first result, or when <paramref name="limit"/> is over.
    /// </summary>
    public async Task FirstResultsAsync(TimeSpan limit, CancellationToken cancel)
    {
        Task all;
        lock (_gate)
        {
            all = _first.All;
        }

        try
        {
            await all.WaitAsync(limit, _clock, cancel);
        }
        catch (TimeoutException)
        {
            // The limit is over: who has not answered yet stays up until its result comes.
        }
    }

    /// <summary>Stops probing.</summary>
    public async ValueTask DisposeAsync()
    {
        ProbeSchedule[] running;
        lock (_gate)
        {
            _disposed = true;
            running = [.. _running];
        }

        foreach (ProbeSchedule entry in running)
        {
            Cancel(entry.Running);
        }

        await _timer.DisposeAsync();
    }

    private static long Jittered(TimeSpan interval) =>
        Math.Clamp((long)(interval.Ticks * (0.9 + (Random.Shared.NextDouble() * 0.2))), FloorTicks, CeilingTicks);

    // What a timer can count, so that no plan can stop the prober.
    private static TimeSpan Bounded(TimeSpan timeout) => TimeSpan.FromTicks(Math.Clamp(timeout.Ticks, 1, TimeSpan.TicksPerDay));

    // Without a check a probe is sent only to end suspicion: last in order it gets no traffic to prove itself with.
    private static bool IsWanted(ProbeSchedule entry) => entry.Target.Check.Kind != CheckKind.None || entry.Health.IsSuspect;

    // Continuations run elsewhere: the caller may be in the middle of an apply.
    private static void Cancel(CancellationTokenSource? running)
    {
        try
        {
            _ = running?.CancelAsync();
        }
        catch (ObjectDisposedException)
        {
            // It ended meanwhile.
        }
    }

    private long Soonest(ProbeSchedule entry) => Math.Max(Now, entry.Began + (entry.Target.Check.FastInterval.Ticks / 4));

    private void Enqueue(ProbeSchedule entry, long due)
    {
        _queue.Put(entry, due);
        if (entry.Place == 0 && !_pumping)
        {
            SetTimer();
        }
    }

    // Probes never start on the caller's thread, which may be applying a plan or serving a request.
    private void SetTimer()
    {
        if (_queue.First is ProbeSchedule first && _running.Count < _concurrency && !_disposed)
        {
            // Whole milliseconds, rounded up: a timer that fires early would only set itself again.
            // A day at most: what is due later is looked at again then, far below what a timer can count.
            TimeSpan wait = TimeSpan.FromTicks(Math.Clamp(first.Due - Now, 0, TimeSpan.TicksPerDay));
            _timer.Change(TimeSpan.FromMilliseconds(Math.Ceiling(wait.TotalMilliseconds)), Timeout.InfiniteTimeSpan);
        }
    }

    // Starts every probe that is due. One thread at a time does it; others leave it to that one, which looks again before it
    // goes, so a probe that ends at once does not start the next from within itself.
    private void Pump()
    {
        lock (_gate)
        {
            if (_pumping)
            {
                return;
            }

            _pumping = true;
        }

        while (Begin() is (ProbeSchedule entry, ProbeTarget target, long question, CancellationTokenSource cancel))
        {
            _ = RunAsync(entry, target, question, cancel);
        }
    }

    // What is asked is read under the lock: an apply may change it before the probe is sent.
    private (ProbeSchedule Entry, ProbeTarget Target, long Question, CancellationTokenSource Cancel)? Begin()
    {
        lock (_gate)
        {
            // Full: whoever ends a probe looks again. Too early: the timer does.
            if (_disposed || _running.Count == _concurrency || _queue.First is not ProbeSchedule first || first.Due > Now)
            {
                _pumping = false;
                SetTimer();
                return null;
            }

            _queue.Remove(first);
            _running.Add(first);
            first.Running = new CancellationTokenSource(Bounded(first.Target.Check.Timeout), _clock);
            first.Began = Now;
            first.Again = false;
            return (first, first.Target, first.Question, first.Running);
        }
    }

    private async Task RunAsync(ProbeSchedule entry, ProbeTarget target, long question, CancellationTokenSource cancel)
    {
        // 1. Probe and judge.
        bool counted = false;
        try
        {
            counted = await ProbeAsync(entry, target, question, cancel.Token);
        }
        catch (Exception e)
        {
            // A mistake of ours, told loudly. It must not end the probing of this destination.
            _log.LogError(e, "Judging {Instance} of {Service} failed within Gateway.", target.Instance, target.Service);
        }

        // 2. Schedule the next one.
        lock (_gate)
        {
            _running.Remove(entry);
            entry.Running = null;
            if (ReferenceEquals(entry.Health.Schedule, entry))
            {
                if (counted)
                {
                    _first.Settle(entry);
                }

                Reschedule(entry);
            }
        }

        cancel.Dispose();
        Pump();
    }

    private async Task<bool> ProbeAsync(ProbeSchedule entry, ProbeTarget target, long question, CancellationToken cancel)
    {
        DestinationHealth health = entry.Health;
        long suspicions = health.Suspicions;
        ProbeResult result;
        try
        {
            result = await _probe(target, health.HasAnswered, cancel);
        }
        catch (Exception e)
        {
            // A mistake of ours as well. Down, because what cannot be probed is not known to work; the evidence says whose.
            _log.LogError(e, "Probing {Instance} of {Service} failed within Gateway.", target.Instance, target.Service);
            result = new ProbeResult(false, $"Gateway's own failure: {e.Message}");
        }

        // Untracked or asked something else meanwhile, be it the same again after all: the answer says nothing.
        lock (_gate)
        {
            if (_disposed || !ReferenceEquals(health.Schedule, entry) || entry.Question != question)
            {
                return false;
            }
        }

        if (result.IsUnsent)
        {
            health.NotProbed(result.Evidence);
            return true;
        }

        _metrics.ProbeEnded(target.Service, target.Environment, result.Success);
        if (health.Observe(result, target.Check, suspicions))
        {
            LogTurn(target, result);
        }

        return true;
    }

    private void Forget(ProbeSchedule entry)
    {
        (InstanceKey, string, int) key = (entry.Target.Instance, entry.Target.Address, entry.Target.Port);
        ProbeSchedule? newest = _known.GetValueOrDefault(key);
        if (ReferenceEquals(newest, entry))
        {
            if (entry.Elsewhere is ProbeSchedule older)
            {
                _known[key] = older;
            }
            else
            {
                _known.Remove(key);
            }

            return;
        }

        for (ProbeSchedule? one = newest; one is not null; one = one.Elsewhere)
        {
            if (ReferenceEquals(one.Elsewhere, entry))
            {
                one.Elsewhere = entry.Elsewhere;
            }
        }
    }

    private void Reschedule(ProbeSchedule entry)
    {
        if (IsWanted(entry))
        {
            CheckPlan check = entry.Target.Check;
            TimeSpan fast = check.FastInterval < check.Interval ? check.FastInterval : check.Interval;
            bool hurry = entry.Health.InQuestion || check.Kind == CheckKind.None;
            Enqueue(entry, entry.Again ? Soonest(entry) : entry.Began + Jittered(hurry ? fast : check.Interval));
        }
    }

    private void LogTurn(ProbeTarget target, ProbeResult result) => _log.Log(
        result.Success ? LogLevel.Information : LogLevel.Warning,
        "Instance {Instance} of {Service}@{Environment} at {Address} is {State}: {Evidence}.",
        target.Instance,
        target.Service,
        target.Environment,
        target.Authority,
        result.Success ? "up" : "down, no new work until its check passes",
        result.Evidence);
}
