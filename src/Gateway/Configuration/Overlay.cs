using Gateway.Planning;

namespace Gateway.Configuration;

/// <summary>A value from the command line, which wins over variables and the file.</summary>
/// <param name="Key">Dotted path, for example <c>stateDirectory</c>.</param>
/// <param name="Value">As it would be written in the file.</param>
/// <param name="Place">Shown as its origin, for example <c>--state</c>.</param>
public sealed record ConfigurationOverride(string Key, string Value, string Place);

/// <summary>
/// Lays variables and switches over the file's tree, as if they had been written there; the reader then checks all alike.
/// Steps: <c>GATEWAY__*</c>, then the command line, then the choice of a source, then what <c>CONSUL_*</c> fills in.
/// </summary>
internal sealed class Overlay(YamlMap root, DiagnosticList diagnostics)
{
    /// <summary>What <c>GATEWAY__SECTION__KEY</c> variables begin with, compared without case.</summary>
    public const string Prefix = "GATEWAY__";

    /// <summary>Selects Consul where no source is named, and fills its address.</summary>
    public const string ConsulAddress = "CONSUL_HTTP_ADDR";

    private static readonly (string Variable, string Path)[] s_consul =
    [
        (ConsulAddress, "catalog.consul.address"),
        ("CONSUL_HTTP_TOKEN_FILE", "catalog.consul.tokenFile"),
        ("CONSUL_CACERT", "catalog.consul.tls.ca"),
    ];

    /// <summary>Lays everything over the tree.</summary>
    public void Apply(IReadOnlyDictionary<string, string> environment, IReadOnlyList<ConfigurationOverride> commandLine)
    {
        Dictionary<string, string> seen = new(StringComparer.OrdinalIgnoreCase);
        foreach ((string name, string value) in environment
            .Where(v => v.Key.StartsWith(Prefix, StringComparison.OrdinalIgnoreCase))
            .OrderBy(v => v.Key, StringComparer.Ordinal))
        {
            if (seen.TryAdd(name, name))
            {
                Variable(name, value);
            }
            else
            {
                diagnostics.Error(new Place(name), $"the same variable as {seen[name]} (compared without case)");
            }
        }

        foreach (ConfigurationOverride item in commandLine)
        {
            Set(item.Key.Split('.'), new YamlScalar(item.Value, quoted: true, new Place(item.Place)));
        }

        ChooseSource(environment);
        FillConsul(environment);
    }

    private void Variable(string name, string value)
    {
        string[] parts = name[Prefix.Length..].Split("__");
        Place place = new(name);
        List<string> path = [];
        SchemaNode node = Schema.Root;
        for (int i = 0; i < parts.Length; i++)
        {
            string dotted = string.Join('.', path);
            switch (node)
            {
                case SectionNode section when section.Child(parts[i], StringComparison.OrdinalIgnoreCase) is { } child:
                    path.Add(child.Key);
                    node = child;
                    break;
                case EntriesNode entries:
                    if (EntryName(entries, path, parts[i]) is not { } entry)
                    {
                        diagnostics.Error(
                            place,
                            $"{dotted} has no '{parts[i]}'; a variable changes entries that exist, write new ones in the file");
                        return;
                    }

                    path.Add(entry);
                    node = entries.Entry;
                    break;
                case SettingsNode settings:
                    string rest = string.Join('.', parts[i..]);

                    // One dotted key, so that it also reaches a service whose file entry says `check: tcp`.
                    path.Add(SettingKey(settings, rest) ?? rest);
                    Set(path, new YamlScalar(value.Trim(), quoted: false, place));
                    return;
                default:
                    diagnostics.Error(place, $"no such key; the nearest is {Nearest(name)}");
                    return;
            }
        }

        string full = string.Join('.', path);
        switch (node)
        {
            case ScalarNode or SectionNode { OrOff: true }:
                Set(path, new YamlScalar(value.Trim(), quoted: false, place));
                break;
            case SectionNode { Children: [var first, ..] }:
                diagnostics.Error(
                    place,
                    $"{full} is a section; set one of its keys, like {name}__{first.Key.ToUpperInvariant()}");
                break;
            default:
                string kind = node is ListNode ? "list" : "mapping";
                diagnostics.Error(
                    place,
                    $"{full} is a {kind}, which a variable cannot set; write it in the file");
                break;
        }
    }

    private static string Nearest(string name) =>
        EditDistance.Closest(
            name,
            Schema.ScalarPaths.Select(p => Prefix + p.Replace(".", "__", StringComparison.Ordinal).ToUpperInvariant()))!;

    // The file's spelling of an entry's name, or the default's where the file has no such mapping.
    private string? EntryName(EntriesNode node, List<string> path, string name)
    {
        YamlMap map = Find(path) as YamlMap ?? node.DefaultTree();
        return map.Entries.Find(e => e.Key.Equals(name, StringComparison.OrdinalIgnoreCase))?.Key;
    }

    private static string? SettingKey(SettingsNode node, string key) =>
        node.Known.Select(k => k.Key)
            .Concat(SettingGrammar.Keys)
            .FirstOrDefault(k => k.Equals(key, StringComparison.OrdinalIgnoreCase));

    private void ChooseSource(IReadOnlyDictionary<string, string> environment)
    {
        if (IsNamed("consul") || IsNamed("embedded") || IsNamed("files"))
        {
            return;
        }

        bool consul = environment.GetValueOrDefault(ConsulAddress) is { Length: > 0 };
        string[] source = ["catalog", consul ? "consul" : "embedded"];
        Set(source, new YamlMap(consul ? new Place(ConsulAddress) : Place.Default));
    }

    // `consul:` with nothing after it names Consul with its defaults; `consul: null` does not, nor does `files: []`.
    private bool IsNamed(string source) => Find(["catalog", source]) switch
    {
        null => false,
        YamlScalar { IsNull: true } scalar => scalar.IsEmpty && source != "files",
        YamlList { Items.Count: 0 } => false,
        _ => true,
    };

    private void FillConsul(IReadOnlyDictionary<string, string> environment)
    {
        if (!IsNamed("consul"))
        {
            return;
        }

        foreach ((string variable, string path) in s_consul)
        {
            string[] keys = path.Split('.');
            if (environment.GetValueOrDefault(variable) is { Length: > 0 } value && Find(keys) is null)
            {
                Set(keys, new YamlScalar(value.Trim(), quoted: true, new Place(variable)));
            }
        }
    }

    private YamlNode? Find(IReadOnlyList<string> path)
    {
        YamlNode? node = root;
        foreach (string key in path)
        {
            node = (node as YamlMap)?.Find(key)?.Value;
        }

        return node;
    }

    private void Set(IReadOnlyList<string> path, YamlNode value)
    {
        YamlMap map = root;
        SchemaNode? node = Schema.Root;
        for (int i = 0; i < path.Count - 1; i++)
        {
            node = node switch
            {
                SectionNode section => section.Child(path[i]),
                EntriesNode entries => entries.Entry,
                _ => null,
            };
            YamlEntry? entry = map.Find(path[i]);
            if (entry is null)
            {
                entry = new YamlEntry(path[i], value.Place, node is EntriesNode e ? e.DefaultTree() : new YamlMap(value.Place));
                map.Entries.Add(entry);
            }
            else if (entry.Value is YamlScalar scalar
                && (scalar.IsNull || (scalar.Text is "off" or "false" && node is SectionNode { OrOff: true })))
            {
                entry.Value = new YamlMap(value.Place);
            }

            if (entry.Value is not YamlMap inner)
            {
                // The file has something else here, and the reader says so.
                return;
            }

            map = inner;
        }

        YamlEntry? last = map.Find(path[^1]);
        if (last is null)
        {
            map.Entries.Add(new YamlEntry(path[^1], value.Place, value));
        }
        else
        {
            last.Value = value;
        }
    }
}
