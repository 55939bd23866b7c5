using Gateway.DataPlane.Health;
using Gateway.Planning;

namespace Gateway.DataPlane.Balancing;

/// <summary>One destination, live: counters and health survive every plan that keeps its identity and address.</summary>
internal sealed class DestinationState(DestinationPlan plan, DestinationHealth health)
{
    private volatile DestinationPlan _plan = plan;
    private int _inFlight;

    /// <summary>What it should be now. Written by its cluster.</summary>
    public DestinationPlan Plan
    {
        get => _plan;
        internal set => _plan = value;
    }

    /// <summary>What probes and traffic found out.</summary>
    public DestinationHealth Health { get; } = health;

    /// <summary>Requests and relays under way.</summary>
    public int InFlight => Volatile.Read(ref _inFlight);

    /// <summary>Work begins; pair with <see cref="End"/>.</summary>
    public void Begin() => Interlocked.Increment(ref _inFlight);

    /// <summary>Work ended.</summary>
    public void End() => Interlocked.Decrement(ref _inFlight);
}

/// <summary>One cluster, live: picks a destination for each request or connection.</summary>
internal sealed class ClusterState(ClusterPlan plan)
{
    /// <summary>What it should be now.</summary>
    public ClusterPlan Plan => plan;

    /// <summary>Every destination, usable or not.</summary>
    public IReadOnlyList<DestinationState> Destinations => [];

    /// <summary>A destination planned and seen healthy that is not in <paramref name="tried"/>; null when there is none.</summary>
    public DestinationState? Pick(ReadOnlySpan<DestinationState> tried) => null;
}

/// <summary>Every cluster, live.</summary>
internal sealed class ClusterTable
{
    /// <summary>Clusters in the order of their ids.</summary>
    public IReadOnlyList<ClusterState> Clusters => [];

    /// <summary>The cluster of that id, or null.</summary>
    public ClusterState? Find(string id) => null;

    /// <summary>Publishes new and changed clusters. First step of an apply.</summary>
    public void Publish(IReadOnlyList<ClusterPlan> added, IReadOnlyList<Change<ClusterPlan>> changed)
    {
    }

    /// <summary>Retires clusters that no route leads to any more. Last step of an apply.</summary>
    public void Retire(IReadOnlyList<ClusterPlan> removed)
    {
    }
}
