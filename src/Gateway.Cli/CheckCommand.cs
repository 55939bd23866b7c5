using System.CommandLine;
using Gateway.Configuration;

namespace Gateway.Cli;

/// <summary><c>gateway check</c>: validates everything without binding anything.</summary>
internal static class CheckCommand
{
    /// <summary>Creates the command.</summary>
    public static Command Create()
    {
        Option<string?> config = SharedOptions.Config();
        Option<string?> catalog = new("--catalog")
        {
            Description = "Also plan this catalog dump (see 'gateway services --dump') and report every bad tag in it",
            HelpName = "FILE",
        };
        Command command = new("check", "Validate the configuration, and a dumped catalog, without binding anything") { config, catalog };
        command.SetAction(parsed =>
        {
            CheckReport report = GatewayCheck.Run(parsed.GetValue(config), parsed.GetValue(catalog));
            foreach (string line in report.Lines)
            {
                Console.Out.WriteLine(line);
            }

            return report.ExitCode;
        });
        return command;
    }
}
