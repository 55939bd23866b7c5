namespace Gateway.Control;

/// <summary>When a source that suddenly knows much less is not believed at once.</summary>
public sealed record GuardOptions
{
    /// <summary>More than this share of a service's instances, or of all, gone within 10 s; 0-100 percent, 100: off. Default 50.</summary>
    public int AbovePercent { get; init; } = 50;

    /// <summary>And at least so many instances, 1 or more. Default 3.</summary>
    public int MinInstances { get; init; } = 3;

    /// <summary>How long an instance that still answers is kept before the source is asked to confirm its absence. Default 5m.</summary>
    public TimeSpan HoldFor { get; init; } = TimeSpan.FromMinutes(5);
}
