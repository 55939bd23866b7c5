using System.CommandLine;

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
            (int exit, IReadOnlyList<string> lines) = GatewayConfiguration.Check(parsed.GetValue(config), parsed.GetValue(catalog));
            foreach (string line in lines)
            {
                Console.Out.WriteLine(line);
            }

            return exit;
        });
        return command;
    }
}
