using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>The whole intent of one moment. Lists are sorted by identity; unchanged entries of the previous plan are reused.</summary>
internal sealed record Plan
{
    /// <summary>A plan without listeners.</summary>
    public static readonly Plan Empty = new();

    /// <summary>Ports, sorted by <see cref="ListenerPlan.Key"/>.</summary>
    public EquatableArray<ListenerPlan> Listeners { get; init; }

    /// <summary>Routes, sorted by listener, host and prefix (ordinal).</summary>
    public EquatableArray<RoutePlan> Routes { get; init; }

    /// <summary>Clusters, sorted by <see cref="ClusterPlan.Id"/> (ordinal).</summary>
    public EquatableArray<ClusterPlan> Clusters { get; init; }

    /// <summary>What is wrong with the input, sorted by service, instance, place and value (ordinal).</summary>
    public EquatableArray<Problem> Problems { get; init; }
}
