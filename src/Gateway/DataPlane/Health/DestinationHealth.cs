using Gateway.Planning;

namespace Gateway.DataPlane.Health;

/// <summary>What probes and traffic found out about one destination. Held by identity, so no change of plan resets it.</summary>
internal sealed class DestinationHealth
{
    /// <summary>Whether the active check lets it have new work; true before the first result.</summary>
    public bool IsUp => true;

    /// <summary>It refused a connect since its last good probe: on fast probe, and last in order.</summary>
    public bool IsSuspect => false;

    /// <summary>A connect was refused, reset or timed out: probe now, and keep it last in order until a probe succeeds.</summary>
    public void ConnectFailed(string evidence)
    {
    }
}

/// <summary>Probes destinations.</summary>
internal sealed class HealthProber : IAsyncDisposable
{
    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
