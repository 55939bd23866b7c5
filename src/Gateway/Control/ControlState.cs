using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.Control;

/// <summary>What the loop was told by the operator; replaced whole on reload.</summary>
internal sealed record ControlSettings(PlanningOptions Planning, TimeSpan PortGrace)
{
    /// <summary>When a source that suddenly knows much less is not believed at once.</summary>
    public GuardOptions Guard { get; init; } = new();
}

/// <summary>The plan in force and how it came about; published by one reference write.</summary>
internal sealed record ControlState
{
    /// <summary>Before the first apply.</summary>
    public static readonly ControlState Initial = new();

    /// <summary>The plan in force.</summary>
    public Plan Plan { get; init; } = Plan.Empty;

    /// <summary>Applies so far; 0 before the first.</summary>
    public long Applies { get; init; }

    /// <summary>When the plan came into force.</summary>
    public DateTimeOffset? AppliedAt { get; init; }

    /// <summary>The options that it was planned with.</summary>
    public PlanningOptions Options { get; init; } = new();

    /// <summary>The catalog in force of each source that has one, by the source's name; held instances are in it.</summary>
    public IReadOnlyDictionary<string, CatalogSnapshot> Catalogs { get; init; } = new Dictionary<string, CatalogSnapshot>(StringComparer.Ordinal);
}
