using System.Text.Json;
using Gateway.Catalog;

namespace Gateway.Discovery.EmbeddedCatalog;

/// <summary>An instance with the checks that decide over it: the node's, then its own.</summary>
internal sealed record HealthRecord(ServiceRecord Service, CheckRecord[] Checks);

/// <summary>
/// Consul 1.8's JSON, field by field. The shapes differ between the agent's, the catalog's and the health answers (Meta is an
/// empty object in two and null in the third); programs rely on each, so each is written as Consul writes it.
/// </summary>
internal static class CatalogJson
{
    public static string Text(CheckStatus status) => status switch
    {
        CheckStatus.Passing => "passing",
        CheckStatus.Warning => "warning",
        _ => "critical",
    };

    public static string Text(CheckKind kind) => kind switch
    {
        CheckKind.Ttl => "ttl",
        CheckKind.Http => "http",
        CheckKind.Tcp => "tcp",
        _ => "maintenance",
    };

    /// <summary>The node's own check: the agent that answers is alive.</summary>
    public static CheckRecord SerfHealth(NodeRecord node) => new()
    {
        Definition = new CheckDefinition { Id = "serfHealth", Name = "Serf Health Status" },
        Status = CheckStatus.Passing,
        Output = "Agent alive and reachable",
        CreateIndex = node.CreateIndex,
        ModifyIndex = node.CreateIndex,
    };

    /// <summary>A service as <c>/v1/agent/services</c> has it.</summary>
    public static void AgentService(Utf8JsonWriter json, ServiceRecord service, string? contentHash = null)
    {
        json.WriteStartObject();
        json.WriteString("ID", service.Id);
        json.WriteString("Service", service.Name);
        Tags(json, "Tags", service.Tags);
        Meta(json, "Meta", service.Meta, emptyIsNull: false);
        json.WriteNumber("Port", service.Port);
        json.WriteString("Address", service.Address);
        TaggedAddresses(json, "TaggedAddresses", service.TaggedAddresses);
        Weights(json, "Weights", service);
        json.WriteBoolean("EnableTagOverride", service.EnableTagOverride);
        if (contentHash is not null)
        {
            json.WriteString("ContentHash", contentHash);
        }

        json.WriteEndObject();
    }

    /// <summary>A service as <c>/v1/catalog/service/NAME</c> has it.</summary>
    public static void CatalogService(Utf8JsonWriter json, ServiceRecord service, NodeRecord node)
    {
        json.WriteStartObject();
        NodeFields(json, node, "NodeMeta");
        json.WriteString("ServiceKind", "");
        json.WriteString("ServiceID", service.Id);
        json.WriteString("ServiceName", service.Name);
        Tags(json, "ServiceTags", service.Tags);
        json.WriteString("ServiceAddress", service.Address);
        TaggedAddresses(json, "ServiceTaggedAddresses", service.TaggedAddresses);
        Weights(json, "ServiceWeights", service);
        Meta(json, "ServiceMeta", service.Meta, emptyIsNull: false);
        json.WriteNumber("ServicePort", service.Port);
        json.WriteBoolean("ServiceEnableTagOverride", service.EnableTagOverride);
        Mesh(json, "ServiceProxy", "ServiceConnect");
        Indexes(json, service.CreateIndex, service.ModifyIndex);
        json.WriteEndObject();
    }

    /// <summary>An instance as <c>/v1/health/service/NAME</c> has it.</summary>
    public static void Health(Utf8JsonWriter json, HealthRecord health, NodeRecord node)
    {
        json.WriteStartObject();
        json.WritePropertyName("Node");
        Node(json, node);
        json.WritePropertyName("Service");
        HealthService(json, health.Service);
        json.WriteStartArray("Checks");
        foreach (CheckRecord check in health.Checks)
        {
            Check(json, check, check.Definition.ServiceId.Length == 0 ? null : health.Service, node);
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    /// <summary>A service inside a health answer or a node's list.</summary>
    public static void HealthService(Utf8JsonWriter json, ServiceRecord service)
    {
        json.WriteStartObject();
        json.WriteString("ID", service.Id);
        json.WriteString("Service", service.Name);
        Tags(json, "Tags", service.Tags);
        json.WriteString("Address", service.Address);
        TaggedAddresses(json, "TaggedAddresses", service.TaggedAddresses);
        Meta(json, "Meta", service.Meta, emptyIsNull: true);
        json.WriteNumber("Port", service.Port);
        Weights(json, "Weights", service);
        json.WriteBoolean("EnableTagOverride", service.EnableTagOverride);
        Mesh(json, "Proxy", "Connect");
        Indexes(json, service.CreateIndex, service.ModifyIndex);
        json.WriteEndObject();
    }

    /// <summary>A check; <paramref name="agent"/>: as the agent has it, which knows no indexes.</summary>
    public static void Check(Utf8JsonWriter json, CheckRecord check, ServiceRecord? service, NodeRecord node, bool agent = false)
    {
        CheckDefinition definition = check.Definition;
        json.WriteStartObject();
        json.WriteString("Node", node.Name);
        json.WriteString("CheckID", definition.Id);
        json.WriteString("Name", definition.Name);
        json.WriteString("Status", Text(check.Status));
        json.WriteString("Notes", definition.Notes);
        json.WriteString("Output", check.Output);
        json.WriteString("ServiceID", definition.ServiceId);
        json.WriteString("ServiceName", service?.Name ?? "");
        Tags(json, "ServiceTags", service?.Tags ?? default);
        json.WriteString("Type", definition.Id == "serfHealth" && definition.ServiceId.Length == 0 ? "" : Text(definition.Kind));
        json.WriteStartObject("Definition");
        json.WriteEndObject();
        Indexes(json, agent ? 0 : check.CreateIndex, agent ? 0 : check.ModifyIndex);
        json.WriteEndObject();
    }

    /// <summary>The node.</summary>
    public static void Node(Utf8JsonWriter json, NodeRecord node)
    {
        json.WriteStartObject();
        NodeFields(json, node, "Meta");
        Indexes(json, node.CreateIndex, node.ModifyIndex);
        json.WriteEndObject();
    }

    /// <summary>A key with its value in base64; an empty value is null, as Consul has it.</summary>
    public static void Key(Utf8JsonWriter json, KeyRecord key)
    {
        json.WriteStartObject();
        json.WriteNumber("LockIndex", 0);
        json.WriteString("Key", key.Key);
        json.WriteNumber("Flags", key.Flags);
        if (key.Value.Length == 0)
        {
            json.WriteNull("Value");
        }
        else
        {
            json.WriteBase64String("Value", key.Value);
        }

        Indexes(json, key.CreateIndex, key.ModifyIndex);
        json.WriteEndObject();
    }

    public static void Tags(Utf8JsonWriter json, string name, EquatableArray<string> tags)
    {
        json.WriteStartArray(name);
        foreach (string tag in tags)
        {
            json.WriteStringValue(tag);
        }

        json.WriteEndArray();
    }

    private static void NodeFields(Utf8JsonWriter json, NodeRecord node, string metaName)
    {
        json.WriteString("ID", node.Id);
        json.WriteString("Node", node.Name);
        json.WriteString("Address", node.Address);
        json.WriteString("Datacenter", NodeRecord.Datacenter);
        string family = node.Address.Contains(':', StringComparison.Ordinal) ? "ipv6" : "ipv4";
        json.WriteStartObject("TaggedAddresses");
        json.WriteString("lan", node.Address);
        json.WriteString($"lan_{family}", node.Address);
        json.WriteString("wan", node.Address);
        json.WriteString($"wan_{family}", node.Address);
        json.WriteEndObject();
        json.WriteStartObject(metaName);
        json.WriteString("consul-network-segment", "");
        json.WriteEndObject();
    }

    private static void Meta(Utf8JsonWriter json, string name, EquatableArray<MetaEntry> meta, bool emptyIsNull)
    {
        if (meta.Count == 0 && emptyIsNull)
        {
            json.WriteNull(name);
            return;
        }

        json.WriteStartObject(name);
        foreach ((string key, string value) in meta)
        {
            json.WriteString(key, value);
        }

        json.WriteEndObject();
    }

    private static void TaggedAddresses(Utf8JsonWriter json, string name, EquatableArray<NamedAddress> addresses)
    {
        if (addresses.Count == 0)
        {
            return;
        }

        json.WriteStartObject(name);
        foreach ((string key, string address, int port) in addresses)
        {
            json.WriteStartObject(key);
            json.WriteString("Address", address);
            json.WriteNumber("Port", port);
            json.WriteEndObject();
        }

        json.WriteEndObject();
    }

    private static void Weights(Utf8JsonWriter json, string name, ServiceRecord service)
    {
        json.WriteStartObject(name);
        json.WriteNumber("Passing", service.WeightPassing);
        json.WriteNumber("Warning", service.WeightWarning);
        json.WriteEndObject();
    }

    private static void Mesh(Utf8JsonWriter json, string proxy, string connect)
    {
        json.WriteStartObject(proxy);
        json.WriteStartObject("MeshGateway");
        json.WriteEndObject();
        json.WriteStartObject("Expose");
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteStartObject(connect);
        json.WriteEndObject();
    }

    private static void Indexes(Utf8JsonWriter json, ulong created, ulong modified)
    {
        json.WriteNumber("CreateIndex", created);
        json.WriteNumber("ModifyIndex", modified);
    }
}
