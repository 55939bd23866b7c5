using Gateway.Catalog;

namespace Gateway.Discovery.EmbeddedCatalog;

// What the embedded catalog knows, as immutable records that compare by content. CreateIndex and ModifyIndex are Consul's: the
// catalog's index at the change that made the record and at the last one that watchers could see.

/// <summary>An address by name, as in Consul's TaggedAddresses.</summary>
internal readonly record struct NamedAddress(string Name, string Address, int Port);

/// <summary>The one node of this catalog: the host that Gateway runs on.</summary>
internal sealed record NodeRecord(string Id, string Name, string Address, ulong CreateIndex, ulong ModifyIndex)
{
    /// <summary>Consul's name for the first datacenter; the embedded catalog has no other.</summary>
    public const string Datacenter = "dc1";
}

/// <summary>A registered service instance.</summary>
internal sealed record ServiceRecord
{
    public required string Id { get; init; }

    public required string Name { get; init; }

    public string Address { get; init; } = "";

    public int Port { get; init; }

    public EquatableArray<string> Tags { get; init; }

    /// <summary>Sorted by key (ordinal), so that equal content is equal records.</summary>
    public EquatableArray<MetaEntry> Meta { get; init; }

    /// <summary>Sorted by name (ordinal).</summary>
    public EquatableArray<NamedAddress> TaggedAddresses { get; init; }

    public int WeightPassing { get; init; } = 1;

    public int WeightWarning { get; init; } = 1;

    public bool EnableTagOverride { get; init; }

    public ulong CreateIndex { get; init; }

    public ulong ModifyIndex { get; init; }

    /// <summary>Equality of what was registered, whenever that was.</summary>
    public bool SameContent(ServiceRecord other) =>
        this with { CreateIndex = 0, ModifyIndex = 0 } == other with { CreateIndex = 0, ModifyIndex = 0 };
}

internal enum CheckKind
{
    Ttl,
    Http,
    Tcp,
    Maintenance,
}

internal enum CheckStatus
{
    Passing,
    Warning,
    Critical,
}

/// <summary>What a check is, without how it stands.</summary>
internal sealed record CheckDefinition
{
    public required string Id { get; init; }

    public required string Name { get; init; }

    public string Notes { get; init; } = "";

    /// <summary>Empty for a check of the node.</summary>
    public string ServiceId { get; init; } = "";

    public CheckKind Kind { get; init; }

    public TimeSpan Ttl { get; init; }

    public TimeSpan Interval { get; init; }

    public TimeSpan Timeout { get; init; }

    /// <summary>URL of an HTTP check; ADDRESS:PORT of a TCP check.</summary>
    public string Target { get; init; } = "";

    public string Method { get; init; } = "";

    public string Body { get; init; } = "";

    /// <summary>Name and value; a name with several values is there several times.</summary>
    public EquatableArray<MetaEntry> Headers { get; init; }

    public bool TlsSkipVerify { get; init; }

    /// <summary>Deregister the service after this long in critical; zero: never.</summary>
    public TimeSpan DeregisterAfter { get; init; }
}

/// <summary>A check and how it stands.</summary>
internal sealed record CheckRecord
{
    public required CheckDefinition Definition { get; init; }

    public CheckStatus Status { get; init; } = CheckStatus.Critical;

    public string Output { get; init; } = "";

    /// <summary>When a TTL check turns critical unless it hears something; wall clock, so that it holds over a restart.</summary>
    public DateTimeOffset? Deadline { get; init; }

    /// <summary>Since when it is critical without a break; null when it is not.</summary>
    public DateTimeOffset? CriticalSince { get; init; }

    public ulong CreateIndex { get; init; }

    public ulong ModifyIndex { get; init; }
}

/// <summary>A key of the KV store.</summary>
internal sealed record KeyRecord(string Key, byte[] Value, ulong Flags, ulong CreateIndex, ulong ModifyIndex);

/// <summary>A service to register with its checks and their first status, already validated.</summary>
internal sealed record ServiceRegistration(ServiceRecord Service, EquatableArray<CheckRegistration> Checks);

/// <summary>A check to register, already validated.</summary>
internal sealed record CheckRegistration(CheckDefinition Definition, CheckStatus Status);
