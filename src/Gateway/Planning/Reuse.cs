using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>
/// Keeps objects of the past alive where the new ones say the same, so that "did it change?" is one comparison downstream.
/// Never changes what a plan says.
/// </summary>
internal static class Reuse
{
    /// <summary>The fresh clusters, with equal ones of before, or at least their equal destinations, in their place.</summary>
    public static ClusterPlan[] Clusters(IReadOnlyList<ClusterPlan> fresh, IReadOnlyList<ClusterPlan> before) =>
        Same(fresh, before, c => c.Id, (cluster, old) => cluster with
        {
            Destinations = new EquatableArray<DestinationPlan>(
                Same(cluster.Destinations, old.Destinations, d => d.Instance, (destination, _) => destination)),
        });

    /// <summary>Puts the equal listeners and routes of before into fresh claims.</summary>
    public static void Claims(IEnumerable<Claim> fresh, IEnumerable<Claim> before)
    {
        HashSet<ListenerPlan> listeners = [];
        HashSet<RoutePlan> routes = [];
        foreach (Claim claim in before)
        {
            _ = claim.Listener is not null && listeners.Add(claim.Listener);
            _ = claim.Route is not null && routes.Add(claim.Route);
        }

        foreach (Claim claim in fresh)
        {
            claim.Listener = claim.Listener is not null && listeners.TryGetValue(claim.Listener, out ListenerPlan? listener)
                ? listener
                : claim.Listener;
            claim.Route = claim.Route is not null && routes.TryGetValue(claim.Route, out RoutePlan? route) ? route : claim.Route;
        }
    }

    private static T[] Same<T, TKey>(
        IReadOnlyList<T> fresh, IReadOnlyList<T> before, Func<T, TKey> identity, Func<T, T, T> partly)
        where T : class, IEquatable<T>
        where TKey : notnull
    {
        T[] result = new T[fresh.Count];
        Dictionary<TKey, T>? index = null;
        for (int i = 0; i < result.Length; i++)
        {
            T? old = i < before.Count && identity(before[i]).Equals(identity(fresh[i])) ? before[i] : null;
            if (old is null && before.Count > 0)
            {
                index ??= before.ToDictionary(identity);
                old = index.GetValueOrDefault(identity(fresh[i]));
            }

            result[i] = old is null ? fresh[i] : old.Equals(fresh[i]) ? old : partly(fresh[i], old);
        }

        return result;
    }
}
