using System.Text.Json;
using System.Text.Json.Serialization;
using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.Control;

/// <summary>What a restart needs to serve before any source has answered: the catalogs in force, and who owns which port.</summary>
/// <param name="Sources">Each source's catalog.</param>
/// <param name="Listeners">Listeners of the plan in force: their owners keep their ports.</param>
/// <param name="Routes">Routes of the plan in force, for the owners of hosts.</param>
internal sealed record LastKnownGood(
    IReadOnlyList<SavedSource> Sources, EquatableArray<ListenerPlan> Listeners, EquatableArray<RoutePlan> Routes);

/// <summary>The catalog of one source.</summary>
/// <param name="Name">Name of the source.</param>
/// <param name="At">When the source last confirmed it.</param>
/// <param name="Reported">It came from the source; else from the last known good before, while the source was silent.</param>
/// <param name="Catalog">The catalog in force, held instances included.</param>
/// <param name="Held">Which of them are held, since when, and why.</param>
internal sealed record SavedSource(
    string Name, DateTimeOffset At, bool Reported, CatalogSnapshot Catalog, IReadOnlyList<SavedHold> Held);

/// <summary>A held removal.</summary>
internal readonly record struct SavedHold(string Service, InstanceKey Key, DateTimeOffset Since, string Why);

/// <summary>The last known good as JSON.</summary>
internal static partial class LastKnownGoodJson
{
    private const int Format = 1;

    /// <summary>Writes it.</summary>
    public static byte[] Write(LastKnownGood good) => JsonSerializer.SerializeToUtf8Bytes(
        new Document(
            Format,
            [
                .. good.Sources.Select(s => new SourceDocument(
                    s.Name,
                    s.At,
                    s.Reported,
                    [.. s.Catalog.Services.Values.SelectMany(v => v.Instances.AsEnumerable()).Select(Of)],
                    [.. s.Held.Select(h => new HeldDocument(h.Service, h.Key.Node, h.Key.ServiceId, h.Since, h.Why))])),
            ],
            [
                .. good.Listeners.AsEnumerable().Select(l => new ListenerDocument(
                    l.Key.Scope, l.Key.Port, l.Protocol, l.Service, l.Environment, l.Cluster)),
            ],
            [
                .. good.Routes.AsEnumerable().Select(r => new RouteDocument(
                    r.Listener.Scope, r.Listener.Port, r.Host, r.PathPrefix, r.Cluster)),
            ]),
        Shapes.Default.Document);

    /// <summary>Reads it.</summary>
    /// <exception cref="JsonException">It is not what <see cref="Write"/> wrote.</exception>
    public static LastKnownGood Read(ReadOnlySpan<byte> json)
    {
        Document document = JsonSerializer.Deserialize(json, Shapes.Default.Document) ?? throw new JsonException("no content");
        if (document.Format != Format)
        {
            throw new JsonException($"format {document.Format}; this version reads {Format}");
        }

        return new LastKnownGood(
            [
                .. document.Sources.Select(s => new SavedSource(
                    s.Name,
                    s.At,
                    s.Reported,
                    CatalogSnapshot.Of(s.Instances.Select(Of)),
                    [.. s.Held.Select(h => new SavedHold(h.Service, new InstanceKey(h.Node, h.Id), h.Since, h.Why))])),
            ],
            document.Listeners.Select(l => new ListenerPlan
            {
                Key = new ListenerKey(l.Scope, l.Port),
                Protocol = l.Protocol,
                Service = l.Service,
                Environment = l.Environment,
                Cluster = l.Cluster,
            }).ToEquatableArray(),
            document.Routes.Select(r => new RoutePlan
            {
                Listener = new ListenerKey(r.Scope, r.Port),
                Host = r.Host,
                PathPrefix = r.PathPrefix,
                Cluster = r.Cluster,
            }).ToEquatableArray());
    }

    private static InstanceDocument Of(Instance i) => new(
        i.Service, i.Node, i.ServiceId, i.Address, i.Port, [.. i.Tags], [.. i.Meta.AsEnumerable().Select(m => new MetaDocument(m.Key, m.Value))],
        i.Health, i.WeightPassing, i.WeightWarning, i.CreateIndex);

    private static Instance Of(InstanceDocument i) => new()
    {
        Service = i.Service,
        Node = i.Node,
        ServiceId = i.Id,
        Address = i.Address,
        Port = i.Port,
        Tags = i.Tags.ToEquatableArray(),
        Meta = i.Meta.Select(m => new MetaEntry(m.Key, m.Value)).ToEquatableArray(),
        Health = i.Health,
        WeightPassing = i.WeightPassing,
        WeightWarning = i.WeightWarning,
        CreateIndex = i.CreateIndex,
    };

    private sealed record Document(int Format, SourceDocument[] Sources, ListenerDocument[] Listeners, RouteDocument[] Routes);

    private sealed record SourceDocument(string Name, DateTimeOffset At, bool Reported, InstanceDocument[] Instances, HeldDocument[] Held);

    private sealed record InstanceDocument(
        string Service, string Node, string Id, string Address, int Port, string[] Tags, MetaDocument[] Meta, ReportedHealth Health,
        int WeightPassing, int WeightWarning, ulong CreateIndex);

    private sealed record MetaDocument(string Key, string Value);

    private sealed record HeldDocument(string Service, string Node, string Id, DateTimeOffset Since, string Why);

    private sealed record ListenerDocument(string Scope, int Port, ListenProtocol Protocol, string Service, string Environment, string Cluster);

    private sealed record RouteDocument(string Scope, int Port, string Host, string PathPrefix, string Cluster);

    [JsonSourceGenerationOptions(
        PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true, RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true)]
    [JsonSerializable(typeof(Document))]
    private sealed partial class Shapes : JsonSerializerContext;
}
