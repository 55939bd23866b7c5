using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Lifecycle;

/// <summary>
/// SPEC §2. Goal: SIGHUP applies a good file live and touches nothing that did not change; a bad file is refused whole and
/// reported, and the running configuration stays. Method: an environment is added to and taken from the file, which opens and
/// closes a port beside a kept connection and a stream; bad files carry the same good half.
/// </summary>
public sealed class ReloadTests
{
    private const string Canary =
        """
        environments:
          production: { port: "{port}",  host: "{host}" }
          staging:    { port: "1{port}", host: "staging-{host}" }
          canary:     { port: "2{port}", host: "canary-{host}" }
        """ + "\n";

    [Fact]
    public async Task Good_file_applies_live_and_touches_no_connection()
    {
        await using Scenario scenario = await Scenario.Start();
        using CancellationTokenSource deadline = new(Eventually.Seconds(60));
        using Wire kept = await Wire.Connect(scenario.HttpPort, cancel: deadline.Token);
        await kept.Exchange(Wire.Request("GET", "/", "x"), deadline.Token);
        using EventStream stream = await EventStream.Open(scenario.HttpPort, deadline.Token);
        int canary = 20_000 + scenario.HttpPort;
        Assert.False(await Wire.Accepts(canary));

        scenario.Gateway.Configure(Scenario.Configuration(Canary));
        scenario.Gateway.Send(Signal.Hangup);
        await Platform.Serves(canary, "static");
        scenario.Gateway.Configure(Scenario.Configuration());
        scenario.Gateway.Send(Signal.Hangup);
        await Platform.Closed(canary);

        await stream.Next(deadline.Token);
        await stream.Next(deadline.Token);
        Assert.Equal(200, (await kept.Exchange(Wire.Request("GET", "/", "x"), deadline.Token)).Status);
    }

    [Theory]
    [InlineData("drian: { grace: 1s }", "drian")]
    [InlineData("drain: { grace: 1 parsec }", "parsec")]
    [InlineData("drain: { grace: 1s }\ndrain: { grace: 2s }", "drain")]
    [InlineData("services: [", "")]
    public async Task Bad_file_is_refused_whole_and_reported(string bad, string named)
    {
        await using Scenario scenario = await Scenario.Start();
        int canary = 20_000 + scenario.HttpPort;
        scenario.Gateway.Configure(Scenario.Configuration(Canary + bad));
        scenario.Gateway.Send(Signal.Hangup);
        await scenario.Gateway.Problem("gateway.yaml", named);
        Assert.Equal(200, (await Wire.Get(scenario.HttpPort)).Status);
        Assert.False(await Wire.Accepts(canary), "half of a refused file was applied");

        CommandResult reload = await scenario.Gateway.Command("reload");
        Assert.Equal(1, reload.Exit);
        Assert.Contains(named, reload.All, StringComparison.Ordinal);
        Assert.False(await Wire.Accepts(canary), "half of a refused file was applied");

        scenario.Gateway.Configure(Scenario.Configuration(Canary));
        CommandResult mended = await scenario.Gateway.Command("reload");
        Assert.True(mended.Exit == 0, mended.All);
        await Platform.Serves(canary, "static");
        await Eventually.True(
            async () => !(await scenario.Gateway.Problems()).Any(
                static problem => GatewayProcess.Plain(problem).Contains("gateway.yaml", StringComparison.Ordinal)),
            "the problem is gone once the file is good");
    }

    [Fact]
    public async Task What_needs_an_upgrade_is_reported_and_the_rest_applies()
    {
        await using Scenario scenario = await Scenario.Start();
        int other = Ports.Any();
        scenario.Gateway.Configure(Scenario.Configuration(Canary + $"admin: {{ listen: \"127.0.0.1:{other}\" }}"));
        scenario.Gateway.Send(Signal.Hangup);
        await Platform.Serves(20_000 + scenario.HttpPort, "static");
        await scenario.Gateway.Problem("admin.listen");
        Assert.False(await Wire.Accepts(other), "admin.listen changes by upgrade only");
    }

    [Fact]
    public async Task Environment_variables_stay_in_force_over_a_reload()
    {
        using NodeServer server = await NodeServer.Start("static");
        int port = Ports.Production();
        using GatewayProcess gateway = await GatewayProcess.StartReady(
            Scenario.Configuration("defaultEnvironment: production"),
            new Dictionary<string, string?> { ["GATEWAY__DEFAULTENVIRONMENT"] = "staging" },
            ("catalog.yaml", Scenario.Catalog(server.AsService("web", $"internal-listen-http-{port}", "gateway-check=none"))));
        await Platform.Serves(10_000 + port, "static");
        gateway.Send(Signal.Hangup);
        await Eventually.Stays(async () => (await Wire.Get(10_000 + port)).Status == 200, "staging serves", seconds: 1);
        Assert.NotEqual("static", (await Wire.Get(port)).ServedBy);
    }
}
