using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>The order of each list of a plan: by identity, so that two plans compare in one walk. Ordinal throughout.</summary>
internal static class PlanOrder
{
    /// <summary>By key.</summary>
    public static int Listeners(ListenerPlan a, ListenerPlan b) => a.Key.CompareTo(b.Key);

    /// <summary>By listener, host and prefix.</summary>
    public static int Routes(RoutePlan a, RoutePlan b)
    {
        int order = a.Listener.CompareTo(b.Listener);
        order = order != 0 ? order : string.CompareOrdinal(a.Host, b.Host);
        return order != 0 ? order : string.CompareOrdinal(a.PathPrefix, b.PathPrefix);
    }

    /// <summary>By id.</summary>
    public static int Clusters(ClusterPlan a, ClusterPlan b) => string.CompareOrdinal(a.Id, b.Id);

    /// <summary>By instance.</summary>
    public static int Destinations(DestinationPlan a, DestinationPlan b) => a.Instance.CompareTo(b.Instance);

    /// <summary>By service, instance, place, value, then all the rest: a problem has no identity but its content.</summary>
    public static int Problems(Problem a, Problem b)
    {
        int order = string.CompareOrdinal(a.Service, b.Service);
        order = order != 0 ? order : string.CompareOrdinal(a.Instance, b.Instance);
        order = order != 0 ? order : string.CompareOrdinal(a.Place, b.Place);
        order = order != 0 ? order : string.CompareOrdinal(a.Value, b.Value);
        order = order != 0 ? order : string.CompareOrdinal(a.Code, b.Code);
        order = order != 0 ? order : string.CompareOrdinal(a.Allowed, b.Allowed);
        return order != 0 ? order : string.CompareOrdinal(a.Now, b.Now);
    }
}
