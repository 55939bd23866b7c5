using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.Control;

/// <summary>
/// What applies that failed may have touched, and therefore is perhaps neither as in the plan in force nor as in the failed one.
/// The next difference is completed by it: named again where the new plan has it, removed where it has not. Of the loop.
/// </summary>
internal sealed class HalfApplied
{
    private readonly Dictionary<ListenerKey, ListenerPlan> _listeners = [];
    private readonly Dictionary<string, ClusterPlan> _clusters = new(StringComparer.Ordinal);

    // One route of each listener whose routes were touched: its table is always built as a whole.
    private readonly Dictionary<ListenerKey, RoutePlan> _routes = [];

    /// <summary>The last apply went through.</summary>
    public bool IsEmpty => _listeners.Count + _clusters.Count + _routes.Count == 0;

    /// <summary>Notes a difference before it is applied.</summary>
    public void Add(PlanDiff diff)
    {
        foreach (ListenerPlan listener in Touched(diff.ListenersAdded, diff.ListenersChanged, diff.ListenersRemoved))
        {
            _listeners[listener.Key] = listener;
        }

        foreach (ClusterPlan cluster in Touched(diff.ClustersAdded, diff.ClustersChanged, diff.ClustersRemoved))
        {
            _clusters[cluster.Id] = cluster;
        }

        foreach (RoutePlan route in Touched(diff.RoutesAdded, diff.RoutesChanged, diff.RoutesRemoved))
        {
            _routes[route.Listener] = route;
        }
    }

    /// <summary>The difference that leads to <paramref name="plan"/> from wherever the failed applies ended.</summary>
    public PlanDiff Complete(PlanDiff diff, Plan plan)
    {
        if (IsEmpty)
        {
            return diff;
        }

        (List<ListenerPlan> listenersAdded, List<ListenerPlan> listenersRemoved) = Left(
            _listeners, l => l.Key, plan.Listeners, Touched(diff.ListenersAdded, diff.ListenersChanged, diff.ListenersRemoved));
        (List<ClusterPlan> clustersAdded, List<ClusterPlan> clustersRemoved) = Left(
            _clusters, c => c.Id, plan.Clusters, Touched(diff.ClustersAdded, diff.ClustersChanged, diff.ClustersRemoved));
        return diff with
        {
            ListenersAdded = [.. diff.ListenersAdded, .. listenersAdded],
            ListenersRemoved = [.. diff.ListenersRemoved, .. listenersRemoved],
            ClustersAdded = [.. diff.ClustersAdded, .. clustersAdded],
            ClustersRemoved = [.. diff.ClustersRemoved, .. clustersRemoved],
            RoutesRemoved = [.. diff.RoutesRemoved, .. _routes.Values],
        };
    }

    /// <summary>An apply went through: everything is as planned.</summary>
    public void Clear()
    {
        _listeners.Clear();
        _clusters.Clear();
        _routes.Clear();
    }

    private static IEnumerable<T> Touched<T>(IReadOnlyList<T> added, IReadOnlyList<Change<T>> changed, IReadOnlyList<T> removed) =>
        added.Concat(changed.Select(c => c.New)).Concat(removed);

    private static (List<T> Added, List<T> Removed) Left<TKey, T>(
        Dictionary<TKey, T> touched, Func<T, TKey> key, EquatableArray<T> planned, IEnumerable<T> named)
        where TKey : notnull
        where T : class, IEquatable<T>
    {
        HashSet<TKey> already = [.. named.Select(key)];
        Dictionary<TKey, T> present = planned.AsEnumerable().Where(p => touched.ContainsKey(key(p))).ToDictionary(key);
        List<T> added = [], removed = [];
        foreach ((TKey name, T last) in touched.Where(t => !already.Contains(t.Key)))
        {
            if (present.TryGetValue(name, out T? wanted))
            {
                added.Add(wanted);
            }
            else
            {
                removed.Add(last);
            }
        }

        return (added, removed);
    }
}
