using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Gateway.Catalog;

namespace Gateway.Discovery.EmbeddedCatalog;

/// <summary>
/// The journal's encoding: JSON, because a person may have to read it one night. Written by hand, because the serializer's
/// generics over our structs are compiled anew in every process and cost a tenth of a second of its start. A member that is not
/// there has its default, so that an older journal stays readable.
/// </summary>
internal static class CatalogChangeCodec
{
    public static byte[] Encode(CatalogChange change)
    {
        ArrayBufferWriter<byte> buffer = new(512);
        using (Utf8JsonWriter json = new(buffer))
        {
            json.WriteStartObject();
            json.WriteNumber("Index", change.Index);
            if (change.Node is { } node)
            {
                json.WriteStartObject("Node");
                json.WriteString("Id", node.Id);
                json.WriteString("Name", node.Name);
                json.WriteString("Address", node.Address);
                Indexes(json, node.CreateIndex, node.ModifyIndex);
                json.WriteEndObject();
            }

            List(json, "Services", change.Services, Write);
            List(json, "ServicesGone", change.ServicesGone, (j, id) => j.WriteStringValue(id));
            List(json, "Checks", change.Checks, Write);
            List(json, "ChecksGone", change.ChecksGone, (j, id) => j.WriteStringValue(id));
            if (change.Heartbeats is { } beats)
            {
                json.WriteStartArray("Heartbeats");
                foreach (Heartbeat beat in beats)
                {
                    json.WriteStartObject();
                    json.WriteString("CheckId", beat.CheckId);
                    Time(json, "Deadline", beat.Deadline);
                    json.WriteEndObject();
                }

                json.WriteEndArray();
            }

            List(json, "Keys", change.Keys, Write);
            List(json, "KeysGone", change.KeysGone, (j, key) => j.WriteStringValue(key));
            if (change.Indexes is { } indexes)
            {
                json.WriteStartObject("Indexes");
                json.WriteNumber("Services", indexes.Services);
                json.WriteNumber("State", indexes.State);
                json.WriteNumber("NodeHealth", indexes.NodeHealth);
                json.WriteNumber("ExtinctFloor", indexes.ExtinctFloor);
                json.WriteNumber("KeyFloor", indexes.KeyFloor);
                Named(json, "ByService", indexes.ByService);
                Named(json, "Tombstones", indexes.Tombstones);
                json.WriteEndObject();
            }

            json.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }

    /// <exception cref="JsonException">The payload is no change.</exception>
    public static CatalogChange Decode(ReadOnlyMemory<byte> payload)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(payload);
            JsonElement root = document.RootElement;
            return new CatalogChange
            {
                Index = Number(root, "Index"),
                Node = Get(root, "Node") is { } node
                    ? new NodeRecord(
                        Text(node, "Id"),
                        Text(node, "Name"),
                        Text(node, "Address"),
                        Number(node, "CreateIndex"),
                        Number(node, "ModifyIndex"))
                    : null,
                Services = List(root, "Services", Service),
                ServicesGone = List(root, "ServicesGone", e => e.GetString()!),
                Checks = List(root, "Checks", Check),
                ChecksGone = List(root, "ChecksGone", e => e.GetString()!),
                Heartbeats = Get(root, "Heartbeats") is { } beats
                    ? [.. Items(beats).ConvertAll(b => new Heartbeat(Text(b, "CheckId"), Time(b, "Deadline") ?? default))] : null,
                Keys = List(root, "Keys", e => new KeyRecord(
                    Text(e, "Key"),
                    Get(e, "Value")?.GetBytesFromBase64() ?? [],
                    Number(e, "Flags"),
                    Number(e, "CreateIndex"),
                    Number(e, "ModifyIndex"))),
                KeysGone = List(root, "KeysGone", e => e.GetString()!),
                Indexes = Get(root, "Indexes") is { } i
                    ? new CatalogIndexes(
                        Number(i, "Services"),
                        Number(i, "State"),
                        Number(i, "NodeHealth"),
                        Number(i, "ExtinctFloor"),
                        Number(i, "KeyFloor"),
                        Named(i, "ByService"),
                        Named(i, "Tombstones"))
                    : null,
            };
        }
        catch (Exception failure) when (failure is InvalidOperationException or FormatException)
        {
            throw new JsonException(failure.Message, failure);
        }
    }

    private static void Write(Utf8JsonWriter json, ServiceRecord service)
    {
        json.WriteStartObject();
        json.WriteString("Id", service.Id);
        json.WriteString("Name", service.Name);
        json.WriteString("Address", service.Address);
        json.WriteNumber("Port", service.Port);
        CatalogJson.Tags(json, "Tags", service.Tags);
        Pairs(json, "Meta", service.Meta);
        json.WriteStartArray("TaggedAddresses");
        foreach (NamedAddress tagged in service.TaggedAddresses)
        {
            json.WriteStartObject();
            json.WriteString("Name", tagged.Name);
            json.WriteString("Address", tagged.Address);
            json.WriteNumber("Port", tagged.Port);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNumber("WeightPassing", service.WeightPassing);
        json.WriteNumber("WeightWarning", service.WeightWarning);
        json.WriteBoolean("EnableTagOverride", service.EnableTagOverride);
        Indexes(json, service.CreateIndex, service.ModifyIndex);
        json.WriteEndObject();
    }

    private static ServiceRecord Service(JsonElement e) => new()
    {
        Id = Text(e, "Id"),
        Name = Text(e, "Name"),
        Address = Text(e, "Address"),
        Port = (int)Signed(e, "Port"),
        Tags = (List(e, "Tags", t => t.GetString()!) ?? []).ToEquatableArray(),
        Meta = Pairs(e, "Meta"),
        TaggedAddresses = Get(e, "TaggedAddresses") is { } tagged
            ? Items(tagged)
                .ConvertAll(t => new NamedAddress(Text(t, "Name"), Text(t, "Address"), (int)Signed(t, "Port")))
                .ToEquatableArray()
            : default,
        WeightPassing = (int)Signed(e, "WeightPassing", 1),
        WeightWarning = (int)Signed(e, "WeightWarning", 1),
        EnableTagOverride = Get(e, "EnableTagOverride")?.GetBoolean() ?? false,
        CreateIndex = Number(e, "CreateIndex"),
        ModifyIndex = Number(e, "ModifyIndex"),
    };

    private static void Write(Utf8JsonWriter json, CheckRecord check)
    {
        CheckDefinition definition = check.Definition;
        json.WriteStartObject();
        json.WriteString("Id", definition.Id);
        json.WriteString("Name", definition.Name);
        json.WriteString("Notes", definition.Notes);
        json.WriteString("ServiceId", definition.ServiceId);
        json.WriteString("Kind", CatalogJson.Text(definition.Kind));
        json.WriteNumber("TtlTicks", definition.Ttl.Ticks);
        json.WriteNumber("IntervalTicks", definition.Interval.Ticks);
        json.WriteNumber("TimeoutTicks", definition.Timeout.Ticks);
        json.WriteString("Target", definition.Target);
        json.WriteString("Method", definition.Method);
        json.WriteString("Body", definition.Body);
        Pairs(json, "Headers", definition.Headers);
        json.WriteBoolean("TlsSkipVerify", definition.TlsSkipVerify);
        json.WriteNumber("DeregisterAfterTicks", definition.DeregisterAfter.Ticks);
        json.WriteString("Status", CatalogJson.Text(check.Status));
        json.WriteString("Output", check.Output);
        Time(json, "Deadline", check.Deadline);
        Time(json, "CriticalSince", check.CriticalSince);
        Indexes(json, check.CreateIndex, check.ModifyIndex);
        json.WriteEndObject();
    }

    private static CheckRecord Check(JsonElement e) => new()
    {
        Definition = new CheckDefinition
        {
            Id = Text(e, "Id"),
            Name = Text(e, "Name"),
            Notes = Text(e, "Notes"),
            ServiceId = Text(e, "ServiceId"),
            Kind = Text(e, "Kind") switch
            {
                "ttl" => CheckKind.Ttl,
                "http" => CheckKind.Http,
                "tcp" => CheckKind.Tcp,
                "maintenance" => CheckKind.Maintenance,
                string other => throw new JsonException($"unknown kind of check '{other}'"),
            },
            Ttl = new TimeSpan(Signed(e, "TtlTicks")),
            Interval = new TimeSpan(Signed(e, "IntervalTicks")),
            Timeout = new TimeSpan(Signed(e, "TimeoutTicks")),
            Target = Text(e, "Target"),
            Method = Text(e, "Method"),
            Body = Text(e, "Body"),
            Headers = Pairs(e, "Headers"),
            TlsSkipVerify = Get(e, "TlsSkipVerify")?.GetBoolean() ?? false,
            DeregisterAfter = new TimeSpan(Signed(e, "DeregisterAfterTicks")),
        },
        Status = Text(e, "Status") switch
        {
            "passing" => CheckStatus.Passing,
            "warning" => CheckStatus.Warning,
            _ => CheckStatus.Critical,
        },
        Output = Text(e, "Output"),
        Deadline = Time(e, "Deadline"),
        CriticalSince = Time(e, "CriticalSince"),
        CreateIndex = Number(e, "CreateIndex"),
        ModifyIndex = Number(e, "ModifyIndex"),
    };

    private static void Write(Utf8JsonWriter json, KeyRecord key)
    {
        json.WriteStartObject();
        json.WriteString("Key", key.Key);
        json.WriteBase64String("Value", key.Value);
        json.WriteNumber("Flags", key.Flags);
        Indexes(json, key.CreateIndex, key.ModifyIndex);
        json.WriteEndObject();
    }

    private static void Indexes(Utf8JsonWriter json, ulong created, ulong modified)
    {
        json.WriteNumber("CreateIndex", created);
        json.WriteNumber("ModifyIndex", modified);
    }

    private static void Pairs(Utf8JsonWriter json, string name, EquatableArray<MetaEntry> pairs)
    {
        // A list and not an object: a header may be there several times.
        json.WriteStartArray(name);
        foreach (MetaEntry pair in pairs)
        {
            json.WriteStringValue(pair.Key);
            json.WriteStringValue(pair.Value);
        }

        json.WriteEndArray();
    }

    private static EquatableArray<MetaEntry> Pairs(JsonElement e, string name)
    {
        string[] flat = List(e, name, t => t.GetString()!) ?? [];
        MetaEntry[] pairs = new MetaEntry[flat.Length / 2];
        for (int i = 0; i < pairs.Length; i++)
        {
            pairs[i] = new MetaEntry(flat[2 * i], flat[(2 * i) + 1]);
        }

        return pairs.ToEquatableArray();
    }

    private static void Named(Utf8JsonWriter json, string name, NamedIndex[] indexes)
    {
        json.WriteStartArray(name);
        foreach (NamedIndex index in indexes)
        {
            json.WriteStartObject();
            json.WriteString("Name", index.Name);
            json.WriteNumber("Definition", index.Definition);
            json.WriteNumber("Health", index.Health);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static NamedIndex[] Named(JsonElement e, string name) => Get(e, name) is { } list
        ? [.. Items(list).ConvertAll(i => new NamedIndex(Text(i, "Name"), Number(i, "Definition"), Number(i, "Health")))] : [];

    private static void Time(Utf8JsonWriter json, string name, DateTimeOffset? time)
    {
        if (time is { } at)
        {
            json.WriteString(name, at.UtcDateTime.ToString("O", CultureInfo.InvariantCulture));
        }
    }

    private static DateTimeOffset? Time(JsonElement e, string name) => Get(e, name)?.GetDateTimeOffset();

    private static void List<T>(Utf8JsonWriter json, string name, T[]? items, Action<Utf8JsonWriter, T> write)
        where T : class
    {
        if (items is not null)
        {
            json.WriteStartArray(name);
            foreach (T item in items)
            {
                write(json, item);
            }

            json.WriteEndArray();
        }
    }

    private static T[]? List<T>(JsonElement e, string name, Converter<JsonElement, T> read)
        where T : class => Get(e, name) is { } list ? [.. Items(list).ConvertAll(read)] : null;

    private static List<JsonElement> Items(JsonElement list)
    {
        List<JsonElement> items = new(list.GetArrayLength());
        foreach (JsonElement item in list.EnumerateArray())
        {
            items.Add(item);
        }

        return items;
    }

    private static JsonElement? Get(JsonElement e, string name) =>
        e.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private static string Text(JsonElement e, string name) => Get(e, name)?.GetString() ?? "";

    private static ulong Number(JsonElement e, string name) => Get(e, name)?.GetUInt64() ?? 0;

    private static long Signed(JsonElement e, string name, long absent = 0) => Get(e, name)?.GetInt64() ?? absent;
}
