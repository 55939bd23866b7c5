using System.Globalization;

namespace Gateway.Catalog;

// Facts as a source reports them. Nothing here knows what a listener or a route is; everything is immutable and compares by
// content, so "did it change?" is always a cheap and honest question.

/// <summary>Identity of an instance: a service id is unique on its agent only (Consul), so the node is part of the key.</summary>
public readonly record struct InstanceKey(string Node, string ServiceId) : IComparable<InstanceKey>
{
    /// <inheritdoc/>
    public int CompareTo(InstanceKey other)
    {
        int byNode = string.CompareOrdinal(Node, other.Node);
        return byNode != 0 ? byNode : string.CompareOrdinal(ServiceId, other.ServiceId);
    }

    /// <summary><c>NODE/ID</c>, the form operators type.</summary>
    public override string ToString() => $"{Node}/{ServiceId}";
}

/// <summary>What the catalog says of an instance, all node and service checks taken together.</summary>
public enum ReportedHealth
{
    /// <summary>Every check passes.</summary>
    Passing,

    /// <summary>The worst check warns; the instance is routed with its warning weight.</summary>
    Warning,

    /// <summary>A check is critical: no traffic.</summary>
    Critical,

    /// <summary>Node or service maintenance: no new work, present work finishes.</summary>
    Maintenance,

    /// <summary>No check at all; routed.</summary>
    Unchecked,
}

/// <summary>One pair of service Meta.</summary>
public readonly record struct MetaEntry(string Key, string Value);

/// <summary>One instance of a service.</summary>
public sealed record Instance
{
    /// <summary>Name of the service it belongs to.</summary>
    public required string Service { get; init; }

    /// <summary>Name of the node whose agent registered it.</summary>
    public required string Node { get; init; }

    /// <summary>Service id, unique on the node.</summary>
    public required string ServiceId { get; init; }

    /// <summary>Service.Address, or Node.Address where that is empty: an IP address or a DNS name, verbatim.</summary>
    public required string Address { get; init; }

    /// <summary>Port as registered; 0 when none was given.</summary>
    public required int Port { get; init; }

    /// <summary>Tags verbatim, in the order the source gives.</summary>
    public EquatableArray<string> Tags { get; init; }

    /// <summary>Meta, sorted by key (ordinal).</summary>
    public EquatableArray<MetaEntry> Meta { get; init; }

    /// <summary>The source's verdict.</summary>
    public ReportedHealth Health { get; init; } = ReportedHealth.Unchecked;

    /// <summary>Weight while passing; Consul's default is 1.</summary>
    public int WeightPassing { get; init; } = 1;

    /// <summary>Weight while warning; Consul's default is 1, 0 means drain.</summary>
    public int WeightWarning { get; init; } = 1;

    /// <summary>Consul's CreateIndex of the registration; 0 where the source has none. Older wins a contested port.</summary>
    public ulong CreateIndex { get; init; }

    /// <summary>Identity.</summary>
    public InstanceKey Key => new(Node, ServiceId);

    /// <summary><c>ADDRESS:PORT</c>, IPv6 in brackets.</summary>
    public string EndPoint => Address.Contains(':', StringComparison.Ordinal)
        ? string.Create(CultureInfo.InvariantCulture, $"[{Address}]:{Port}")
        : string.Create(CultureInfo.InvariantCulture, $"{Address}:{Port}");
}

/// <summary>A service with all its instances, healthy or not, sorted by <see cref="InstanceKey"/>.</summary>
public sealed record Service(string Name, EquatableArray<Instance> Instances);
