using Gateway.Catalog;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Health;
using Gateway.Planning;

namespace Gateway.Control;

/// <summary>Finds the destinations of an instance in one plan. Made lazily: most plans are never asked.</summary>
internal sealed class PlannedInstances(Plan plan)
{
    private ILookup<string, ClusterPlan>? _byService;

    /// <summary>The plan it answers for.</summary>
    public Plan Plan => plan;

    /// <summary>Whether traffic can reach the instance at the address it has.</summary>
    public bool Contains(Instance instance) => ClustersOf(instance).Any();

    /// <summary>The clusters in which it is a destination, at the address it has.</summary>
    public IEnumerable<ClusterPlan> ClustersOf(Instance instance)
    {
        _byService ??= plan.Clusters.AsEnumerable().ToLookup(c => c.Service, StringComparer.Ordinal);
        return _byService[instance.Service].Where(
            c => Find(c.Destinations, instance.Key, d => d.Instance) is { } d && d.Port == instance.Port && d.Address == instance.Address);
    }

    /// <summary>How a probe asks it: as its cluster does, or by a connect where no cluster knows it.</summary>
    public (ProbeTarget Target, bool Answered) TargetOf(Instance instance, ClusterTable clusters)
    {
        ClusterPlan? cluster = ClustersOf(instance).FirstOrDefault();
        DestinationState? live = cluster is null || clusters.Find(cluster.Id) is not { } state
            ? null
            : Find(state.Destinations, instance.Key, d => d.Plan.Instance);
        ProbeTarget target = new()
        {
            Service = instance.Service,
            Environment = cluster?.Environment ?? "",
            Instance = instance.Key,
            Address = instance.Address,
            Port = instance.Port,
            Upstream = cluster?.Upstream ?? UpstreamProtocol.Auto,
            Check = cluster?.Check ?? new CheckPlan { Kind = CheckKind.Tcp },
        };
        return (target, live?.Health.HasAnswered == true);
    }

    // Destinations are sorted by identity, in plans as in live clusters; a service may have thousands of them.
    private static T? Find<T>(IReadOnlyList<T> sorted, InstanceKey wanted, Func<T, InstanceKey> identity)
        where T : class
    {
        int low = 0;
        int high = sorted.Count - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2;
            int order = identity(sorted[middle]).CompareTo(wanted);
            if (order == 0)
            {
                return sorted[middle];
            }

            (low, high) = order < 0 ? (middle + 1, high) : (low, middle - 1);
        }

        return null;
    }
}
