namespace Gateway.Tests;

/// <summary>
/// Time that stands still until a test advances it. Timers, and everything built on them (Task.Delay, WaitAsync and
/// CancellationTokenSource that take a TimeProvider), fire inside <see cref="Advance"/>, in the order of their due times, each
/// seeing its own due time as now. Continuations may still run on other threads: poll for what they cause.
/// </summary>
internal sealed class FakeClock : TimeProvider
{
    private readonly Lock _gate = new();
    private readonly HashSet<FakeTimer> _armed = [];
    private readonly DateTimeOffset _start;
    private long _now;

    /// <summary>Starts at 2026-01-01 00:00 UTC, or at the moment given.</summary>
    public FakeClock(DateTimeOffset? start = null) => _start = start ?? new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <summary>Timers that will still fire: a test of leaks asks this.</summary>
    public int Timers
    {
        get
        {
            lock (_gate)
            {
                return _armed.Count;
            }
        }
    }

    /// <summary>Time advanced since the start.</summary>
    public TimeSpan Elapsed => new(Volatile.Read(ref _now));

    /// <inheritdoc/>
    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <inheritdoc/>
    public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

    /// <inheritdoc/>
    public override long GetTimestamp() => Volatile.Read(ref _now);

    /// <inheritdoc/>
    public override DateTimeOffset GetUtcNow() => _start + Elapsed;

    /// <summary>Moves time on and fires what becomes due, timers that callbacks start included.</summary>
    public void Advance(TimeSpan by)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(by, TimeSpan.Zero);
        long target = Volatile.Read(ref _now) + by.Ticks;
        while (NextDue(target) is FakeTimer due)
        {
            due.Fire();
        }

        Volatile.Write(ref _now, target);
    }

    /// <inheritdoc/>
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        FakeTimer timer = new(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    private FakeTimer? NextDue(long target)
    {
        lock (_gate)
        {
            FakeTimer? first = _armed.MinBy(timer => timer.Due);
            if (first is null || first.Due > target)
            {
                return null;
            }

            Volatile.Write(ref _now, Math.Max(_now, first.Due));
            if (first.Period > 0)
            {
                first.Due += first.Period;
            }
            else
            {
                _armed.Remove(first);
            }

            return first;
        }
    }

    private sealed class FakeTimer(FakeClock clock, TimerCallback callback, object? state) : ITimer
    {
        private bool _disposed;

        public long Due { get; set; }

        public long Period { get; private set; }

        public void Fire() => callback(state);

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (clock._gate)
            {
                if (_disposed)
                {
                    return false;
                }

                clock._armed.Remove(this);
                Period = Math.Max(0, period.Ticks);
                if (dueTime >= TimeSpan.Zero)
                {
                    Due = clock._now + dueTime.Ticks;
                    clock._armed.Add(this);
                }

                return true;
            }
        }

        public void Dispose()
        {
            lock (clock._gate)
            {
                _disposed = true;
                clock._armed.Remove(this);
            }
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
