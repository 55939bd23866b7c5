namespace Gateway.Configuration;

// What a YAML document holds, with the place of everything. Mutable on purpose: variables and switches are laid over the
// file's tree as if they had been written there, so that one reader checks them all.

/// <summary>A value in a YAML document.</summary>
internal abstract class YamlNode(Place place)
{
    /// <summary>Where it begins.</summary>
    public Place Place { get; } = place;
}

/// <summary>Text, not yet typed.</summary>
internal sealed class YamlScalar(string text, bool quoted, Place place) : YamlNode(place)
{
    /// <summary>The text without quotes.</summary>
    public string Text { get; } = text;

    /// <summary>Whether it stood in quotes or as a block, which makes it text whatever it looks like.</summary>
    public bool Quoted { get; } = quoted;

    /// <summary>Nothing was written after the colon.</summary>
    public bool IsEmpty => !Quoted && Text.Length == 0;

    /// <summary>Empty, <c>null</c> or <c>~</c>.</summary>
    public bool IsNull => !Quoted && Text is "" or "null" or "~";
}

/// <summary>A list.</summary>
internal sealed class YamlList(Place place) : YamlNode(place)
{
    /// <summary>Items in order.</summary>
    public List<YamlNode> Items { get; } = [];
}

/// <summary>A key with its value.</summary>
internal sealed class YamlEntry(string key, Place keyPlace, YamlNode value)
{
    /// <summary>The key as written.</summary>
    public string Key { get; } = key;

    /// <summary>Where the key stands.</summary>
    public Place KeyPlace { get; } = keyPlace;

    /// <summary>The value.</summary>
    public YamlNode Value { get; set; } = value;
}

/// <summary>A mapping; keys are unique.</summary>
internal sealed class YamlMap(Place place) : YamlNode(place)
{
    /// <summary>Entries in order.</summary>
    public List<YamlEntry> Entries { get; } = [];

    /// <summary>The entry of that exact key, or null.</summary>
    public YamlEntry? Find(string key) => Entries.Find(e => e.Key == key);
}
