namespace Gateway.BlackBoxTests.Harness;

/// <summary>
/// Goal: a red test means Gateway is wrong, not the harness. Method: the harness against Consul and Node with no gateway between.
/// </summary>
[Trait("Needs", "consul")]
public sealed class SelfTests
{
    [ConsulFact]
    public async Task Consul_keeps_what_it_was_told_over_a_kill()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        await consul.Register(new Registration("kept", "kept-1", 4321, "production"));
        consul.Kill();
        Assert.False(await Wire.Accepts(consul.HttpPort));
        await consul.Restart();
        Assert.Contains("kept-1", await consul.Get("/v1/catalog/service/kept"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Test_server_fails_and_restores_its_health_and_serves_after_sigterm()
    {
        using NodeServer server = await NodeServer.Start("self");
        Assert.Equal(200, (await server.Ask("/healthcheck")).Status);
        await server.Ask("/fail");
        Assert.Equal(503, (await server.Ask("/healthcheck")).Status);
        await server.Ask("/restore");
        Assert.Equal(200, (await server.Ask("/healthcheck")).Status);
        server.Send(Signal.Terminate);
        await Eventually.True(async () => (await server.Ask("/healthcheck")).Status == 503, "SIGTERM fails the health check");
        WireAnswer still = await server.Ask("/a//b/%2e?x");
        Assert.Equal(200, still.Status);
        Assert.Equal("/a//b/%2e?x", still.Json.RootElement.GetProperty("url").GetString());
    }

    [Fact]
    public async Task Load_client_counts_each_failure_and_no_other()
    {
        using NodeServer server = await NodeServer.Start("load", tcp: true);
        LoadClient load = new LoadClient().Http(server.Port, keepAlive: 2, fresh: 2).Tcp(server.TcpPort, kept: 1, fresh: 1);
        await Eventually.True(() => load.Requests > 300, "the load runs");
        Assert.Equal(0, load.Failures);
        server.Kill();
        await Eventually.True(() => load.Failures > 20, "a dead server is a failure of each request");
        LoadReport report = await load.Stop();
        Assert.True(report.Failures < report.Requests, report.ToString());
    }
}
