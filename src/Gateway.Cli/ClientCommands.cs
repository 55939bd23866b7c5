using System.CommandLine;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Gateway.Admin;
using Gateway.Configuration;
using Spectre.Console;

namespace Gateway.Cli;

/// <summary>Commands that ask a running gateway over its unix socket.</summary>
internal static class ClientCommands
{
    private const string Api = "/api/v1/";

    /// <summary>All of them.</summary>
    public static IEnumerable<Command> Create()
    {
        yield return Table("status", "The process: state, sources, plan, connections", StatusAsync);
        yield return ServicesCommand();
        yield return Table("routes", "Which requests go where", RoutesAsync);
        yield return Table("listeners", "Open ports", ListenersAsync);
        yield return Table("problems", "What is wrong, since when, and what happens now", ProblemsAsync);
        yield return DoctorCommand.Create();
        yield return AcceptCommand();
        yield return Order("reload", "Re-read the configuration file and certificates; a bad file is refused whole");
        yield return Order("stop", "Drain and stop");
    }

    private static Option<string?> Running() => SharedOptions.RunningState();

    private static Option<string?> ItsConfig() => SharedOptions.RunningConfig();

    private static Command Table(string name, string description, Func<SocketClient, CancellationToken, Task> print)
    {
        Option<string?> state = Running(), config = ItsConfig();
        Option<bool> json = SharedOptions.Json();
        Command command = new(name, description) { state, config, json };
        command.SetAction((parsed, cancel) => AskAsync(parsed.GetValue(state), parsed.GetValue(config), async client =>
        {
            if (parsed.GetValue(json))
            {
                await Console.Out.WriteAsync(await client.GetAsync(Api + name, cancel));
                return ExitCode.Done;
            }

            await print(client, cancel);
            return ExitCode.Done;
        }));
        return command;
    }

    private static Command ServicesCommand()
    {
        Option<string?> state = Running(), config = ItsConfig();
        Option<bool> json = SharedOptions.Json(), dump = new("--dump") { Description = "Print the catalog as a file for catalog.files" };
        Argument<string?> name = new("NAME[@ENV]") { Description = "Only this service", Arity = ArgumentArity.ZeroOrOne };
        Command command = new("services", "Services, their instances, and why each is in or out") { name, state, config, json, dump };
        command.SetAction((parsed, cancel) => AskAsync(parsed.GetValue(state), parsed.GetValue(config), async client =>
        {
            if (parsed.GetValue(dump))
            {
                await Console.Out.WriteAsync(await client.GetAsync(Api + "catalog", cancel));
                return ExitCode.Done;
            }

            string? wanted = parsed.GetValue(name);
            string path = wanted is null ? "services" : "services/" + Uri.EscapeDataString(wanted);
            IReadOnlyList<ServiceView> services = await client.GetAsync(Api + path, AdminJson.Default.IReadOnlyListServiceView, cancel);
            if (wanted is not null && services.Count == 0)
            {
                await Console.Error.WriteLineAsync($"gateway: no service '{wanted}'");
                return ExitCode.Failed;
            }

            if (parsed.GetValue(json))
            {
                await Console.Out.WriteLineAsync(JsonSerializer.Serialize(services, AdminJson.Default.IReadOnlyListServiceView));
                return ExitCode.Done;
            }

            PrintServices(services);
            PrintSettings(services);
            return ExitCode.Done;
        }));
        return command;
    }

    private static Command Order(string name, string description)
    {
        Option<string?> state = Running(), config = ItsConfig();
        Command command = new(name, description) { state, config };
        command.SetAction((parsed, cancel) => AskAsync(
            parsed.GetValue(state), parsed.GetValue(config), client => PostAsync(client, Api + name, cancel)));
        return command;
    }

    private static Command AcceptCommand()
    {
        Option<string?> state = Running(), config = ItsConfig();
        Argument<string> target = new("SERVICE[@ENV][/INSTANCE]") { Description = "INSTANCE: service id, NODE/ID or ADDRESS:PORT" };
        Command command = new("accept", "Let removals that the guard holds go now") { target, state, config };
        command.SetAction((parsed, cancel) => AskAsync(parsed.GetValue(state), parsed.GetValue(config), client =>
            PostAsync(client, $"{Api}accept?target={Uri.EscapeDataString(parsed.GetValue(target)!)}", cancel)));
        return command;
    }

    private static async Task<int> PostAsync(SocketClient client, string path, CancellationToken cancel)
    {
        (HttpStatusCode status, string body) = await client.PostAsync(path, cancel);
        CommandResult result = JsonSerializer.Deserialize(body, AdminJson.Default.CommandResult) ?? new CommandResult(false, body);
        await (status == HttpStatusCode.OK ? Console.Out : Console.Error).WriteLineAsync(string.Join('\n', result.Message.Split('\n').Select(Printable.Of)));
        return status == HttpStatusCode.OK ? ExitCode.Done : ExitCode.Failed;
    }

    private static async Task<int> AskAsync(string? state, string? config, Func<SocketClient, Task<int>> ask)
    {
        using SocketClient? client = SocketClient.Find(state, config, out IReadOnlyList<Diagnostic> findings);
        if (client is null)
        {
            await Console.Error.WriteLineAsync(string.Join('\n', findings));
            return ExitCode.BadInput;
        }

        try
        {
            return await ask(client);
        }
        catch (Exception e) when (e is HttpRequestException or SocketException or IOException or TaskCanceledException or JsonException)
        {
            await Console.Error.WriteLineAsync(
                $"gateway: no gateway answers at {client.SocketPath}: {client.ReasonOf(e)}; name its state directory with --state DIR or --config FILE");
            return ExitCode.Failed;
        }
    }

    private static async Task StatusAsync(SocketClient client, CancellationToken cancel)
    {
        StatusView status = await client.GetAsync(Api + "status", AdminJson.Default.StatusView, cancel);
        Grid grid = new Grid().AddColumn().AddColumn();
        void Row(string name, string value) => grid.AddRow(name, Markup.Escape(Printable.Of(value)));
        Row("state", status.Degraded is null ? status.State : $"{status.State}, {status.Degraded}");
        Row("pid", status.Pid.ToString(CultureInfo.InvariantCulture));
        Row("generation", status.Generation.ToString(CultureInfo.InvariantCulture));
        Row("version", status.Version);
        Row("started", Local(status.StartedAt));
        Row("engine", status.Engine);
        Row("state directory", status.StateDirectory);
        Row("plan", $"{status.Services} services, {status.Listeners} listeners, {status.Usable} of {status.Destinations} destinations usable");
        Row("applied", status.AppliedAt is { } at ? $"{status.Applies} times, last {Local(at)}" : "not yet");
        Row("traffic", $"{status.HttpConnections} HTTP connections, {status.HttpRequests} requests under way, {status.TcpRelays} TCP relays; at most {status.MaxConnections} ({status.MaxConnectionsFrom})");
        foreach (SourceView source in status.Sources)
        {
            Row($"source {source.Name}", $"{source.Mode}, {(source.AgeSeconds is { } age ? $"confirmed {age} s ago" : "not yet reported")}"
                + (source.LastKnownGood is { } from ? $", last known good of {Local(from)} serves" : ""));
        }

        Row("problems", status.Problems.ToString(CultureInfo.InvariantCulture));
        Write(grid);
    }

    private static async Task RoutesAsync(SocketClient client, CancellationToken cancel)
    {
        Table table = new Table().Border(TableBorder.None).AddColumns("LISTENER", "HOST", "PATH", "SERVICE", "ENVIRONMENT", "LANE");
        foreach (RouteView route in await client.GetAsync(Api + "routes", AdminJson.Default.IReadOnlyListRouteView, cancel))
        {
            Add(table, route.Listener, route.Host, route.Path, route.Service, route.Environment, route.Lane);
        }

        Write(table);
    }

    private static async Task ListenersAsync(SocketClient client, CancellationToken cancel)
    {
        Table table = new Table().Border(TableBorder.None).AddColumns("LISTENER", "PROTOCOL", "SERVICE", "ENVIRONMENT", "STATE", "ADDRESSES", "CONNECTIONS");
        foreach (ListenerView view in await client.GetAsync(Api + "listeners", AdminJson.Default.IReadOnlyListListenerView, cancel))
        {
            Add(
                table, view.Listener, view.Protocol, view.Service, view.Environment, view.State, string.Join(' ', view.Addresses),
                view.Connections.ToString(CultureInfo.InvariantCulture));
        }

        Write(table);
    }

    private static async Task ProblemsAsync(SocketClient client, CancellationToken cancel)
    {
        IReadOnlyList<ProblemView> problems = await client.GetAsync(Api + "problems", AdminJson.Default.IReadOnlyListProblemView, cancel);
        if (problems.Count == 0)
        {
            await Console.Out.WriteLineAsync("no problems");
            return;
        }

        foreach (ProblemView problem in problems)
        {
            string where = string.Join(", ", new[]
            {
                problem.Service is null ? null : $"service '{problem.Service}'",
                problem.Instance is null ? null : $"instance '{problem.Instance}'",
                problem.Value is null ? problem.Place : $"{problem.Place} '{problem.Value}'",
            }.OfType<string>());
            await Console.Out.WriteLineAsync($"{problem.Code}  since {Local(problem.Since)}");
            await Console.Out.WriteLineAsync($"  where:   {Printable.Of(where)}");
            if (problem.Allowed is not null)
            {
                await Console.Out.WriteLineAsync($"  allowed: {Printable.Of(problem.Allowed)}");
            }

            await Console.Out.WriteLineAsync($"  now:     {Printable.Of(problem.Now)}");
        }
    }

    private static void PrintServices(IReadOnlyList<ServiceView> services)
    {
        Table table = new Table().Border(TableBorder.None)
            .AddColumns("SERVICE", "ENVIRONMENT", "LISTENERS", "BALANCE", "INSTANCE", "ADDRESS", "STATE", "CHECK", "IN FLIGHT", "REQUESTS");
        foreach (ServiceView service in services)
        {
            foreach (EnvironmentView cluster in service.Clusters)
            {
                string listeners = string.Join(' ', cluster.Listeners);
                if (cluster.Destinations.Count == 0)
                {
                    Add(table, service.Name, cluster.Environment, listeners, cluster.Balance, "-", "-", "no instance", "", "", "");
                }

                foreach (InstanceView d in cluster.Destinations)
                {
                    Add(
                        table, service.Name, cluster.Environment, listeners, cluster.Balance, d.Instance, d.Address, d.Reason, d.Check ?? "-",
                        d.InFlight.ToString(CultureInfo.InvariantCulture), d.Requests.ToString(CultureInfo.InvariantCulture));
                }
            }
        }

        Write(table);
    }

    private static void PrintSettings(IReadOnlyList<ServiceView> services)
    {
        foreach (EnvironmentView cluster in services.SelectMany(s => s.Clusters).Where(c => c.Settings is not null))
        {
            Console.Out.WriteLine();
            Table table = new Table().Border(TableBorder.None).AddColumns($"SETTINGS OF {Markup.Escape(cluster.Cluster)}", "VALUE", "FROM");
            foreach (SettingView setting in cluster.Settings!)
            {
                Add(table, setting.Key, setting.Value, setting.From);
            }

            Write(table);
        }
    }

    private static void Add(Table table, params string[] cells) => table.AddRow(cells.Select(c => new Text(Printable.Of(c))));

    /// <summary>Spectre folds to the terminal's width; a pipe has none and should get whole lines.</summary>
    private static void Write(Spectre.Console.Rendering.IRenderable what)
    {
        if (Console.IsOutputRedirected)
        {
            AnsiConsole.Profile.Width = 400;
        }

        AnsiConsole.Write(what);
        if (what is Grid)
        {
            Console.Out.WriteLine();
        }
    }

    private static string Local(DateTimeOffset time) => time.ToLocalTime().ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture);
}
