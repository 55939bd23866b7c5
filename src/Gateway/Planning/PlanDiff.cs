using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>An entry that is in both plans with different content.</summary>
internal sealed record Change<T>(T Old, T New);

/// <summary>What turns one plan into another. Every list is sorted by identity.</summary>
internal sealed record PlanDiff
{
    /// <summary>New listeners.</summary>
    public IReadOnlyList<ListenerPlan> ListenersAdded { get; init; } = [];

    /// <summary>Listeners whose owner, protocol, cluster or lingering changed; their sockets stay.</summary>
    public IReadOnlyList<Change<ListenerPlan>> ListenersChanged { get; init; } = [];

    /// <summary>Listeners that go.</summary>
    public IReadOnlyList<ListenerPlan> ListenersRemoved { get; init; } = [];

    /// <summary>New routes.</summary>
    public IReadOnlyList<RoutePlan> RoutesAdded { get; init; } = [];

    /// <summary>Routes that lead elsewhere now.</summary>
    public IReadOnlyList<Change<RoutePlan>> RoutesChanged { get; init; } = [];

    /// <summary>Routes that go.</summary>
    public IReadOnlyList<RoutePlan> RoutesRemoved { get; init; } = [];

    /// <summary>New clusters.</summary>
    public IReadOnlyList<ClusterPlan> ClustersAdded { get; init; } = [];

    /// <summary>Clusters with other settings or destinations.</summary>
    public IReadOnlyList<Change<ClusterPlan>> ClustersChanged { get; init; } = [];

    /// <summary>Clusters that go.</summary>
    public IReadOnlyList<ClusterPlan> ClustersRemoved { get; init; } = [];

    /// <summary>New problems.</summary>
    public IReadOnlyList<Problem> ProblemsAdded { get; init; } = [];

    /// <summary>Problems that are gone.</summary>
    public IReadOnlyList<Problem> ProblemsRemoved { get; init; } = [];

    /// <summary>Nothing traffic would notice changes.</summary>
    public bool IsEmpty => ListenersAdded.Count + ListenersChanged.Count + ListenersRemoved.Count
        + RoutesAdded.Count + RoutesChanged.Count + RoutesRemoved.Count
        + ClustersAdded.Count + ClustersChanged.Count + ClustersRemoved.Count
        + ProblemsAdded.Count + ProblemsRemoved.Count == 0;

    /// <summary>Compares two plans; entries that are the same object cost one comparison.</summary>
    public static PlanDiff Between(Plan old, Plan @new) => new();
}
