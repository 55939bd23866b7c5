using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>Everything the planner looks at.</summary>
internal sealed record PlanInput
{
    /// <summary>Catalogs of all sources, in the order of configuration; a service in two of them has the instances of both.</summary>
    public required IReadOnlyList<CatalogSnapshot> Catalogs { get; init; }

    /// <summary>Options.</summary>
    public PlanningOptions Options { get; init; } = new();

    /// <summary>Listeners of the plan in force. Their owners keep a port that they still claim; unclaimed ones linger.</summary>
    public EquatableArray<ListenerPlan> Present { get; init; }

    /// <summary>Routes of the plan in force: the owner of a host and path keeps it while it claims it.</summary>
    public EquatableArray<RoutePlan> PresentRoutes { get; init; }

    /// <summary>Lingering listeners whose grace is over: planned no more unless somebody claims them.</summary>
    public IReadOnlySet<ListenerKey> Expired { get; init; } = System.Collections.Immutable.ImmutableHashSet<ListenerKey>.Empty;
}
