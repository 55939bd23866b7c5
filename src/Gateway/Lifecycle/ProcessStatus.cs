namespace Gateway.Lifecycle;

/// <summary>Where the process stands. Written by the root, read by the admin API.</summary>
internal sealed class ProcessStatus(TimeProvider clock)
{
    private volatile int _state = (int)ProcessState.Starting;

    /// <summary>State at the moment.</summary>
    public ProcessState State
    {
        get => (ProcessState)_state;
        set => _state = (int)value;
    }

    /// <summary>Start of this process.</summary>
    public DateTimeOffset StartedAt { get; } = clock.GetUtcNow();

    /// <summary>Status code and text of <c>/readyz</c>.</summary>
    public (int Status, string Text) Readiness => State switch
    {
        ProcessState.Ready => (200, "ready"),
        ProcessState.Starting => (503, "starting"),
        _ => (503, "draining"),
    };
}
