using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>An entry that is in both plans with different content.</summary>
internal sealed record Change<T>(T Old, T New);

/// <summary>What turns one cluster's destinations into another's, sorted by instance.</summary>
internal sealed record DestinationsDiff(
    IReadOnlyList<DestinationPlan> Added,
    IReadOnlyList<Change<DestinationPlan>> Changed,
    IReadOnlyList<DestinationPlan> Removed);

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
    public static PlanDiff Between(Plan old, Plan @new)
    {
        if (ReferenceEquals(old, @new))
        {
            return new PlanDiff();
        }

        Walk<ListenerPlan> listeners = new(old.Listeners, @new.Listeners, PlanOrder.Listeners);
        Walk<RoutePlan> routes = new(old.Routes, @new.Routes, PlanOrder.Routes);
        Walk<ClusterPlan> clusters = new(old.Clusters, @new.Clusters, PlanOrder.Clusters);
        Walk<Problem> problems = new(old.Problems, @new.Problems, PlanOrder.Problems);
        return new PlanDiff
        {
            ListenersAdded = listeners.Added,
            ListenersChanged = listeners.Changed,
            ListenersRemoved = listeners.Removed,
            RoutesAdded = routes.Added,
            RoutesChanged = routes.Changed,
            RoutesRemoved = routes.Removed,
            ClustersAdded = clusters.Added,
            ClustersChanged = clusters.Changed,
            ClustersRemoved = clusters.Removed,
            ProblemsAdded = problems.Added,
            ProblemsRemoved = problems.Removed,
        };
    }

    /// <summary>The same walk for one cluster's destinations.</summary>
    public static DestinationsDiff BetweenDestinations(ClusterPlan? old, ClusterPlan? @new)
    {
        Walk<DestinationPlan> walk = new(old?.Destinations ?? [], @new?.Destinations ?? [], PlanOrder.Destinations);
        return new DestinationsDiff(walk.Added, walk.Changed, walk.Removed);
    }

    // Both lists are sorted by identity, so one walk side by side finds everything.
    private sealed class Walk<T>
        where T : class, IEquatable<T>
    {
        public Walk(EquatableArray<T> old, EquatableArray<T> @new, Comparison<T> order)
        {
            ReadOnlySpan<T> before = old.AsSpan();
            ReadOnlySpan<T> after = @new.AsSpan();
            int b = 0;
            int a = 0;
            while (b < before.Length && a < after.Length)
            {
                int step = ReferenceEquals(before[b], after[a]) ? 0 : order(before[b], after[a]);
                if (step < 0)
                {
                    Removed.Add(before[b++]);
                }
                else if (step > 0)
                {
                    Added.Add(after[a++]);
                }
                else
                {
                    if (!ReferenceEquals(before[b], after[a]) && !before[b].Equals(after[a]))
                    {
                        Changed.Add(new Change<T>(before[b], after[a]));
                    }

                    b++;
                    a++;
                }
            }

            Removed.AddRange(before[b..]);
            Added.AddRange(after[a..]);
        }

        public List<T> Added { get; } = [];

        public List<Change<T>> Changed { get; } = [];

        public List<T> Removed { get; } = [];
    }
}
