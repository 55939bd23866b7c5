namespace Gateway.Tests.Discovery.EmbeddedCatalog;

/// <summary>A clock that stands until it is told to move, and runs the timers it passes.</summary>
internal sealed class CatalogTestClock : TimeProvider
{
    private readonly List<Timer> _timers = [];
    private DateTimeOffset _now = new(2026, 3, 1, 12, 0, 0, TimeSpan.Zero);

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override DateTimeOffset GetUtcNow() => _now;

    public override long GetTimestamp() => _now.Ticks;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        Timer timer = new(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    public void Move(TimeSpan by)
    {
        DateTimeOffset end = _now + by;
        while (true)
        {
            Timer? next;
            lock (_timers)
            {
                next = _timers.Where(t => t.Due <= end).MinBy(t => t.Due);
            }

            if (next is null)
            {
                break;
            }

            _now = next.Due!.Value > _now ? next.Due.Value : _now;
            next.Due = null;
            next.Run();
        }

        _now = end;
    }

    private sealed class Timer : ITimer
    {
        private readonly CatalogTestClock _clock;
        private readonly TimerCallback _callback;
        private readonly object? _state;

        public Timer(CatalogTestClock clock, TimerCallback callback, object? state)
        {
            (_clock, _callback, _state) = (clock, callback, state);
            lock (clock._timers)
            {
                clock._timers.Add(this);
            }
        }

        public DateTimeOffset? Due { get; set; }

        public void Run() => _callback(_state);

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            Due = dueTime < TimeSpan.Zero ? null : _clock._now + dueTime;
            return true;
        }

        public void Dispose()
        {
            lock (_clock._timers)
            {
                _clock._timers.Remove(this);
            }
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
