using System.Collections.Immutable;

namespace Gateway.Catalog;

/// <summary>
/// Everything one source knows at one moment. Services that did not change since the source's last snapshot are the same
/// objects, which lets the planner skip them by reference.
/// </summary>
public sealed record CatalogSnapshot
{
    /// <summary>Services by name (ordinal).</summary>
    public ImmutableSortedDictionary<string, Service> Services { get; init; } = EmptyServices;

    /// <summary>
    /// Services that exist there and could not be read yet, so that they are missing from <see cref="Services"/>: what was known of
    /// them before stands.
    /// </summary>
    public EquatableArray<string> Unread { get; init; }

    /// <summary>An empty dictionary with the one comparer that all snapshots share.</summary>
    public static readonly ImmutableSortedDictionary<string, Service> EmptyServices =
        ImmutableSortedDictionary.Create<string, Service>(StringComparer.Ordinal);

    /// <summary>A catalog without services. Stands after the dictionary that it is initialized with.</summary>
    public static readonly CatalogSnapshot Empty = new();

    /// <summary>Makes a snapshot from instances in any order.</summary>
    public static CatalogSnapshot Of(IEnumerable<Instance> instances) => new()
    {
        Services = instances
            .GroupBy(i => i.Service, StringComparer.Ordinal)
            .ToImmutableSortedDictionary(
                g => g.Key,
                g => new Service(g.Key, g.OrderBy(i => i.Key).ToEquatableArray()),
                StringComparer.Ordinal),
    };
}
