namespace Gateway.Discovery.Consul;

/// <summary>The constants of watching. Only tests use others than the defaults.</summary>
internal sealed record WatchTiming
{
    /// <summary>Routed services up to which each has a watch of its own. Consul's own default limit is 200 connections per client.</summary>
    public int ServiceWatchesMax { get; init; } = 150;

    /// <summary>What a query may take beyond its wait × 17/16, and what an answer's body may take once it has begun.</summary>
    public TimeSpan AnswerSlack { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>Requests that one watch may make at once.</summary>
    public int Burst { get; init; } = 5;

    /// <summary>Requests per second that one watch may make after its burst.</summary>
    public double RequestsPerSecond { get; init; } = 5;

    /// <summary>Upper bound of the first pause after an error; doubles with each further one, always with full jitter.</summary>
    public TimeSpan BackoffMin { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>Upper bound of every pause after an error.</summary>
    public TimeSpan BackoffMax { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How old a stale answer may be (X-Consul-LastContact) to remove something.</summary>
    public TimeSpan LastContactMax { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Reads without a wait that run side by side.</summary>
    public int ParallelReads { get; init; } = 8;

    /// <summary>How long services that cannot be read hold back the first report of all others.</summary>
    public TimeSpan FirstReport { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// How long a service that lost its tags, but is still listed, is followed at least: longer than a port's grace should be.
    /// </summary>
    public TimeSpan UntaggedKept { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Least time between two answers of the state watch: its answers are whole catalogs of checks.</summary>
    public TimeSpan StateSpacing { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>What each MiB of such an answer adds to that: at 10,000 services one costs the agent half a second of CPU.</summary>
    public TimeSpan StateSpacingPerMiB { get; init; } = TimeSpan.FromMilliseconds(60);

    /// <summary>Least time between two sweeps (see <see cref="StateWatch"/>); never more than 1/20 of the time is sweeping.</summary>
    public TimeSpan SweepSpacing { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>How often all services are read again beside the state watch, whatever Consul told.</summary>
    public TimeSpan Resync { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Refusals in a row, while other watches stand, that prove a connection limit.</summary>
    public int RefusalsProvingLimit { get; init; } = 3;

    /// <summary>Watches left free below a proven limit, for our other requests and for other programs on this host.</summary>
    public int LimitHeadroom { get; init; } = 16;

    /// <summary>How long a proven limit is believed before it is tried again: somebody may have raised it.</summary>
    public TimeSpan LimitMemory { get; init; } = TimeSpan.FromMinutes(30);
}
