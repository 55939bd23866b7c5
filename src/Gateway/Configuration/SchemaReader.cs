using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.Configuration;

/// <summary>A value in force: typed, as text, and where it was written.</summary>
/// <param name="Typed">Null when the value is null or was refused.</param>
/// <param name="Text">As an operator would write it.</param>
/// <param name="Place">Where it was written.</param>
/// <param name="Valid">False: an error was reported, and rules that compare values should leave it alone.</param>
internal sealed record ReadValue(object? Typed, string Text, Place Place, bool Valid);

/// <summary>A service of <c>services</c> with its place.</summary>
internal sealed record ReadService(string Name, Place Place, EquatableArray<Planning.SettingEntry> Entries);

/// <summary>
/// Tree and schema in, values by dotted path out. Every mistake is reported and the reading goes on with the default, so
/// that one run shows all of them.
/// </summary>
/// <param name="diagnostics">Takes the mistakes.</param>
/// <param name="folder">The file's folder: relative paths written in the file start there.</param>
internal sealed class SchemaReader(DiagnosticList diagnostics, string folder)
{
    private readonly Dictionary<string, ReadValue> _values = new(StringComparer.Ordinal);
    private readonly List<string> _order = [];

    /// <summary>Values in the order of the schema.</summary>
    public IEnumerable<KeyValuePair<string, ReadValue>> Values => _order.Select(k => KeyValuePair.Create(k, _values[k]));

    /// <summary>Names of the entries of each <see cref="EntriesNode"/>, in the order of the file.</summary>
    public Dictionary<string, List<(string Name, Place Place)>> Entries { get; } = new(StringComparer.Ordinal);

    /// <summary>What <c>services</c> says.</summary>
    public List<ReadService> Services { get; } = [];

    /// <summary>Where sections and entries that somebody wrote begin.</summary>
    public Dictionary<string, Place> Written { get; } = new(StringComparer.Ordinal);

    /// <summary>Keys that were compared with the schema.</summary>
    public int KeysChecked { get; private set; }

    /// <summary>The value at a path, or null where an optional section is absent.</summary>
    public ReadValue? Find(string path) => _values.GetValueOrDefault(path);

    /// <summary>The typed value at a path that is always there.</summary>
    public T Get<T>(string path) => (T)_values[path].Typed!;

    /// <summary>Reads the whole file.</summary>
    public void Read(YamlMap root) => Section(Schema.Root, "", root, root.Place);

    private void Node(SchemaNode node, string path, YamlNode? given, Place keyPlace)
    {
        switch (node)
        {
            case SectionNode section:
                Section(section, path, given, keyPlace);
                break;
            case ScalarNode scalar:
                Scalar(scalar, path, given, keyPlace);
                break;
            case ListNode list:
                List(list, path, given);
                break;
            case EntriesNode entries:
                ReadEntries(entries, path, given, keyPlace);
                break;
            case SettingsNode settings:
                Settings(settings, path, given, keyPlace);
                break;
            default:
                throw new InvalidOperationException(node.GetType().Name);
        }
    }

    private void Section(SectionNode node, string path, YamlNode? given, Place keyPlace)
    {
        if (node.OrOff && given is YamlScalar { IsEmpty: false } word)
        {
            if (word is { Quoted: false, Text: "off" or "false" })
            {
                Set(path, false, "off", word.Place);
                return;
            }

            diagnostics.Error(
                word.Place,
                $"{path}: {ScalarTypes.Show(word)} is not allowed; allowed is off or a mapping of {KeysOf(node)}");
            given = null;
        }

        if (node.Optional && given is null or YamlScalar { IsNull: true, IsEmpty: false })
        {
            return;
        }

        YamlMap? map = AsMap(path, given, $"a mapping of {KeysOf(node)}");
        if (map is not null || given is not null)
        {
            Written[path] = keyPlace;
        }

        foreach (YamlEntry entry in map?.Entries ?? [])
        {
            KeysChecked += entry.KeyPlace == Place.Default ? 0 : 1;
            if (node.Child(entry.Key) is null)
            {
                UnknownKey(path, entry.Key, entry.KeyPlace, node.Children.Select(c => c.Key));
            }
        }

        foreach (SchemaNode child in node.Children)
        {
            YamlEntry? entry = map?.Find(child.Key);
            Node(child, Schema.Join(path, child.Key), entry?.Value, entry?.KeyPlace ?? keyPlace);
        }
    }

    private void Scalar(ScalarNode node, string path, YamlNode? given, Place keyPlace)
    {
        if (given is null && node.Required)
        {
            diagnostics.Error(keyPlace, $"{path} is missing; allowed is {node.Type.Form}");
            Set(path, null, "null", keyPlace, valid: false);
            return;
        }

        YamlScalar byDefault = new(node.Default ?? "", quoted: false, Place.Default);
        YamlScalar scalar = given as YamlScalar ?? byDefault;
        bool valid = given is null or YamlScalar;
        if (!valid)
        {
            diagnostics.Error(given!.Place, $"{path} takes one value, not {KindOf(given)}; allowed is {node.Type.Form}");
        }

        if (scalar.IsNull)
        {
            if (node.Required || (node.Default is not null && !node.Nullable))
            {
                diagnostics.Error(scalar.Place, $"{path} has no value; allowed is {node.Type.Form}");
                valid = false;
            }

            Set(path, null, "null", scalar.Place, valid);
            return;
        }

        Parsed parsed = node.Type.Parse(scalar);
        if (parsed.Error is not null)
        {
            diagnostics.Error(scalar.Place, $"{path}: {parsed.Error}");
            object? fallback = byDefault.IsNull ? null : node.Type.Parse(byDefault).Value;
            Set(path, fallback, byDefault.Text, scalar.Place, valid: false);
            return;
        }

        (object? value, string text) = Effective(node.Type, parsed.Value, scalar);
        if (node.NotBuilt is not null && given is YamlScalar && value is not false
            && (byDefault.IsNull || !Equals(value, node.Type.Parse(byDefault).Value)))
        {
            diagnostics.Error(
                scalar.Place,
                $"{path}: {node.NotBuilt} is not built yet; leave it out or write {NotBuiltDefault(node)}");
            valid = false;
        }

        Set(path, value, text, scalar.Place, valid);
    }

    private void List(ListNode node, string path, YamlNode? given)
    {
        bool valid = true;
        List<object> values = [];
        List<string> texts = [];
        if (given is YamlScalar { IsNull: false } or YamlMap)
        {
            string example = given is YamlScalar scalar ? $"; for one write [{scalar.Text}]" : "";
            diagnostics.Error(given.Place, $"{path} takes a list of {node.Item.Form}, not {KindOf(given)}{example}");
            valid = false;
        }

        YamlList? list = given as YamlList;
        foreach (YamlNode item in list?.Items ?? [.. node.Default.Select(d => new YamlScalar(d, quoted: true, Place.Default))])
        {
            Parsed parsed = item is YamlScalar { IsNull: false } s
                ? node.Item.Parse(s)
                : Parsed.Bad($"{KindOf(item)} is not {node.Item.Form}");
            if (parsed.Error is null)
            {
                (object? value, string text) = Effective(node.Item, parsed.Value, (YamlScalar)item);
                if (!values.Contains(value!))
                {
                    values.Add(value!);
                    texts.Add(text);
                    continue;
                }

                parsed = Parsed.Bad($"'{text}' is in the list twice");
            }

            diagnostics.Error(item.Place, $"{path}: {parsed.Error}");
            valid = false;
        }

        if (list is { Items.Count: 0 } && node.NotEmpty)
        {
            diagnostics.Error(list.Place, $"{path} is empty; it needs at least one: {node.Item.Form}");
            valid = false;
        }

        if (valid && node.NotBuilt is not null && list is { Items.Count: > 0 })
        {
            diagnostics.Error(list.Place, $"{path}: {node.NotBuilt} is not built yet; leave it out or write []");
            valid = false;
        }

        Set(path, values, $"[{string.Join(", ", texts)}]", list?.Place ?? Place.Default, valid);
    }

    private void ReadEntries(EntriesNode node, string path, YamlNode? given, Place keyPlace)
    {
        YamlMap? written = AsMap(path, given, $"a mapping; {node.Doc}");
        YamlMap map = written ?? node.DefaultTree();
        if (written is not null)
        {
            Written[path] = keyPlace;
        }

        List<(string, Place)> names = Entries[path] = [];
        Dictionary<string, Place> seen = new(node.FoldCase ? StringComparer.OrdinalIgnoreCase : StringComparer.Ordinal);
        foreach (YamlEntry entry in map.Entries)
        {
            KeysChecked += entry.KeyPlace == Place.Default ? 0 : 1;
            if (node.NameCheck(entry.Key) is { } error)
            {
                diagnostics.Error(entry.KeyPlace, $"{path}: {error}");
            }
            else if (!seen.TryAdd(entry.Key, entry.KeyPlace))
            {
                diagnostics.Error(
                    entry.KeyPlace,
                    $"{path}: duplicate name '{entry.Key}' (compared without case); it is already at {seen[entry.Key]}");
                continue;
            }

            string name = node.FoldCase ? entry.Key.ToLowerInvariant() : entry.Key;
            names.Add((name, entry.KeyPlace));
            Node(node.Entry, Schema.Join(path, name), entry.Value, entry.KeyPlace);
        }

        if (node.NotBuilt is not null && written is { Entries.Count: > 0 } && !SameAsDefault(node, written))
        {
            diagnostics.Error(keyPlace, $"{path}: {node.NotBuilt} is not built yet; leave it out");
        }
    }

    private static bool SameAsDefault(EntriesNode node, YamlMap written) =>
        node.DefaultTree().Entries is { Count: > 0 } defaults
        && defaults.Count == written.Entries.Count
        && defaults.TrueForAll(d => written.Entries.Exists(w =>
            w.Key.Equals(d.Key, StringComparison.OrdinalIgnoreCase)
            && w.Value is YamlScalar { Text: var text }
            && text == ((YamlScalar)d.Value).Text));

    private void Settings(SettingsNode node, string path, YamlNode? given, Place keyPlace)
    {
        YamlMap? map = AsMap(path, given, "a mapping of settings");
        foreach (SchemaNode known in node.Known)
        {
            YamlEntry? entry = map?.Find(known.Key);
            if (entry is null && known is ListNode { NotEmpty: true } list)
            {
                diagnostics.Error(keyPlace, $"{Schema.Join(path, known.Key)} is missing; allowed is a list of {list.Item.Form}");
                continue;
            }

            Node(known, Schema.Join(path, known.Key), entry?.Value, entry?.KeyPlace ?? keyPlace);
        }

        ServiceSettingsReader reader = new(diagnostics, path, node.Known.Select(k => k.Key));
        EquatableArray<Planning.SettingEntry> settings = map is null ? [] : reader.Read(map);
        KeysChecked += reader.KeysChecked;
        foreach ((string key, YamlScalar scalar) in reader.Scalars)
        {
            Set(Schema.Join(path, key), scalar.Text, scalar.Text, scalar.Place);
        }

        if (path.StartsWith("services.", StringComparison.Ordinal))
        {
            Services.Add(new ReadService(path["services.".Length..], keyPlace, settings));
        }
    }

    private YamlMap? AsMap(string path, YamlNode? given, string form)
    {
        if (given is not (null or YamlMap or YamlScalar { IsNull: true }))
        {
            diagnostics.Error(given.Place, $"{path} takes {form}, not {KindOf(given)}");
        }

        return given as YamlMap;
    }

    private void UnknownKey(string path, string key, Place place, IEnumerable<string> siblings)
    {
        string where = path.Length == 0 ? "" : $" in '{path}'";
        string nearest = EditDistance.Closest(key, siblings)!;
        int near = Math.Max(1, key.Length / 3);
        if (EditDistance.Between(key, nearest, near) > near)
        {
            // A key that is right but indented wrongly is found elsewhere; that helps more than the nearest of its neighbors.
            nearest = Schema.KeyPaths.FirstOrDefault(p => p == key || p.EndsWith("." + key, StringComparison.Ordinal)) ?? nearest;
        }

        string shown = ScalarTypes.Show(new YamlScalar(key, quoted: true, place));
        diagnostics.Error(place, $"unknown key {shown}{where}; the nearest valid key is '{nearest}'");
    }

    // Relative paths of the file start at its folder, so that a configuration can be moved or mounted as a whole; those of
    // variables and switches start where the operator typed them.
    private (object? Value, string Text) Effective(ScalarType type, object? value, YamlScalar scalar)
    {
        if (!type.IsPath || value is not string path || path == "-")
        {
            return (value, value switch
            {
                System.Net.IPEndPoint endPoint => AddressForms.Listen(endPoint),
                string text => text,
                _ => scalar.Text,
            });
        }

        string absolute = scalar.Place.InFile ? Path.GetFullPath(path, folder) : Path.GetFullPath(path);
        return (absolute, absolute);
    }

    private void Set(string path, object? typed, string text, Place place, bool valid = true)
    {
        if (_values.TryAdd(path, new ReadValue(typed, text, place, valid)))
        {
            _order.Add(path);
        }
    }

    private static string NotBuiltDefault(ScalarNode node) => (node.Default, node.Nullable) switch
    {
        (null, _) => "null",
        (_, true) => $"null or {node.Default}",
        _ => $"its default, {node.Default}",
    };

    private static string KeysOf(SectionNode node) => string.Join(", ", node.Children.Select(c => c.Key));

    private static string KindOf(YamlNode node) => node switch
    {
        YamlMap => "a mapping",
        YamlList => "a list",
        YamlScalar { IsNull: true } => "null",
        YamlScalar scalar => ScalarTypes.Show(scalar),
        _ => "that",
    };
}
