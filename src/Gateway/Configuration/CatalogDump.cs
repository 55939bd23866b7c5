using Gateway.Catalog;

namespace Gateway.Configuration;

/// <summary>An instance of a catalog file.</summary>
/// <param name="Instance">The fact.</param>
/// <param name="Line">Line of its registration, from 1.</param>
/// <param name="Column">Column of its registration, from 1.</param>
internal sealed record DumpedInstance(Instance Instance, int Line, int Column);

/// <summary>What a catalog file holds.</summary>
internal sealed record CatalogDump
{
    /// <summary>Its instances in the order of the file.</summary>
    public IReadOnlyList<DumpedInstance> Instances { get; init; } = [];

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

/// <summary>Where things stand in a catalog file: an instance, and inside it the tag or Meta value a problem speaks of.</summary>
internal sealed class DumpPlaces
{
    private readonly string _path;
    private readonly Dictionary<string, DumpedInstance> _byKey = new(StringComparer.Ordinal);
    private readonly Dictionary<string, DumpedInstance> _byService = new(StringComparer.Ordinal);
    private readonly Lazy<Dictionary<(int Line, int Column), YamlMap>> _maps;

    /// <summary>Indexes the instances of a dump.</summary>
    public DumpPlaces(string path, CatalogDump dump)
    {
        _path = path;
        foreach (DumpedInstance item in dump.Instances)
        {
            // Of two registrations of one instance the first counts, and so does its place.
            _byKey.TryAdd($"{item.Instance.Service} {item.Instance.Key}", item);
            _byService.TryAdd(item.Instance.Service, item);
        }

        _maps = new(Maps);
    }

    /// <summary>The most precise place there is for a problem; null when it is not about this file.</summary>
    public Place? Of(Problem problem)
    {
        DumpedInstance? item = _byKey.GetValueOrDefault($"{problem.Service} {problem.Instance}")
            ?? _byService.GetValueOrDefault(problem.Service ?? "");
        if (item is null)
        {
            return null;
        }

        Place place = new(_path, item.Line, item.Column);
        return problem.Instance is not null && _maps.Value.GetValueOrDefault((item.Line, item.Column)) is { } map
            ? Scalars(map).FirstOrDefault(s => s.Text.Trim() == problem.Value?.Trim() && s.Text.Length > 0)?.Place ?? place
            : place;
    }

    private static IEnumerable<YamlScalar> Scalars(YamlNode node) => node switch
    {
        YamlScalar scalar => [scalar],
        YamlList list => list.Items.SelectMany(Scalars),
        YamlMap map => map.Entries.SelectMany(e => Scalars(e.Value)),
        _ => [],
    };

    private Dictionary<(int Line, int Column), YamlMap> Maps()
    {
        Dictionary<(int Line, int Column), YamlMap> maps = [];
        try
        {
            if (YamlTreeReader.Read(File.ReadAllText(_path), _path, new DiagnosticList()) is { } root)
            {
                Collect(root, maps);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A pipe is read only once; the instance's place is good enough then.
        }

        return maps;
    }

    private static void Collect(YamlNode node, Dictionary<(int Line, int Column), YamlMap> maps)
    {
        foreach (YamlNode child in node switch
        {
            YamlList list => list.Items,
            YamlMap map => map.Entries.Select(e => e.Value),
            _ => Enumerable.Empty<YamlNode>(),
        })
        {
            Collect(child, maps);
        }

        if (node is YamlMap here)
        {
            maps[(here.Place.Line, here.Place.Column)] = here;
        }
    }
}
