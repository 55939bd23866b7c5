using System.Text.Json;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B15, B16, B18, T3. Goal: Marathon's and Chronos' masters behind ports of the file: checked by <c>GET /ping</c>, rise 2 and fall
/// 3, one master's death seen by nobody; all of it while Consul is down, and from before it ever answered. Method: test-servers as
/// masters under load, no Consul at all, or one that is killed.
/// </summary>
public sealed class B15StaticServiceTests
{
    [Fact]
    public async Task Masters_are_checked_and_the_death_of_one_is_seen_by_nobody()
    {
        using NodeServer a = await NodeServer.Start("a");
        using NodeServer b = await NodeServer.Start("b");
        using NodeServer chronos = await NodeServer.Start("chronos");
        int marathon = Ports.Any(), other = Ports.Any();
        using GatewayProcess gateway = GatewayProcess.Start(WithoutConsul(
            Entry("marathon", marathon, "check: { http: /ping, interval: 300ms }", a, b),
            Entry("chronos", other, "check: { http: /ping, interval: 300ms }", chronos)));

        await Eventually.True(async () => (await Platform.Spread(marathon, 6)).Count == 2, "both masters answer");
        await Platform.Serves(other, "chronos");
        Assert.True(await a.Seen("/ping") > 0, "it is checked by GET /ping");
        Assert.Equal(0, await a.Seen("/healthcheck"));
        Assert.Equal(("2", "3"), (await Setting(gateway, "marathon", "check.rise"), await Setting(gateway, "marathon", "check.fall")));

        LoadClient load = new LoadClient().Http(marathon, keepAlive: 2, fresh: 1);
        await a.Ask("/fail");
        await Eventually.True(async () => (await Platform.Spread(marathon, 6)).Keys.SequenceEqual(["b"]), "a is out");
        await a.Ask("/restore");
        await Eventually.True(async () => (await Platform.Spread(marathon, 6)).Count == 2, "a is in again");
        a.Kill();
        await Eventually.True(async () => (await Platform.Spread(marathon, 6)).Keys.SequenceEqual(["b"]), "a is out again");

        // Of requests that an instance was given before it was killed, those cannot be saved: everything else must be.
        LoadReport report = await load.Stop();
        Assert.True(report.Failures <= 3, report.ToString());

        // B18, and SPEC §7: no catalog has ever come, so it is not ready, and serves what needs none.
        Assert.Equal(503, (await gateway.Readiness()).Status);
        Assert.Contains("starting", (await gateway.Readiness()).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Reload_adds_moves_and_removes_static_services_also_without_any_catalog()
    {
        using NodeServer a = await NodeServer.Start("a");
        int first = Ports.Any(), second = Ports.Any();
        using GatewayProcess gateway = GatewayProcess.Start(WithoutConsul(Entry("one", first, "check: none", a)));
        await Platform.Serves(first, "a");
        Task<WireAnswer> slow = Wire.Get(first, "/slow?ms=1500");
        await Eventually.True(async () => await a.Seen("/slow") == 1, "the slow request is in flight");

        gateway.Configure(WithoutConsul(Entry("one", second, "check: none", a)));
        CommandResult reloaded = await gateway.Command("reload");
        Assert.True(reloaded.Exit == 0, reloaded.All);
        Assert.Contains("static.one.port", reloaded.All, StringComparison.Ordinal);
        await Platform.Serves(second, "a");
        await Platform.Closed(first);
        Assert.Equal(200, (await slow).Status);

        gateway.Configure(WithoutConsul());
        Assert.Equal(0, (await gateway.Command("reload")).Exit);
        await Platform.Closed(second);
    }

    [ConsulFact]
    public async Task Static_services_win_their_ports_and_outlive_consul()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        using NodeServer master = await NodeServer.Start("master");
        using NodeServer web = await NodeServer.Start("web");
        int production = Ports.Production(), port = 10_000 + production;
        string text = Platform.Configuration(consul, $"static:\n{Entry("marathon", port, "check: { http: /ping }", master)}");
        using GatewayProcess gateway = await GatewayProcess.StartReady(text);

        // T3: a service of staging that would get the same port by the port rule.
        await consul.Register(web.AsService("web", "production", "staging", $"internal-listen-http-{production}"));
        await Platform.Serves(production, "web");
        JsonElement problem = await gateway.Problem("port-taken", "web", $"port {port} belongs to marathon@static");
        Assert.Contains("static services always win", GatewayProcess.Plain(problem), StringComparison.Ordinal);
        Assert.Equal(["master"], (await Platform.Spread(port, 10)).Keys);

        consul.Kill();
        await gateway.Problem("consul-unreachable");
        Assert.Equal(["master"], (await Platform.Spread(port, 10)).Keys);
        gateway.KillAndStart();
        await Platform.Serves(port, "master");
    }

    [Fact]
    public async Task Tcp_service_is_relayed()
    {
        using NodeServer server = await NodeServer.Start("tcp", tcp: true);
        int port = Ports.Any();
        using GatewayProcess gateway = GatewayProcess.Start(WithoutConsul($"  echo: {{ port: {port}, servers: [\"127.0.0.1:{server.TcpPort}\"], protocol: tcp }}"));
        await Eventually.True(() => Wire.Accepts(port), "the port opens");
        using CancellationTokenSource deadline = new(Eventually.Seconds(20));
        using Wire wire = await Wire.Connect(port, cancel: deadline.Token);
        await wire.Send("hello\n", deadline.Token);
        Assert.Equal("hello", await wire.ReadLine(deadline.Token));
    }

    /// <summary>An entry of <c>static</c> as a line.</summary>
    private static string Entry(string name, int port, string more, params NodeServer[] servers) =>
        $"  {name}: {{ port: {port}, servers: [{string.Join(", ", servers.Select(s => $"\"127.0.0.1:{s.Port}\""))}], {more} }}";

    /// <summary>A Consul that never was: nothing listens there.</summary>
    private static string WithoutConsul(params string[] entries) =>
        "catalog: { consul: { address: \"http://127.0.0.1:9\" } }\n" + (entries.Length == 0 ? "" : "static:\n" + string.Join('\n', entries));

    private static async Task<string> Setting(GatewayProcess gateway, string service, string key)
    {
        JsonElement services = await gateway.CommandJson("services", service);
        return services[0].GetProperty("clusters")[0].GetProperty("settings").EnumerateArray()
            .First(s => s.GetProperty("key").GetString() == key).GetProperty("value").GetString()!;
    }
}
