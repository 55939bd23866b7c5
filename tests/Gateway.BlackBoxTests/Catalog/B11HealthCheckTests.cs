using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B11, B12. Goal: Gateway asks <c>GET /healthcheck</c> of each instance with its own defaults (10 s; one failure out, one
/// success in); an instance that got SIGTERM fails its check, gets nothing new, and ends what it has. Method: the article's
/// test-server, no check in Consul, a load that must not see any of it.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B11HealthCheckTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task One_failure_is_out_and_one_success_is_in()
    {
        int port = Ports.Production();
        string listen = $"internal-listen-http-{port}";
        NodeServer a = await platform.Serve("b11", "a", "production", listen);
        await platform.Serve("b11", "b", "production", listen);
        await Eventually.True(async () => (await Platform.Spread(port, 6)).Count == 2, "both answer");
        await Eventually.True(async () => await a.Seen("/healthcheck") > 0, "the first probe comes at once", seconds: 3);

        await a.Ask("/fail");
        await Eventually.True(async () => (await Platform.Spread(port, 6)).Keys.SequenceEqual(["b"]), "a is out", seconds: 15);
        await a.Ask("/restore");
        await Eventually.True(async () => (await Platform.Spread(port, 6)).Count == 2, "a is in again", seconds: 15);
    }

    [ConsulFact]
    public async Task Instance_told_to_stop_gets_nothing_new_and_no_request_fails()
    {
        int port = Ports.Production();
        string listen = $"internal-listen-http-{port}";
        NodeServer a = await platform.Serve("b12", "a", "production", listen);
        await platform.Serve("b12", "b", "production", listen);
        await Eventually.True(async () => (await Platform.Spread(port, 6)).Count == 2, "both answer");
        LoadClient load = new LoadClient().Http(port, keepAlive: 2, fresh: 1);
        Task<WireAnswer> slow = Wire.Get(port, "/slow?ms=3000");

        a.Send(Signal.Terminate);
        await Eventually.True(async () => (await Platform.Spread(port, 6)).Keys.SequenceEqual(["b"]), "a is out", seconds: 15);
        Assert.Equal(200, (await slow).Status);
        a.Kill();
        LoadReport report = await load.Stop();
        Assert.True(report.Failures == 0, report.ToString());
    }

    [ConsulFact]
    public async Task Service_without_that_path_is_up_while_it_accepts()
    {
        int port = Ports.Production();
        NodeServer server = platform.Keep(await NodeServer.Start("nopath"));
        await platform.Consul.Register(server.AsService("b11-nopath", "production", $"internal-listen-http-{port}",
            "gateway-check.http=/status?code=404", "gateway-check.interval=300ms"));
        await Platform.Answers(port, 503);   // named by hand: 404 is down
        await platform.Consul.Register(server.AsService("b11-nopath", "production", $"internal-listen-http-{port}", "gateway-check=none"));
        await Platform.Serves(port, "nopath");
    }
}
