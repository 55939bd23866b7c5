using System.Collections.Concurrent;
using Gateway.DataPlane.Health;
using Gateway.Planning;

namespace Gateway.DataPlane.Balancing;

/// <summary>
/// Every cluster, live. Plans come in from the one loop that applies them, requests look clusters up from every thread; a lookup
/// takes no lock, and changing one of 20,000 clusters costs that one.
/// </summary>
/// <param name="prober">Probes the destinations; null: nobody does (tests).</param>
/// <param name="clock">The system's by default.</param>
internal sealed class ClusterTable(HealthProber? prober = null, TimeProvider? clock = null)
{
    private readonly ConcurrentDictionary<string, ClusterState> _clusters = new(StringComparer.Ordinal);

    // Guards changes of the set of clusters, and the sorted copy made of it. Lookups do not take it.
    private readonly Lock _gate = new();
    private ClusterState[]? _sorted;

    /// <summary>Clusters in the order of their ids.</summary>
    public IReadOnlyList<ClusterState> Clusters
    {
        get
        {
            lock (_gate)
            {
                return _sorted ??= [.. _clusters.Values.OrderBy(cluster => cluster.Plan.Id, StringComparer.Ordinal)];
            }
        }
    }

    /// <summary>The cluster of that id, or null.</summary>
    public ClusterState? Find(string id) => _clusters.GetValueOrDefault(id);

    /// <summary>Publishes new and changed clusters. First step of an apply.</summary>
    public void Publish(IReadOnlyList<ClusterPlan> added, IReadOnlyList<Change<ClusterPlan>> changed)
    {
        List<(ClusterState Cluster, IReadOnlyList<DestinationState> Removed)> left = [];
        try
        {
            foreach (ClusterPlan plan in added.Concat(changed.Select(change => change.New)))
            {
                if (_clusters.TryGetValue(plan.Id, out ClusterState? present))
                {
                    left.Add((present, present.Change(plan)));
                }
                else
                {
                    Add(plan);
                }
            }
        }
        finally
        {
            foreach ((ClusterState cluster, IReadOnlyList<DestinationState> removed) in left)
            {
                cluster.Release(removed);
            }
        }
    }

    /// <summary>Retires clusters that no route leads to any more. Last step of an apply.</summary>
    public void Retire(IReadOnlyList<ClusterPlan> removed)
    {
        foreach (ClusterPlan plan in removed)
        {
            ClusterState? cluster;
            lock (_gate)
            {
                if (_clusters.TryRemove(plan.Id, out cluster))
                {
                    _sorted = null;
                }
            }

            cluster?.Retire();
        }
    }

    /// <summary>What an operator sees of every cluster.</summary>
    public IReadOnlyList<ClusterView> View() => [.. Clusters.Select(cluster => cluster.View())];

    private void Add(ClusterPlan plan)
    {
        ClusterState cluster = new(plan, prober, clock);
        lock (_gate)
        {
            _clusters[plan.Id] = cluster;
            _sorted = null;
        }
    }
}
