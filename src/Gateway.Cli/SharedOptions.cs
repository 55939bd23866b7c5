using System.CommandLine;

namespace Gateway.Cli;

/// <summary>Options that several commands take, each with the same words.</summary>
internal static class SharedOptions
{
    /// <summary><c>--config FILE</c>.</summary>
    public static Option<string?> Config() => new("--config")
    {
        Description = "Configuration file (default: /etc/gateway/gateway.yaml if it exists, else the defaults)",
        HelpName = "FILE",
    };

    /// <summary><c>--state DIR</c>.</summary>
    public static Option<string?> State(string otherwise = "stateDirectory of the configuration") => new("--state")
    {
        Description = $"State directory (default: {otherwise})",
        HelpName = "DIR",
    };

    /// <summary><c>--state DIR</c> of a command that asks a running gateway.</summary>
    public static Option<string?> RunningState() => State("that of --config, else GATEWAY__STATEDIRECTORY, /var/lib/gateway, that of 'gateway dev'");

    /// <summary><c>--config FILE</c> of a command that asks a running gateway.</summary>
    public static Option<string?> RunningConfig() => new("--config") { Description = "Configuration file of the running gateway", HelpName = "FILE" };

    /// <summary><c>--json</c>.</summary>
    public static Option<bool> Json() => new("--json") { Description = "Print JSON for machines" };
}
