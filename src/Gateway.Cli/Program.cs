using System.CommandLine;
using Gateway.Cli;

// Arguments, signals and exit codes; everything else is the library's public API, of which this program is the first user.

// First of all, because starting takes a while and a signal may be quicker.
using Signals? signals = args is ["run" or "dev", ..] ? new Signals() : null;

string[] notBuilt = ["plan", "events", "sessions", "top", "explain", "drain", "ready", "maint", "upgrade", "import"];
if (args.Length > 0 && notBuilt.Contains(args[0]))
{
    await Console.Error.WriteLineAsync($"gateway: '{args[0]}' is not built yet; 'gateway --help' lists what is");
    return ExitCode.BadInput;
}

RootCommand root = new("A layer-4/7 load balancer that follows the Consul catalog: every service gets its well-known port on this host.")
{
    RunCommand.Create(() => signals!),
    DevCommand.Create(() => signals!),
    CheckCommand.Create(),
};
foreach (Command command in ClientCommands.Create())
{
    root.Add(command);
}

if (args.Length == 0)
{
    await Console.Error.WriteLineAsync("gateway: name a command");
    await root.Parse(["--help"]).InvokeAsync(new InvocationConfiguration { Output = Console.Error });
    return ExitCode.BadInput;
}

ParseResult parsed = root.Parse(args);
if (parsed.Errors.Count > 0)
{
    // A word that is no command is reported twice: as a missing command, and by name. The second is enough.
    foreach (string error in parsed.Errors.Select(e => e.Message).Skip(parsed.Errors.Count > 1 && ReferenceEquals(parsed.CommandResult.Command, root) ? 1 : 0))
    {
        await Console.Error.WriteLineAsync($"gateway: {error}");
    }

    await Console.Error.WriteLineAsync("gateway: see 'gateway --help'");
    return ExitCode.BadInput;
}

return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
