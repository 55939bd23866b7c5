using System.Text.Json;

namespace Gateway.BlackBoxTests.Harness;

/// <summary>The built program with a configuration, a state directory and an admin address of its own.</summary>
internal sealed class GatewayProcess : IDisposable
{
    private readonly string[] wrapper;
    private readonly IReadOnlyDictionary<string, string?>? environment;
    private ChildProcess process;

    private GatewayProcess(string folder, int adminPort, IReadOnlyDictionary<string, string?>? environment, string[] wrapper)
    {
        Folder = folder;
        AdminPort = adminPort;
        this.environment = environment;
        this.wrapper = wrapper;
        process = Launch();
    }

    /// <summary>Holds <c>gateway.yaml</c> and <c>state/</c>.</summary>
    public string Folder { get; }

    public string ConfigFile => Path.Combine(Folder, "gateway.yaml");

    public string StateDirectory => Path.Combine(Folder, "state");

    public int AdminPort { get; }

    public int Pid => process.Pid;

    public ChildProcess Process => process;

    public string Output => process.Output;

    /// <summary>
    /// Starts <c>gateway run</c>. <paramref name="configuration"/> is YAML in which <c>$ADMIN</c> stands for the admin port and
    /// <c>$STATE</c> for the state directory; what every test needs (admin, stateDirectory, no access log) is added where absent.
    /// </summary>
    public static GatewayProcess Start(
        string configuration, IReadOnlyDictionary<string, string?>? environment = null, params (string Name, string Text)[] files) =>
        Start(configuration, environment, [], files);

    /// <summary>Starts it and waits until it is ready.</summary>
    public static Task<GatewayProcess> StartReady(
        string configuration, IReadOnlyDictionary<string, string?>? environment = null, params (string Name, string Text)[] files) =>
        StartReady(configuration, environment, [], files);

    /// <summary>As the other, under a program that runs it in its own place (<c>setpriv ARGUMENTS gateway …</c>).</summary>
    public static async Task<GatewayProcess> StartReady(
        string configuration, IReadOnlyDictionary<string, string?>? environment, string[] wrapper, params (string Name, string Text)[] files)
    {
        GatewayProcess gateway = Start(configuration, environment, wrapper, files);
        try
        {
            await gateway.Ready();
            return gateway;
        }
        catch
        {
            gateway.Dispose();
            throw;
        }
    }

    private static GatewayProcess Start(
        string configuration, IReadOnlyDictionary<string, string?>? environment, string[] wrapper, (string Name, string Text)[] files)
    {
        // Short: the path of a unix socket has 90 bytes at most.
        string folder = Directory.CreateTempSubdirectory("gwt-").FullName;
        int adminPort = Ports.Any();
        File.WriteAllText(Path.Combine(folder, "gateway.yaml"), Complete(configuration, folder, adminPort));
        foreach ((string name, string text) in files)
        {
            File.WriteAllText(Path.Combine(folder, name), text);
        }

        return new GatewayProcess(folder, adminPort, environment, wrapper);
    }

    /// <summary>Any command that runs to its end: <c>gateway ARGUMENTS</c>.</summary>
    public static Task<CommandResult> Run(
        IEnumerable<string> arguments, IReadOnlyDictionary<string, string?>? environment = null, double seconds = 30, string? folder = null) =>
        ChildProcess.Run(Repository.GatewayBinary, arguments, WithDotnet(environment), seconds, folder);

    /// <summary>A long-running command, for those who test its start themselves.</summary>
    public static ChildProcess Begin(IEnumerable<string> arguments, IReadOnlyDictionary<string, string?>? environment = null) =>
        ChildProcess.Start(Repository.GatewayBinary, arguments, WithDotnet(environment));

    /// <summary>A command about this process: <c>gateway ARGUMENTS --state DIR</c>.</summary>
    public Task<CommandResult> Command(params string[] arguments) => Run([.. arguments, "--state", StateDirectory]);

    /// <summary>The JSON of <c>gateway ARGUMENTS --json</c>.</summary>
    public async Task<JsonElement> CommandJson(params string[] arguments)
    {
        CommandResult result = await Command([.. arguments, "--json"]);
        Assert.True(result.Exit == 0, $"gateway {string.Join(' ', arguments)} --json: exit {result.Exit}\n{result.All}");
        return JsonDocument.Parse(result.Out).RootElement;
    }

    /// <summary>The problems of now, over the admin address.</summary>
    public async Task<JsonElement[]> Problems()
    {
        WireAnswer answer = await Wire.Get(AdminPort, "/api/v1/problems");
        Assert.Equal(200, answer.Status);
        return [.. answer.Json.RootElement.EnumerateArray()];
    }

    /// <summary>Waits for a problem of which the JSON contains every one of <paramref name="parts"/>.</summary>
    public Task<JsonElement> Problem(params string[] parts) => ProblemWithin(20, parts);

    /// <summary>As <see cref="Problem"/>, with its own deadline.</summary>
    public async Task<JsonElement> ProblemWithin(double seconds, params string[] parts)
    {
        JsonElement found = default;
        string last = "";
        await Eventually.True(
            async () =>
            {
                JsonElement[] problems = await Problems();
                last = string.Join('\n', problems.Select(static problem => Plain(problem)));
                found = Array.Find(problems, problem => Array.TrueForAll(parts, part => Plain(problem).Contains(part, StringComparison.Ordinal)));
                return found.ValueKind == JsonValueKind.Object;
            },
            $"a problem that says {string.Join(", ", parts.Select(static part => $"'{part}'"))}",
            seconds,
            now: () => last);
        return found;
    }

    /// <summary>Polls <c>/readyz</c> until it says 200.</summary>
    public Task Ready(double seconds = 30) => Eventually.True(
        async () => process.HasExited
            ? throw new HopelessException($"gateway has exited:\n{process.Tail(60)}")
            : (await Wire.Get(AdminPort, "/readyz")).Status == 200,
        "gateway is ready",
        seconds,
        now: () => process.Tail(60));

    /// <summary>The state of <c>/readyz</c>: status and first line.</summary>
    public async Task<(int Status, string Text)> Readiness()
    {
        WireAnswer answer = await Wire.Get(AdminPort, "/readyz");
        return (answer.Status, answer.Text.Trim());
    }

    public async Task<string> Metrics()
    {
        WireAnswer answer = await Wire.Get(AdminPort, "/metrics");
        Assert.Equal(200, answer.Status);
        return answer.Text;
    }

    /// <summary>The sum of a metric's samples over all labels; fails where there is none, so that a renamed metric never reads as 0.</summary>
    public async Task<double> Metric(string name)
    {
        string[] samples = [.. (await Metrics()).Split('\n').Where(
            line => line.StartsWith(name + " ", StringComparison.Ordinal) || line.StartsWith(name + "{", StringComparison.Ordinal))];
        Assert.True(samples.Length > 0, $"/metrics has no {name}");
        return samples.Sum(
            static line => double.Parse(line[(line.LastIndexOf(' ') + 1)..], System.Globalization.CultureInfo.InvariantCulture));
    }

    /// <summary>Replaces the configuration file, by rename as an editor does.</summary>
    public void Configure(string configuration)
    {
        string next = ConfigFile + ".new";
        File.WriteAllText(next, Complete(configuration, Folder, AdminPort));
        File.Move(next, ConfigFile, overwrite: true);
    }

    public void Send(int signal) => Assert.True(process.Send(signal), $"gateway (pid {Pid}) is gone:\n{process.Tail(40)}");

    public Task<int> WaitForExit(double seconds) => process.WaitForExit(seconds);

    /// <summary>SIGKILL, then the same again on the same state.</summary>
    public void KillAndStart()
    {
        process.Dispose();
        process = Launch();
    }

    public void Dispose()
    {
        process.Dispose();
        Directory.Delete(Folder, recursive: true);
    }

    /// <summary>A problem's JSON with its escapes resolved, so that tests may look for what an operator reads.</summary>
    public static string Plain(JsonElement problem) => string.Join(
        "; ", problem.EnumerateObject().Where(static field => field.Value.ValueKind != JsonValueKind.Null)
            .Select(static field => $"{field.Name}: {field.Value}"));

    private static Dictionary<string, string?> WithDotnet(IReadOnlyDictionary<string, string?>? environment)
    {
        Dictionary<string, string?> all = new(environment ?? new Dictionary<string, string?>());
        all.TryAdd("DOTNET_ROOT", Repository.DotnetRoot);
        return all;
    }

    private static string Complete(string configuration, string folder, int adminPort)
    {
        string text = configuration;
        foreach ((string key, string line) in (ReadOnlySpan<(string, string)>)
        [
            ("admin:", "admin: { listen: \"127.0.0.1:$ADMIN\" }"),
            ("stateDirectory:", "stateDirectory: $STATE"),
            ("log:", "log: { access: off }"),
        ])
        {
            if (!text.Split('\n').Any(existing => existing.StartsWith(key, StringComparison.Ordinal)))
            {
                text += "\n" + line;
            }
        }

        return text.Replace("$ADMIN", adminPort.ToString(), StringComparison.Ordinal)
            .Replace("$STATE", Path.Combine(folder, "state"), StringComparison.Ordinal) + "\n";
    }

    private ChildProcess Launch()
    {
        string[] line = [.. wrapper, Repository.GatewayBinary, "run", "--config", ConfigFile];
        return ChildProcess.Start(line[0], line[1..], WithDotnet(environment));
    }
}
