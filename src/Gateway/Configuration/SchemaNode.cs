namespace Gateway.Configuration;

/// <summary>
/// A key of the configuration. The tree of these is the one table behind reading, nearest names, variables, provenance and
/// the test of config/gateway.yaml.
/// </summary>
/// <param name="Key">The key as written.</param>
/// <param name="Doc">One line: what it does; the type adds unit and range, the default stands beside it.</param>
internal abstract record SchemaNode(string Key, string Doc)
{
    /// <summary>Name of the feature while it is not built: then only null, off or the default is accepted.</summary>
    public string? NotBuilt { get; init; }
}

/// <summary>A mapping with known keys.</summary>
internal sealed record SectionNode(string Key, string Doc, params SchemaNode[] Children) : SchemaNode(Key, Doc)
{
    /// <summary>Being there has a meaning of its own (a source that is named); null means it is not there.</summary>
    public bool Optional { get; init; }

    /// <summary>The word <c>off</c> is taken instead of the mapping.</summary>
    public bool OrOff { get; init; }

    /// <summary>The child of that key, or null.</summary>
    public SchemaNode? Child(string key, StringComparison comparison = StringComparison.Ordinal) =>
        Array.Find(Children, c => c.Key.Equals(key, comparison));
}

/// <summary>One value.</summary>
/// <param name="Default">As it would be written; null: the value is absent by default, and null may be written.</param>
internal sealed record ScalarNode(string Key, string Doc, ScalarType Type, string? Default) : SchemaNode(Key, Doc)
{
    /// <summary>Null is accepted although there is a default.</summary>
    public bool Nullable { get; init; }

    /// <summary>There is no default: the entry is not complete without this key.</summary>
    public bool Required { get; init; }
}

/// <summary>A list of values.</summary>
internal sealed record ListNode(string Key, string Doc, ScalarType Item, params string[] Default) : SchemaNode(Key, Doc)
{
    /// <summary>An empty list is refused.</summary>
    public bool NotEmpty { get; init; }
}

/// <summary>A mapping whose keys the operator chooses.</summary>
/// <param name="NameCheck">What is wrong with a name, or null.</param>
/// <param name="Entry">What every value must be.</param>
/// <param name="Default">The default as YAML, or null for none.</param>
internal sealed record EntriesNode(string Key, string Doc, Func<string, string?> NameCheck, SchemaNode Entry, string? Default)
    : SchemaNode(Key, Doc)
{
    /// <summary>Names are compared without case.</summary>
    public bool FoldCase { get; init; }

    /// <summary>Compared without case, but kept as written.</summary>
    public bool KeepCase { get; init; }

    /// <summary>The default as a tree; a new one each time, because variables are laid over it.</summary>
    public YamlMap DefaultTree()
    {
        DiagnosticList problems = new();
        YamlMap map = Default is null
            ? new YamlMap(Place.Default)
            : YamlTreeReader.Read(Default, Place.Default.Source, problems) ?? throw new InvalidOperationException(Default);
        return AsDefault(map);
    }

    // Line and column inside our own default would say nothing to anybody.
    private static YamlMap AsDefault(YamlMap map)
    {
        YamlMap copy = new(Place.Default);
        foreach (YamlEntry entry in map.Entries)
        {
            copy.Entries.Add(new YamlEntry(entry.Key, Place.Default, entry.Value switch
            {
                YamlMap inner => AsDefault(inner),
                YamlScalar scalar => new YamlScalar(scalar.Text, scalar.Quoted, Place.Default),
                _ => throw new InvalidOperationException("a default of entries holds no list"),
            }));
        }

        return copy;
    }
}

/// <summary>Hand tuning of one service: keys of <see cref="Planning.SettingGrammar"/>, nested or dotted, and others.</summary>
internal sealed record SettingsNode(string Key, string Doc, params SchemaNode[] Known) : SchemaNode(Key, Doc);
