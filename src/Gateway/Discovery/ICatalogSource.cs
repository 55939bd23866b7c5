using Gateway.Catalog;

namespace Gateway.Discovery;

// Sources bring facts. Each reports whole catalogs, never deltas, and keeps its last good one through every error: an error
// is never an empty answer. What a tag means is the planner's business.

/// <summary>Somewhere services are known: Consul, the embedded catalog, files, or one of yours.</summary>
public interface ICatalogSource
{
    /// <summary>Name shown to operators and used as a metric label, for example <c>consul</c>.</summary>
    string Name { get; }

    /// <summary>How the source is doing; safe to read from any thread at any time.</summary>
    SourceStatus Status { get; }

    /// <summary>
    /// Follows the source until <paramref name="stop"/>. Calls <paramref name="report"/> with every changed whole catalog, the
    /// first time even if it is empty; never with less than what it knows because of an error. Returns when stopped; throws only
    /// for our own mistakes.
    /// </summary>
    Task WatchAsync(Action<CatalogSnapshot> report, CancellationToken stop);
}

/// <summary>
/// A source that can be asked outright. Instances that vanish in masses while they still answer are kept until it confirms
/// that they are gone; of a source without this the newest report counts.
/// </summary>
public interface IConfirmsAbsence
{
    /// <summary>
    /// Asks with the best consistency that there is which of <paramref name="instances"/> are not there, or not wanted any more.
    /// Returns only those of which it is certain: an error confirms nothing. Throws only for our own mistakes.
    /// </summary>
    Task<IReadOnlySet<InstanceKey>> ConfirmAbsentAsync(IReadOnlyCollection<Instance> instances, CancellationToken cancel);
}

/// <summary>How a source is doing.</summary>
public sealed record SourceStatus
{
    /// <summary>Whether a first whole catalog was reported.</summary>
    public bool HasReported { get; init; }

    /// <summary>When the source last confirmed its catalog (also unchanged), or null. Its age is a metric.</summary>
    public DateTimeOffset? LastContact { get; init; }

    /// <summary>How it is followed at the moment, for people: <c>12 service watches</c>, <c>state watch</c>, <c>files</c>.</summary>
    public string Mode { get; init; } = "";

    /// <summary>What is wrong at the moment; empty when all is well.</summary>
    public EquatableArray<Problem> Problems { get; init; }
}
