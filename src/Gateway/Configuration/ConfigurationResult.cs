namespace Gateway.Configuration;

/// <summary>A value in force and where it came from.</summary>
/// <param name="Key">Dotted path, for example <c>drain.grace</c>.</param>
/// <param name="Value">As an operator would write it.</param>
/// <param name="Source"><c>default</c>, <c>file:line:column</c>, the name of a variable or of a switch.</param>
public sealed record EffectiveValue(string Key, string Value, string Source);

/// <summary>What reading a configuration gave.</summary>
public sealed record ConfigurationResult
{
    /// <summary>The options; null when there is an error.</summary>
    public GatewayOptions? Options { get; init; }

    /// <summary>Every finding, in reading order.</summary>
    public IReadOnlyList<Diagnostic> Diagnostics { get; init; } = [];

    /// <summary>Every value in force with its origin, in the order of the schema. Empty when there is no tree to read.</summary>
    public IReadOnlyList<EffectiveValue> Values { get; init; } = [];

    /// <summary>The file that was read, or null when there was none.</summary>
    public string? File { get; init; }

    /// <summary>The file could not be read at all.</summary>
    public bool Unreadable { get; init; }

    /// <summary>Keys of the file and of variables that were compared with the schema.</summary>
    public int KeysChecked { get; init; }
}
