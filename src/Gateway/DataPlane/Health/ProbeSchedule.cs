namespace Gateway.DataPlane.Health;

/// <summary>When one destination is probed. Owned by the prober, under its lock.</summary>
internal sealed class ProbeSchedule(HealthProber prober, DestinationHealth health, ProbeTarget target)
{
    /// <summary>Who owns it.</summary>
    public HealthProber Prober => prober;

    /// <summary>Who is told.</summary>
    public DestinationHealth Health => health;

    /// <summary>What is probed now.</summary>
    public ProbeTarget Target { get; set; } = target;

    /// <summary>When the next probe begins, in ticks of the prober's time.</summary>
    public long Due { get; set; }

    /// <summary>Index in the queue; -1: not in it.</summary>
    public int Place { get; set; } = -1;

    /// <summary>When the last probe began, in ticks of the prober's time.</summary>
    public long Began { get; set; } = long.MinValue / 2;

    /// <summary>Ends the probe under way; null: none is.</summary>
    public CancellationTokenSource? Running { get; set; }

    /// <summary>Grows when another question is asked: the answer to an older one says nothing.</summary>
    public long Question { get; set; }

    /// <summary>The same instance in another cluster, tracked before this one; null: there is none.</summary>
    public ProbeSchedule? Elsewhere { get; set; }

    /// <summary>A probe was asked for while one was under way, whose result proves nothing for it.</summary>
    public bool Again { get; set; }

    /// <summary>Readiness waits for it.</summary>
    public bool AwaitsFirst { get; set; }
}
