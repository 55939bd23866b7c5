using System.Diagnostics;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Lifecycle;

/// <summary>
/// SPEC §3. Goal: an outage of Consul changes nothing: traffic goes on and nothing is removed; when it is back, changes flow; a
/// gateway started meanwhile serves the last known good within a second. Method: the agent is killed, and once frozen, under load.
/// </summary>
[Trait("Needs", "consul")]
public sealed class ConsulOutageTests
{
    [ConsulTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Outage_changes_nothing_and_changes_flow_afterwards(bool killed)
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        using NodeServer server = await NodeServer.Start("one", tcp: true);
        int http = Ports.Production(), tcp = Ports.Production(), later = Ports.Production();
        await consul.Register(server.AsService("outage", "production", $"internal-listen-http-{http}"));
        await consul.Register(new Registration("outage-tcp", "outage-tcp-1", server.TcpPort, "production", $"internal-listen-tcp-{tcp}"));
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(consul));
        await Platform.Serves(http, "one");
        await Eventually.True(() => Wire.Accepts(tcp), "the TCP port opens");

        LoadClient load = new LoadClient().Http(http, keepAlive: 2, fresh: 1).Tcp(tcp, kept: 1, fresh: 1);
        if (killed)
        {
            consul.Kill();
        }
        else
        {
            consul.Freeze();
        }

        await Eventually.Stays(
            async () => (await gateway.Readiness()).Status == 200 && (await Wire.Get(http)).Status == 200, "ready and serving in the outage", seconds: 6);
        if (killed)
        {
            await gateway.Problem("consul");
            await consul.Restart();
        }
        else
        {
            consul.Thaw();
        }

        await consul.Register(server.AsService("after", "production", $"internal-listen-http-{later}"));
        await Platform.Serves(later, "one", seconds: 30);
        LoadReport report = await load.Stop();
        Assert.True(report.Failures == 0 && report.Renewals == 0, report.ToString());
    }

    [ConsulFact]
    public async Task Restart_in_an_outage_serves_the_last_known_good()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        using NodeServer server = await NodeServer.Start("one");
        int port = Ports.Production(), later = Ports.Production();
        await consul.Register(server.AsService("kept", "production", $"internal-listen-http-{port}"));
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(consul));
        await Platform.Serves(port, "one");
        string generations = Path.Combine(gateway.StateDirectory, "catalog-lkg");
        await Eventually.True(
            () => Directory.EnumerateFiles(generations, "*.json").Any(static file => File.ReadAllText(file).Contains("kept", StringComparison.Ordinal)),
            "the last known good is on disk");

        consul.Kill();
        gateway.KillAndStart();
        long start = Stopwatch.GetTimestamp();
        await Platform.Serves(port, "one", seconds: 10);
        TestContext.Current.TestOutputHelper?.WriteLine($"start to serving: {Stopwatch.GetElapsedTime(start).TotalMilliseconds:0} ms");
        await gateway.Ready();
        (int status, string text) = await gateway.Readiness();
        Assert.Equal(200, status);
        Assert.StartsWith("degraded", text, StringComparison.Ordinal);

        await consul.Restart();
        await consul.Register(server.AsService("later", "production", $"internal-listen-http-{later}"));
        await Platform.Serves(later, "one", seconds: 30);
        await Eventually.True(async () => (await gateway.Readiness()).Text == "ready", "no longer degraded");
    }

    [Fact]
    public async Task Without_catalog_or_last_known_good_it_lives_and_readiness_waits()
    {
        int silent = Ports.Any();
        using GatewayProcess gateway = GatewayProcess.Start($"catalog: {{ consul: {{ address: \"http://127.0.0.1:{silent}\" }} }}");
        await Eventually.True(async () => (await Wire.Get(gateway.AdminPort, "/livez")).Status == 200, "livez says 200", now: () => gateway.Output);
        await Eventually.Stays(async () => (await gateway.Readiness()).Status == 503, "not ready", seconds: 2);
        Assert.StartsWith("starting", (await gateway.Readiness()).Text, StringComparison.Ordinal);
        await gateway.Problem("consul");
    }
}
