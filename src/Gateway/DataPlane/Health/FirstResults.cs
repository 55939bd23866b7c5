namespace Gateway.DataPlane.Health;

/// <summary>Counts destinations that have no result yet, for readiness. Not thread-safe: the prober's lock guards it.</summary>
internal sealed class FirstResults
{
    private TaskCompletionSource _all = Signal(done: true);

    /// <summary>Destinations without a result.</summary>
    public int Count { get; private set; }

    /// <summary>Completes when everybody expected so far has a result or is gone.</summary>
    public Task All => _all.Task;

    /// <summary>One more.</summary>
    public void Expect(ProbeSchedule entry)
    {
        entry.AwaitsFirst = true;
        if (Count++ == 0)
        {
            _all = Signal(done: false);
        }
    }

    /// <summary>It has its result, or nobody waits for it any more. May be called again.</summary>
    public void Settle(ProbeSchedule entry)
    {
        if (entry.AwaitsFirst)
        {
            entry.AwaitsFirst = false;
            if (--Count == 0)
            {
                _all.SetResult();
            }
        }
    }

    private static TaskCompletionSource Signal(bool done)
    {
        TaskCompletionSource signal = new(TaskCreationOptions.RunContinuationsAsynchronously);
        if (done)
        {
            signal.SetResult();
        }

        return signal;
    }
}
