namespace Gateway.Configuration;

/// <summary>Where a value was written: a file with line and column, a variable, a command-line switch, or the built-in default.</summary>
/// <param name="Source">File as the operator named it, <c>GATEWAY__…</c>, <c>--state</c>, or <c>default</c>.</param>
/// <param name="Line">From 1; 0 where lines mean nothing.</param>
/// <param name="Column">From 1; 0 where columns mean nothing.</param>
internal readonly record struct Place(string Source, int Line = 0, int Column = 0)
{
    /// <summary>Nobody wrote it.</summary>
    public static readonly Place Default = new("default");

    /// <summary>Whether a file holds it; its relative paths start at the file's folder, all others at the working directory.</summary>
    public bool InFile => Line > 0;

    /// <inheritdoc/>
    public override string ToString() => Line > 0 ? $"{Source}:{Line}:{Column}" : Source;
}
