namespace Gateway.Configuration;

/// <summary>How bad a <see cref="Diagnostic"/> is.</summary>
public enum DiagnosticSeverity
{
    /// <summary>The configuration is refused.</summary>
    Error,

    /// <summary>Worth a look; the configuration is accepted.</summary>
    Warning,
}

/// <summary>One finding about a configuration.</summary>
/// <param name="Place"><c>file:line:column</c>, or the name of the variable or switch.</param>
/// <param name="Severity">Error or warning.</param>
/// <param name="Message">Key, value, what is allowed.</param>
public sealed record Diagnostic(string Place, DiagnosticSeverity Severity, string Message)
{
    /// <summary><c>file:line:column: error: message</c>, the form editors and CI systems recognize.</summary>
    public override string ToString() => $"{Place}: {(Severity == DiagnosticSeverity.Error ? "error" : "warning")}: {Message}";
}

/// <summary>Collects findings, so that an operator sees all mistakes at once instead of one per attempt.</summary>
internal sealed class DiagnosticList
{
    private readonly List<(Place Place, Diagnostic Diagnostic)> _items = [];

    /// <summary>Whether the configuration is refused.</summary>
    public bool HasErrors { get; private set; }

    /// <summary>Adds an error.</summary>
    public void Error(Place place, string message)
    {
        HasErrors = true;
        _items.Add((place, new Diagnostic(place.ToString(), DiagnosticSeverity.Error, message)));
    }

    /// <summary>Adds a warning.</summary>
    public void Warning(Place place, string message) =>
        _items.Add((place, new Diagnostic(place.ToString(), DiagnosticSeverity.Warning, message)));

    /// <summary>Findings in reading order: the file from top to bottom, then variables and switches by name.</summary>
    public IReadOnlyList<Diagnostic> InOrder() =>
    [
        .. _items
            .OrderBy(i => !i.Place.InFile)
            .ThenBy(i => i.Place.Source, StringComparer.Ordinal)
            .ThenBy(i => i.Place.Line)
            .ThenBy(i => i.Place.Column)
            .Select(i => i.Diagnostic),
    ];
}
