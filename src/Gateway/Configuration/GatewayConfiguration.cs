using System.Collections;

namespace Gateway.Configuration;

/// <summary>
/// The front of this room, for programs that run Gateway by a configuration file: a file, variables and switches in; options,
/// findings and origins out. Nothing is bound or written by any of these.
/// </summary>
public static class GatewayConfiguration
{
    /// <summary>Read when no file is named, if it exists.</summary>
    public const string DefaultPath = "/etc/gateway/gateway.yaml";

    /// <summary>The file that counts: the one named, else <see cref="DefaultPath"/> if it exists, else none (null).</summary>
    public static string? PathOf(string? named) => named ?? (File.Exists(DefaultPath) ? DefaultPath : null);

    /// <summary>Reads the file that counts, with the variables and switches over it.</summary>
    /// <param name="path">The file named by the operator, or null.</param>
    /// <param name="environment">Environment variables, see <see cref="ProcessEnvironment"/>.</param>
    /// <param name="commandLine">Values of switches, which win over all others.</param>
    public static ConfigurationResult Load(
        string? path,
        IReadOnlyDictionary<string, string> environment,
        IReadOnlyList<ConfigurationOverride>? commandLine = null) =>
        ConfigurationFile.Load(PathOf(path), environment, commandLine ?? []);

    /// <summary>The defaults of <c>gateway dev</c>: no file, and <c>CONSUL_*</c> variables do not count.</summary>
    public static ConfigurationResult LoadDev(
        IReadOnlyDictionary<string, string> environment,
        IReadOnlyList<ConfigurationOverride>? commandLine = null) =>
        ConfigurationFile.Load(
            null,
            environment.Where(v => !v.Key.StartsWith("CONSUL_", StringComparison.Ordinal)).ToDictionary(StringComparer.Ordinal),
            commandLine ?? []);

    /// <summary>Reads text instead of a file.</summary>
    /// <param name="text">The YAML.</param>
    /// <param name="name">Name of the file in messages.</param>
    /// <param name="environment">Environment variables, or null for none.</param>
    public static ConfigurationResult Parse(
        string text, string name = "gateway.yaml", IReadOnlyDictionary<string, string>? environment = null) =>
        ConfigurationFile.Parse(text, name, Directory.GetCurrentDirectory(), environment ?? new Dictionary<string, string>(StringComparer.Ordinal), []);

    /// <summary>This process's environment variables.</summary>
    public static IReadOnlyDictionary<string, string> ProcessEnvironment() =>
        Environment.GetEnvironmentVariables()
            .Cast<DictionaryEntry>()
            .ToDictionary(e => (string)e.Key, e => (string?)e.Value ?? "", StringComparer.Ordinal);
}
