using Gateway.Catalog;

namespace Gateway.Discovery.FileCatalogs;

/// <summary>Catalogs in files: <c>catalog.files</c>.</summary>
public sealed record FileCatalogOptions
{
    /// <summary>
    /// Paths or globs (<c>*</c> and <c>?</c> in the last segment), absolute or made so from the configuration file's folder.
    /// </summary>
    public EquatableArray<string> Paths { get; init; }
}
