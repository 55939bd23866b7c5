using Gateway.Catalog;
using Gateway.DataPlane.Balancing;

namespace Gateway.Admin.Doctor;

/// <summary>
/// Remembers since when a cluster has no usable instance. Looked at every few seconds, so that the doctor knows what happened while
/// nobody asked. An environment that never had an instance is nobody's outage: its port is open for the day it gets one.
/// </summary>
internal sealed class ServiceOutages(ClusterTable clusters)
{
    private readonly Lock _gate = new();
    private readonly HashSet<string> _populated = new(StringComparer.Ordinal);
    private readonly Dictionary<string, DateTimeOffset> _since = new(StringComparer.Ordinal);

    /// <summary>Looks; returns those without a usable instance, each with the time since when.</summary>
    public IReadOnlyList<(ClusterState Cluster, DateTimeOffset Since)> Look(DateTimeOffset now)
    {
        lock (_gate)
        {
            List<(ClusterState, DateTimeOffset)> outages = [];
            IReadOnlyList<ClusterState> all = clusters.Clusters;
            foreach (ClusterState cluster in all)
            {
                string id = cluster.Plan.Id;
                IReadOnlyList<DestinationState> destinations = cluster.Destinations;
                if (cluster.UsableCount > 0 || (destinations.Count == 0 && !_populated.Contains(id)))
                {
                    _since.Remove(id);
                }
                else
                {
                    _since.TryAdd(id, now);

                    // Where only probes keep them out, the health of each knows the moment.
                    DateTimeOffset since = _since[id];
                    bool byProbe = destinations.Count > 0 && destinations.All(d => d.Plan.Admitted && !d.Health.IsUp);
                    DateTimeOffset last = byProbe ? destinations.Max(d => d.Health.View().Since) : since;
                    _since[id] = since = last < since ? last : since;
                    outages.Add((cluster, since));
                }

                if (destinations.Count > 0)
                {
                    _populated.Add(id);
                }
            }

            if (_populated.Count > all.Count || _since.Count > outages.Count)
            {
                HashSet<string> present = [.. all.Select(c => c.Plan.Id)];
                _populated.IntersectWith(present);
                foreach (string gone in _since.Keys.Where(k => !present.Contains(k)).ToArray())
                {
                    _since.Remove(gone);
                }
            }

            return outages;
        }
    }
}
