using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.Tests.Planning;

/// <summary>
/// A planner case as a folder of text: <c>catalog.json</c>, a list of Consul registrations (or a list of such lists, one per
/// source); if needed <c>options.json</c> and <c>present.txt</c>, the listeners in force with <c>(expired)</c> where grace is over.
/// </summary>
internal static class PlanCase
{
    private static readonly JsonSerializerOptions Json = new()
    {
        PropertyNameCaseInsensitive = true,
        ReadCommentHandling = JsonCommentHandling.Skip,
        AllowTrailingCommas = true,
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    };

    public static PlanInput Read(string folder)
    {
        string present = Path.Combine(folder, "present.txt");
        string[] listeners = File.Exists(present) ? [.. File.ReadAllLines(present).Where(l => l.Length > 0)] : [];
        return new PlanInput
        {
            Catalogs = ReadCatalogs(Path.Combine(folder, "catalog.json")),
            Options = ReadOptions(Path.Combine(folder, "options.json")),
            Present = listeners.Select(ReadListener).ToEquatableArray(),
            Expired = listeners.Where(l => l.EndsWith("(expired)", StringComparison.Ordinal)).Select(l => ReadListener(l).Key).ToHashSet(),
        };
    }

    private static List<CatalogSnapshot> ReadCatalogs(string file)
    {
        string text = File.ReadAllText(file);
        using JsonDocument document = JsonDocument.Parse(text, new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip });
        bool several = document.RootElement.EnumerateArray().FirstOrDefault().ValueKind == JsonValueKind.Array;
        Registration[][] catalogs = several
            ? JsonSerializer.Deserialize<Registration[][]>(text, Json)!
            : [JsonSerializer.Deserialize<Registration[]>(text, Json)!];
        return [.. catalogs.Select(c => CatalogSnapshot.Of(c.Select(ToInstance)))];
    }

    private static Instance ToInstance(Registration r) => new()
    {
        Service = r.Name,
        Node = r.Node,
        ServiceId = r.ID ?? r.Name,
        Address = r.Address,
        Port = r.Port,
        Tags = (r.Tags ?? []).ToEquatableArray(),
        Meta = (r.Meta ?? []).OrderBy(m => m.Key, StringComparer.Ordinal).Select(m => new MetaEntry(m.Key, m.Value)).ToEquatableArray(),
        Health = Enum.Parse<ReportedHealth>(r.Health, ignoreCase: true),
        WeightPassing = r.Weights?.Passing ?? 1,
        WeightWarning = r.Weights?.Warning ?? 1,
        CreateIndex = r.CreateIndex,
    };

    private static PlanningOptions ReadOptions(string file)
    {
        if (!File.Exists(file))
        {
            return new PlanningOptions();
        }

        Options o = JsonSerializer.Deserialize<Options>(File.ReadAllText(file), Json)!;
        PlanningOptions defaults = new();
        return defaults with
        {
            DefaultEnvironment = o.DefaultEnvironment ?? defaults.DefaultEnvironment,
            Environments = o.Environments?.Select(e => new EnvironmentRule(e.Key, e.Value.Port, e.Value.Host)).ToEquatableArray()
                ?? defaults.Environments,
            Reserved = (o.Reserved ?? []).Select(r => new ReservedPort(int.Parse(r.Key, CultureInfo.InvariantCulture), r.Value)).ToEquatableArray(),
            OwnAddresses = o.OwnAddresses?.ToEquatableArray() ?? defaults.OwnAddresses,
            Edge = o.Edge,
            EdgeListeners = (o.EdgeListeners ?? []).Select(l => new EdgeListener(l.Key.Split(' ')[0], l.Value, l.Key.EndsWith(" https", StringComparison.Ordinal))).ToEquatableArray(),
            EdgeHosts = (o.EdgeHosts ?? []).Select((h, line) => new EdgeHost(
                h.Key.Split('/')[0],
                h.Key.Contains('/', StringComparison.Ordinal) ? h.Key[h.Key.IndexOf('/', StringComparison.Ordinal)..] : "/",
                h.Value.Split('@')[0],
                h.Value.Contains('@', StringComparison.Ordinal) ? h.Value.Split('@')[1] : null,
                $"gateway.yaml:{line + 1}:5")).ToEquatableArray(),
            Static = (o.Static ?? []).Select((s, line) => new StaticService(
                s.Key,
                s.Value.Port,
                s.Value.Servers.ToEquatableArray(),
                (s.Value.Settings ?? []).Select(v => new SettingEntry(v.Key, v.Value, $"gateway.yaml:{line + 51}:9")).ToEquatableArray(),
                $"gateway.yaml:{line + 51}:3")).ToEquatableArray(),
            Services = (o.Services ?? []).Select((s, line) => new ServiceSettings(
                s.Key.Split('@')[0],
                s.Key.Contains('@', StringComparison.Ordinal) ? s.Key.Split('@')[1] : null,
                s.Value.Select(v => new SettingEntry(v.Key, v.Value, $"gateway.yaml:{line + 1}:3")).ToEquatableArray())).ToEquatableArray(),
        };
    }

    // As the plan renders it: listener :3000 http a@production -> a@production
    private static ListenerPlan ReadListener(string line)
    {
        string[] words = line.Split(' ');
        string[] owner = words[3].Split('@');
        return new ListenerPlan
        {
            Key = new ListenerKey(ListenerKey.Internal, int.Parse(words[1].AsSpan(1), CultureInfo.InvariantCulture)),
            Protocol = Enum.Parse<ListenProtocol>(words[2], ignoreCase: true),
            Service = owner[0],
            Environment = owner[1],
            Cluster = words[5],
            Lingering = line.Contains("(lingering)", StringComparison.Ordinal),
        };
    }

    internal sealed record Registration(
        string Name,
        string? ID = null,
        string Node = "n1",
        string Address = "10.0.0.1",
        int Port = 8080,
        string[]? Tags = null,
        Dictionary<string, string>? Meta = null,
        string Health = "unchecked",
        Weights? Weights = null,
        ulong CreateIndex = 0);

    internal sealed record Weights(int Passing = 1, int Warning = 1);

    internal sealed record Rule(string Port, string Host);

    internal sealed record Static(int Port, string[] Servers, Dictionary<string, string>? Settings = null);

    internal sealed record Options(
        string? DefaultEnvironment = null,
        Dictionary<string, Rule>? Environments = null,
        Dictionary<string, string>? Reserved = null,
        string[]? OwnAddresses = null,
        bool Edge = false,
        Dictionary<string, int>? EdgeListeners = null,
        Dictionary<string, string>? EdgeHosts = null,
        Dictionary<string, Dictionary<string, string>>? Services = null,
        Dictionary<string, Static>? Static = null);
}
