using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Lifecycle;

/// <summary>
/// SPEC §1, §2 and the issue's bad input. Goal: what cannot work is refused before anything is bound, with exit 2 and a
/// message that says what to do; a second process beside a live one exits 1 naming it; a taken port is a problem and not a
/// refusal. Method: the program started with each mistake.
/// </summary>
public sealed class StartTests
{
    [Fact]
    public async Task Unreadable_token_file_is_exit_2_before_anything_is_bound()
    {
        CommandResult result = await Refused("""
            catalog: { consul: { address: "http://127.0.0.1:$ANY", tokenFile: $STATE/no-such-token } }
            """);
        Assert.Contains("no-such-token", result.All, StringComparison.Ordinal);
        Assert.Contains("tokenFile", result.All, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Token_file_that_is_a_directory_is_exit_2()
    {
        CommandResult result = await Refused("""
            catalog: { consul: { address: "http://127.0.0.1:$ANY", tokenFile: /proc } }
            """);
        Assert.Contains("/proc", result.All, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Unwritable_state_directory_is_exit_2_before_anything_is_bound()
    {
        // Root may write anywhere but below a file, and where the kernel says no.
        foreach (string directory in new[] { "$CONFIG/below-a-file", "/proc/no-state-here" })
        {
            CommandResult result = await Refused($"stateDirectory: {directory}\ncatalog: {{ embedded: {{ listen: \"127.0.0.1:$ANY\" }} }}");
            Assert.Contains("stateDirectory", result.All, StringComparison.OrdinalIgnoreCase);
        }
    }

    [Fact]
    public async Task State_directory_too_long_for_a_socket_is_exit_2_with_advice()
    {
        CommandResult result = await Refused($"stateDirectory: $STATE/{new string('x', 90)}\ncatalog: {{ embedded: {{ listen: \"127.0.0.1:$ANY\" }} }}");
        Assert.Contains("90", result.All, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("drian: { grace: 1s }", "drain")]                        // the nearest valid key
    [InlineData("drain: { grace: ten }", "ten")]
    [InlineData("internal: { addresses: 7 }", "addresses")]
    [InlineData("engine: rockets", "loops")]
    [InlineData("admin: { listen: \"127.0.0.1:99999\" }", "99999")]
    [InlineData("services: { x: { balance: fastest } }", "fastest")]
    public async Task Bad_configuration_is_exit_2_with_line_and_column(string bad, string named)
    {
        CommandResult result = await Refused(bad);
        Assert.Contains(named, result.All, StringComparison.Ordinal);
        Assert.Matches(@"gateway\.yaml:\d+:\d+: error: ", result.All);
    }

    [Theory]
    [InlineData("frobnicate")]
    [InlineData("run --no-such-option")]
    [InlineData("status --json --no-such")]
    [InlineData("run --config /no/such/file.yaml")]
    [InlineData("check --config /no/such/file.yaml")]
    [InlineData("import haproxy.cfg")]
    public async Task Bad_arguments_are_exit_2(string arguments)
    {
        CommandResult result = await GatewayProcess.Run(arguments.Split(' '));
        Assert.True(result.Exit == 2, $"exit {result.Exit}\n{result.All}");
        Assert.NotEmpty(result.All);
    }

    [Fact]
    public async Task Second_gateway_on_the_same_state_exits_1_naming_the_first()
    {
        await using Scenario scenario = await Scenario.Start("");
        CommandResult second = await GatewayProcess.Run(["run", "--config", scenario.Gateway.ConfigFile]);
        Assert.Equal(1, second.Exit);
        Assert.Contains(scenario.Gateway.Pid.ToString(), second.All, StringComparison.Ordinal);
        Assert.Equal(200, (await Wire.Get(scenario.HttpPort)).Status);
    }

    [Fact]
    public async Task Killed_gateway_leaves_nothing_that_stops_the_next()
    {
        await using Scenario scenario = await Scenario.Start("");
        scenario.Gateway.KillAndStart();
        await scenario.Gateway.Ready();
        await Platform.Serves(scenario.HttpPort, "static");
    }

    [Fact]
    public async Task Taken_port_is_a_problem_naming_the_owner_and_is_bound_when_free()
    {
        using NodeServer server = await NodeServer.Start("static");
        int free = Ports.Production(), taken = Ports.Production();
        using TcpListener owner = new(IPAddress.Loopback, taken);
        owner.Start();
        using GatewayProcess gateway = await GatewayProcess.StartReady(
            Scenario.Configuration(),
            files: ("catalog.yaml", Scenario.Catalog(
                server.AsService("free", "production", $"internal-listen-http-{free}"),
                server.AsService("taken", "production", $"internal-listen-http-{taken}"))));
        await Platform.Serves(free, "static");
        await gateway.Problem(taken.ToString(), Environment.ProcessId.ToString());

        owner.Stop();
        await Platform.Serves(taken, "static", seconds: 40);
        await Eventually.True(
            async () => !(await gateway.Problems()).Any(
                static problem => GatewayProcess.Plain(problem).Contains(Environment.ProcessId.ToString(), StringComparison.Ordinal)),
            "the problem is gone");
    }

    [Fact]
    public async Task Port_that_may_not_be_bound_is_a_problem_and_the_rest_serves()
    {
        // A root without CAP_NET_BIND_SERVICE, where ports below 1024 need it.
        string? setpriv = Repository.Which("setpriv");
        int privileged = Random.Shared.Next(200, 500);
        if (setpriv is null || Environment.UserName != "root"
            || int.Parse(await File.ReadAllTextAsync("/proc/sys/net/ipv4/ip_unprivileged_port_start")) <= privileged)
        {
            Assert.Skip("needs root, setpriv and privileged ports to take a privilege away");
        }

        using NodeServer server = await NodeServer.Start("static");
        int free = Ports.Production();
        using GatewayProcess gateway = await GatewayProcess.StartReady(
            Scenario.Configuration(),
            null,
            [setpriv, "--bounding-set", "-net_bind_service"],
            ("catalog.yaml", Scenario.Catalog(
                server.AsService("free", "production", $"internal-listen-http-{free}"),
                server.AsService("root-only", "production", $"internal-listen-http-{privileged}"))));
        await Platform.Serves(free, "static");
        JsonElement problem = await gateway.Problem("root-only", privileged.ToString());
        Assert.Contains("CAP_NET_BIND_SERVICE", GatewayProcess.Plain(problem), StringComparison.Ordinal);
        Assert.False(await Wire.Accepts(privileged));
    }

    [Fact]
    public async Task Feature_that_is_not_built_yet_is_refused_saying_so()
    {
        CommandResult result = await Refused("admin: { tokensFile: /tmp/tokens }");
        Assert.Contains("not built", result.All, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Embedded_address_where_a_foreign_consul_answers_is_exit_2()
    {
        Assert.SkipUnless(ConsulProcess.IsInstalled, "consul is not installed");
        await using ConsulProcess consul = await ConsulProcess.Start();
        CommandResult result = await Refused($"catalog: {{ embedded: {{ listen: \"127.0.0.1:{consul.HttpPort}\" }} }}");
        Assert.Contains("catalog.consul", result.All, StringComparison.Ordinal);
    }

    // Starts it with a configuration that must be refused, and checks that nothing was bound.
    private static async Task<CommandResult> Refused(string configuration)
    {
        string folder = Directory.CreateTempSubdirectory("gwt-").FullName;
        int admin = Ports.Any();
        try
        {
            string file = Path.Combine(folder, "gateway.yaml");
            string text = configuration
                .Replace("$STATE", Path.Combine(folder, "state"), StringComparison.Ordinal)
                .Replace("$CONFIG", file, StringComparison.Ordinal)
                .Replace("$ANY", Ports.Any().ToString(), StringComparison.Ordinal) + "\n";
            if (!text.Contains("admin:", StringComparison.Ordinal))
            {
                text += $"admin: {{ listen: \"127.0.0.1:{admin}\" }}\n";
            }

            if (!text.Contains("stateDirectory:", StringComparison.Ordinal))
            {
                text += $"stateDirectory: {Path.Combine(folder, "state")}\n";
            }

            await File.WriteAllTextAsync(file, text);
            using ChildProcess process = GatewayProcess.Begin(["run", "--config", file]);
            bool bound = false;
            await Eventually.True(
                async () =>
                {
                    bound |= await Wire.Accepts(admin);
                    return process.HasExited;
                },
                "it refuses to run",
                now: () => process.Tail(40));
            int exit = await process.WaitForExit(5);
            Assert.True(exit == 2, $"exit {exit}\n{process.Output}");
            Assert.False(bound, "something was bound before the refusal");
            return new CommandResult(exit, process.StandardOutput, process.Output);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
