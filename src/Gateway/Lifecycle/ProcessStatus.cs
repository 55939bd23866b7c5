namespace Gateway.Lifecycle;

/// <summary>
/// Where the process stands. Written by the root, read by the admin API. Invariant: it only goes forward, so that a readiness
/// that comes late never hides a drain.
/// </summary>
internal sealed class ProcessStatus(TimeProvider clock)
{
    private volatile int _state = (int)ProcessState.Starting;

    /// <summary>State at the moment.</summary>
    public ProcessState State => (ProcessState)_state;

    /// <summary>Start of this process.</summary>
    public DateTimeOffset StartedAt { get; } = clock.GetUtcNow();

    /// <summary>Status code and text of <c>/readyz</c>.</summary>
    public (int Status, string Text) Readiness => State switch
    {
        ProcessState.Ready => (200, "ready"),
        ProcessState.Starting => (503, "starting"),
        _ => (503, "draining"),
    };

    /// <summary>Goes on to <paramref name="next"/>; false: it is there already, or further.</summary>
    public bool Advance(ProcessState next)
    {
        while (true)
        {
            int state = _state;
            if (state >= (int)next)
            {
                return false;
            }

            if (Interlocked.CompareExchange(ref _state, (int)next, state) == state)
            {
                return true;
            }
        }
    }
}
