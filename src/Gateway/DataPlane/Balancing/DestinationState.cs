using Gateway.DataPlane.Health;
using Gateway.Planning;

namespace Gateway.DataPlane.Balancing;

/// <summary>
/// One destination, live: counters and health survive every plan that keeps its identity, address and port. A destination that
/// a plan removed goes on counting the work it still has; whoever began the work holds it.
/// </summary>
/// <param name="plan">What it should be now.</param>
/// <param name="health">What probes and traffic found out.</param>
/// <param name="clock">For <see cref="LastUsed"/>; the system's by default.</param>
internal sealed class DestinationState(DestinationPlan plan, DestinationHealth health, TimeProvider? clock = null)
{
    private readonly TimeProvider _clock = clock ?? TimeProvider.System;

    // Written by the cluster during an apply, read by every request.
    private volatile DestinationPlan _plan = plan;
    private volatile bool _retired;

    // Written by every request that begins or ends here. Two counters that only grow give requests and work in flight for one
    // atomic instruction at each end.
    private long _begun;
    private long _ended;
    private long _failures;
    private long _retriesAway;
    private long _lastUsed = long.MinValue;

    /// <summary>What it should be now. Written by its cluster.</summary>
    public DestinationPlan Plan
    {
        get => _plan;
        internal set => _plan = value;
    }

    /// <summary>
    /// No plan names it any more: connections that wait for its next request may go. Written by its cluster.
    /// </summary>
    public bool IsRetired
    {
        get => _retired;
        internal set => _retired = value;
    }

    /// <summary>What probes and traffic found out.</summary>
    public DestinationHealth Health { get; } = health;

    /// <summary>
    /// Whether it may have new work: the catalog admits it and its check passes. A suspect is usable, last in order.
    /// </summary>
    public bool IsUsable => _plan.Admitted && Health.IsUp;

    /// <summary>Requests and relays under way.</summary>
    public int InFlight
    {
        get
        {
            // The end first: work that ends between the two reads is counted once too often rather than below zero.
            long ended = Volatile.Read(ref _ended);
            return (int)(Volatile.Read(ref _begun) - ended);
        }
    }

    /// <summary>Requests and relays ever given to it.</summary>
    public long Requests => Volatile.Read(ref _begun);

    /// <summary>Requests and relays that failed on its side, refused connects included.</summary>
    public long Failures => Volatile.Read(ref _failures);

    /// <summary>Attempts that were given to another destination after this one failed them.</summary>
    public long RetriesAway => Volatile.Read(ref _retriesAway);

    /// <summary>When work last began here, or null.</summary>
    public DateTimeOffset? LastUsed
    {
        get
        {
            long stamp = Volatile.Read(ref _lastUsed);
            return stamp == long.MinValue ? null : _clock.GetUtcNow() - _clock.GetElapsedTime(stamp);
        }
    }

    /// <summary>Work begins; pair with <see cref="End"/>.</summary>
    public void Begin()
    {
        Interlocked.Increment(ref _begun);
        Volatile.Write(ref _lastUsed, _clock.GetTimestamp());
    }

    /// <summary>Work ended.</summary>
    public void End() => Interlocked.Increment(ref _ended);

    /// <summary>The work under way failed on this side; call between <see cref="Begin"/> and <see cref="End"/>, once.</summary>
    public void Failed() => Interlocked.Increment(ref _failures);

    /// <summary>Another destination is tried in its place.</summary>
    public void RetriedAway() => Interlocked.Increment(ref _retriesAway);
}
