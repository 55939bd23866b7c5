using Gateway.Configuration;

namespace Gateway.Tests.Configuration;

/// <summary>Short forms for reading configurations in tests.</summary>
internal static class ConfigurationTesting
{
    public static Dictionary<string, string> Variables(params string[] pairs) =>
        pairs.Select(p => p.Split('=', 2)).ToDictionary(p => p[0], p => p[1], StringComparer.Ordinal);

    public static ConfigurationResult Read(string yaml, params string[] variables) =>
        ConfigurationFile.Parse(yaml, "g.yaml", "/etc/gateway", Variables(variables), []);

    public static string[] Findings(string yaml, params string[] variables) =>
        [.. Read(yaml, variables).Diagnostics.Select(d => d.ToString())];

    public static GatewayOptions Options(string yaml, params string[] variables)
    {
        ConfigurationResult result = Read(yaml, variables);
        Assert.Empty(result.Diagnostics);
        return Assert.IsType<GatewayOptions>(result.Options);
    }

    public static string Source(this ConfigurationResult result, string key) =>
        Assert.Single(result.Values, v => v.Key == key).Source;

    public static string Value(this ConfigurationResult result, string key) =>
        Assert.Single(result.Values, v => v.Key == key).Value;
}
