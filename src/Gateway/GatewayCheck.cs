using Gateway.Configuration;

namespace Gateway;

/// <summary>What <c>gateway check</c> does: validates a configuration, and with it a dumped catalog, without binding anything.</summary>
public static class GatewayCheck
{
    /// <summary>Checks.</summary>
    /// <param name="configPath">File named by the operator; null: <c>/etc/gateway/gateway.yaml</c> if it exists, else the defaults.</param>
    /// <param name="catalogPath">A dumped catalog, or null.</param>
    /// <returns>Exit code (0 clean, 1 errors, 2 unreadable) and lines for standard output.</returns>
    public static CheckReport Run(string? configPath, string? catalogPath) =>
        ConfigurationCheck.Run(configPath, catalogPath, GatewayConfiguration.ProcessEnvironment(), ReadDump);

    private static CatalogDump ReadDump(string path) => new();
}
