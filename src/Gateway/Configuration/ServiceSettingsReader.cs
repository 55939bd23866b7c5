using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.Configuration;

/// <summary>
/// Reads one entry of <c>services</c>: nested mappings become dotted keys, lists become values with <c>;</c>, as in tags. What
/// keys and values mean is <see cref="SettingGrammar"/>'s business, the same for tags, Meta and files.
/// </summary>
internal sealed class ServiceSettingsReader(
    DiagnosticList diagnostics, string path, IEnumerable<string> handledElsewhere, Func<string, string, string?> check)
{
    private readonly string[] _handledElsewhere = [.. handledElsewhere];
    private readonly List<SettingEntry> _entries = [];

    /// <summary>Keys that were compared with the grammar.</summary>
    public int KeysChecked { get; private set; }

    /// <summary>Every accepted value with its flattened key.</summary>
    public List<(string Key, YamlScalar Scalar)> Scalars { get; } = [];

    /// <summary>Reads the mapping of one service.</summary>
    public EquatableArray<SettingEntry> Read(YamlMap map)
    {
        Map(map, "");
        return [.. _entries];
    }

    private void Map(YamlMap map, string prefix)
    {
        foreach (YamlEntry entry in map.Entries)
        {
            if (prefix.Length == 0 && _handledElsewhere.Contains(entry.Key, StringComparer.Ordinal))
            {
                continue;
            }

            KeysChecked++;
            string key = Schema.Join(prefix, entry.Key);
            if (!IsKnown(key))
            {
                string where = prefix.Length == 0 ? path : Schema.Join(path, prefix);
                string shown = ScalarTypes.Show(new YamlScalar(entry.Key, quoted: true, entry.KeyPlace));
                diagnostics.Error(
                    entry.KeyPlace,
                    $"unknown key {shown} in '{where}'; the nearest valid key is '{Nearest(prefix, entry.Key)}'");
                continue;
            }

            Value(key, entry.Value);
        }
    }

    private void Value(string key, YamlNode value)
    {
        switch (value)
        {
            case YamlScalar { IsNull: true }:
                // As if it were not written: tags and defaults stand.
                break;
            case YamlScalar scalar:
                Setting(key, scalar);
                break;
            case YamlMap map:
                Map(map, key);
                break;
            case YamlList list when list.Items.TrueForAll(IsPlain):
                string joined = string.Join(';', list.Items.Select(i => ((YamlScalar)i).Text));
                Setting(key, new YamlScalar(joined, quoted: true, list.Place));
                break;
            default:
                diagnostics.Error(value.Place, $"{Schema.Join(path, key)} takes a list of plain values without ';'");
                break;
        }
    }

    private void Setting(string key, YamlScalar scalar)
    {
        if (check(key, scalar.Text) is { } wrong)
        {
            diagnostics.Error(scalar.Place, $"{path}: {wrong}");
            return;
        }

        int same = Scalars.FindIndex(s => s.Key == key);
        if (same >= 0 && scalar.Place.InFile)
        {
            diagnostics.Error(scalar.Place, $"{path}: duplicate key '{key}'; it is already at {Scalars[same].Scalar.Place}");
            return;
        }

        if (same >= 0)
        {
            // A variable, which wins over the file.
            _entries.RemoveAt(same);
            Scalars.RemoveAt(same);
        }

        _entries.Add(new SettingEntry(key, scalar.Text, scalar.Place.ToString()));
        Scalars.Add((key, scalar));
    }

    private static bool IsPlain(YamlNode item) =>
        item is YamlScalar { IsNull: false } scalar && !scalar.Text.Contains(';', StringComparison.Ordinal);

    // Known is a key of the grammar, or the beginning of one (a mapping such as check or timeouts).
    private static bool IsKnown(string key) =>
        SettingGrammar.Keys.Count == 0
        || SettingGrammar.Keys.Any(k => k == key || k.StartsWith(key + ".", StringComparison.Ordinal));

    private static string? Nearest(string prefix, string key)
    {
        string begin = prefix.Length == 0 ? "" : prefix + ".";
        IEnumerable<string> siblings = SettingGrammar.Keys
            .Where(k => k.StartsWith(begin, StringComparison.Ordinal))
            .Select(k => k[begin.Length..].Split('.')[0])
            .Distinct(StringComparer.Ordinal);
        return !key.Contains('.') && EditDistance.Closest(key, siblings) is { } near ? begin + near : EditDistance.Closest(begin + key, SettingGrammar.Keys);
    }
}
