namespace Gateway.Control;

/// <summary>Work that is done once, whoever asks how often: the first call begins it, and each waits for the same end.</summary>
/// <param name="work">Must not ask for itself before its first await.</param>
internal sealed class RunOnce(Func<Task> work)
{
    private readonly Lock _gate = new();
    private Task? _task;

    /// <summary>Begins it, or finds it begun.</summary>
    public Task RunAsync()
    {
        lock (_gate)
        {
            return _task ??= work();
        }
    }
}
