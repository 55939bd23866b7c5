namespace Gateway.Discovery.Consul;

/// <summary>
/// The manners of one watch: which index it asks with, how often it may ask at all, how long it pauses after errors. Used by
/// one watch at a time.
/// </summary>
internal sealed class WatchPace(WatchTiming timing, TimeProvider time)
{
    private double _tokens = timing.Burst;
    private long _refilled = time.GetTimestamp();
    private int _failures;

    /// <summary>Index to ask with; 0 asks for an answer at once.</summary>
    public ulong Index { get; private set; }

    /// <summary>Waits until the bucket allows one more request. An index that moves without news cannot make us spin.</summary>
    public async ValueTask TakeAsync(CancellationToken stop)
    {
        while (true)
        {
            long now = time.GetTimestamp();
            _tokens = Math.Min(timing.Burst, _tokens + (time.GetElapsedTime(_refilled, now).TotalSeconds * timing.RequestsPerSecond));
            _refilled = now;
            if (_tokens >= 1)
            {
                _tokens--;
                return;
            }

            // Never less than a timer can keep, or rounding would make this a loop.
            double missing = Math.Max((1 - _tokens) / timing.RequestsPerSecond, 0.001);
            await Task.Delay(TimeSpan.FromSeconds(missing), time, stop);
        }
    }

    /// <summary>
    /// A good answer came with this index. False: it went backwards, so a server was rebuilt or another one answered; waiting
    /// with the old index would silently lose news, so the answer is dropped and asked for again at once, from the start.
    /// </summary>
    public bool Advance(ulong index)
    {
        if (index < Index)
        {
            Index = 0;
            return false;
        }

        // Consul never counts from 0, and asking with 0 does not wait.
        Index = Math.Max(index, 1);
        return true;
    }

    /// <summary>All is well: the next error begins with a short pause again.</summary>
    public void Settle() => _failures = 0;

    /// <summary>Starts over at the next request.</summary>
    public void Restart() => Index = 0;

    /// <summary>An error: starts over after the returned pause, exponential with full jitter so that a thousand gateways spread out.</summary>
    public TimeSpan Fail()
    {
        Index = 0;
        double bound = Math.Min(
            timing.BackoffMax.TotalMilliseconds,
            timing.BackoffMin.TotalMilliseconds * Math.Pow(2, Math.Min(_failures, 30)));
        _failures++;
        return TimeSpan.FromMilliseconds(bound * Random.Shared.NextDouble());
    }

    /// <summary>The configured wait, jittered so that watches do not end in step: of 55 s it makes 45 to 60 s.</summary>
    public static TimeSpan Jitter(TimeSpan wait) => wait * ((45 + (15 * Random.Shared.NextDouble())) / 55);
}
