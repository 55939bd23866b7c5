using System.CommandLine;
using Gateway.Cli;

// Arguments, signals and exit codes; everything else is the library's public API, of which this program is the first user.

string[] notBuilt = ["plan", "events", "sessions", "top", "doctor", "explain", "drain", "ready", "maint", "accept", "upgrade", "import"];
if (args.Length > 0 && notBuilt.Contains(args[0]))
{
    await Console.Error.WriteLineAsync($"gateway: '{args[0]}' is not built yet; 'gateway --help' lists what is");
    return ExitCode.BadInput;
}

RootCommand root = new("A layer-4/7 load balancer that follows the Consul catalog: every service gets its well-known port on this host.")
{
    RunCommand.Create(),
    DevCommand.Create(),
    CheckCommand.Create(),
};
foreach (Command command in ClientCommands.Create())
{
    root.Add(command);
}

ParseResult parsed = root.Parse(args);
if (parsed.Errors.Count > 0)
{
    foreach (System.CommandLine.Parsing.ParseError error in parsed.Errors)
    {
        await Console.Error.WriteLineAsync($"gateway: {error.Message}");
    }

    await Console.Error.WriteLineAsync("gateway: see 'gateway --help'");
    return ExitCode.BadInput;
}

return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
