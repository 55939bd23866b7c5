namespace Gateway.Lifecycle;

/// <summary>How the process ends: <c>drain</c>.</summary>
public sealed record DrainOptions
{
    /// <summary>Time of serving as usual after /readyz turned 503, 0 or more. Default 5s.</summary>
    public TimeSpan Grace { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a keep-alive connection must be idle before it is closed, 0 or more. Default 2s.</summary>
    public TimeSpan Idle { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Deadline, counted from the signal. Default 75s.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(75);
}

/// <summary>How the process is replaced: <c>upgrade</c>.</summary>
public sealed record UpgradeOptions
{
    /// <summary>How long the new process may take to be ready. Default 60s.</summary>
    public TimeSpan Ready { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How long the old process may take to finish. Default 10m.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromMinutes(10);
}
