using Gateway.Catalog;

namespace Gateway.Configuration;

/// <summary>What a catalog file holds.</summary>
internal sealed record CatalogDump
{
    /// <summary>Its instances in the order of the file.</summary>
    public IReadOnlyList<Instance> Instances { get; init; } = [];

    /// <summary>What is wrong with the file itself.</summary>
    public IReadOnlyList<Diagnostic> Findings { get; init; } = [];

    /// <summary>Why the file cannot be read at all, or null.</summary>
    public string? Unreadable { get; init; }
}

/// <summary>
/// Reads a catalog file; handed in by the root, because this room does not know how sources read. Never throws for any content
/// of the file.
/// </summary>
internal delegate CatalogDump ReadCatalogDump(string path);

/// <summary>
/// Where things stand in a catalog file: an instance's registration, and inside it the tag or Meta value a problem speaks of.
/// The file is looked at only when there is a problem.
/// </summary>
internal sealed class DumpPlaces
{
    private readonly string _path;
    private readonly HashSet<string> _services;
    private readonly Lazy<List<(string Service, string Id, string? Node, YamlMap Map)>> _registrations;

    /// <summary>Knows which services are in the dump.</summary>
    public DumpPlaces(string path, CatalogDump dump)
    {
        _path = path;
        _services = dump.Instances.Select(i => i.Service).ToHashSet(StringComparer.Ordinal);
        _registrations = new(Registrations);
    }

    /// <summary>The most precise place there is for a problem; null when it is not about this file.</summary>
    public Place? Of(Problem problem)
    {
        if (problem.Service is not { } service || !_services.Contains(service))
        {
            return null;
        }

        // An instance is NODE/ID; a registration without a node is of whatever node the reader gives it.
        (string Service, string Id, string? Node, YamlMap Map)? registration = _registrations.Value
            .Where(r => r.Service == service)
            .OrderByDescending(r => problem.Instance == $"{r.Node}/{r.Id}")
            .ThenByDescending(r => r.Node is null && problem.Instance?.EndsWith("/" + r.Id, StringComparison.Ordinal) == true)
            .Cast<(string, string, string?, YamlMap)?>()
            .FirstOrDefault();
        if (registration is not { Map: var map })
        {
            return new Place(_path);
        }

        return (problem.Instance is null ? null : Part(map, problem)) ?? map.Place;
    }

    // What of a registration the problem is about. A tag is shown in its one spelling, so blanks and case do not count.
    private static Place? Part(YamlMap map, Problem problem)
    {
        if (problem.Place.StartsWith("meta ", StringComparison.Ordinal))
        {
            return Field(map, "meta") is YamlMap meta
                ? meta.Entries.Find(e => e.Key == problem.Place["meta ".Length..])?.Value.Place
                : null;
        }

        YamlNode? field = problem.Place switch
        {
            "port" or "address" => Field(map, problem.Place),
            "service id" => Field(map, "id"),
            _ => null,
        };
        if (field is not null)
        {
            return field.Place;
        }

        string value = problem.Value?.Trim() ?? "";
        YamlScalar[] tags = [.. Scalars(Field(map, "tags") ?? new YamlList(map.Place))];
        return problem.Place != "tag" || value.Length == 0 ? null
            : (Array.Find(tags, t => t.Text.Trim() == value)
                ?? Array.Find(tags, t => t.Text.Trim().Equals(value, StringComparison.OrdinalIgnoreCase)))?.Place;
    }

    private static IEnumerable<YamlScalar> Scalars(YamlNode node) => node switch
    {
        YamlScalar scalar => [scalar],
        YamlList list => list.Items.SelectMany(Scalars),
        YamlMap map => map.Entries.SelectMany(e => Scalars(e.Value)),
        _ => [],
    };

    // Consul's spelling of keys varies: ID, id, Name, name.
    private static YamlNode? Field(YamlMap map, string key) =>
        map.Entries.Find(e => e.Key.Equals(key, StringComparison.OrdinalIgnoreCase))?.Value;

    private static string? Text(YamlMap map, string key) =>
        Field(map, key) is YamlScalar { IsNull: false, Text.Length: > 0 } scalar ? scalar.Text : null;

    // Registrations say name, what Consul answers says service.
    private static string? Name(YamlMap map) => Text(map, "name") ?? Text(map, "service");

    private List<(string Service, string Id, string? Node, YamlMap Map)> Registrations()
    {
        try
        {
            YamlMap? root = YamlTreeReader.Read(File.ReadAllText(_path), _path, new DiagnosticList());
            YamlList? list = root?.Entries.Find(e => e.Key.Equals("services", StringComparison.OrdinalIgnoreCase))?.Value as YamlList;
            return
            [
                .. (list?.Items ?? []).OfType<YamlMap>()
                    .Where(m => Name(m) is not null)
                    .Select(m => (Name(m)!, Text(m, "id") ?? Name(m)!, Text(m, "node"), m)),
            ];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A pipe can be read only once; then the file's name is the place.
            return [];
        }
    }
}
