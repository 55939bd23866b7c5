namespace Gateway.Observability;

/// <summary>What is logged: <c>log</c>.</summary>
public sealed record LogOptions
{
    /// <summary>File of the access log, <c>-</c> for standard output, or null for none. Default <c>-</c>.</summary>
    public string? AccessFile { get; init; } = "-";

    /// <summary>Format of the access log: <c>json</c>.</summary>
    public string AccessFormat { get; init; } = "json";
}
