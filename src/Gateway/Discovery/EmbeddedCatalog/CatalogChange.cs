namespace Gateway.Discovery.EmbeddedCatalog;

/// <summary>
/// One atomic change: what the journal holds a list of. The catalog is the fold of its changes, live and at start by the same
/// code, so what a restart finds cannot differ from what was served.
/// </summary>
internal sealed record CatalogChange
{
    /// <summary>The catalog's index with this change; that of the one before where watchers see nothing of it.</summary>
    public ulong Index { get; init; }

    public NodeRecord? Node { get; init; }

    public ServiceRecord[]? Services { get; init; }

    /// <summary>Ids of services that are gone.</summary>
    public string[]? ServicesGone { get; init; }

    public CheckRecord[]? Checks { get; init; }

    public string[]? ChecksGone { get; init; }

    /// <summary>TTL checks that heard the same again: nothing to see, but the deadline must survive.</summary>
    public Heartbeat[]? Heartbeats { get; init; }

    public KeyRecord[]? Keys { get; init; }

    public string[]? KeysGone { get; init; }

    /// <summary>Only in the first change of a rewritten journal: indexes that the records alone do not give.</summary>
    public CatalogIndexes? Indexes { get; init; }
}

/// <summary>A TTL check's new deadline.</summary>
internal readonly record struct Heartbeat(string CheckId, DateTimeOffset Deadline);

/// <summary>What watchers were told, kept so that no index goes backwards over a restart.</summary>
internal sealed record CatalogIndexes(
    ulong Services,
    ulong State,
    ulong NodeHealth,
    ulong ExtinctFloor,
    ulong KeyFloor,
    NamedIndex[] ByService,
    NamedIndex[] Tombstones);

/// <summary>Indexes of a service name (also one without instances) or of a deleted key.</summary>
internal readonly record struct NamedIndex(string Name, ulong Definition, ulong Health);
