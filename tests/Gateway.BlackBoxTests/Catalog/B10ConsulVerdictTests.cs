using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B10. Goal: what Consul calls critical gets nothing, what is in maintenance drains at once, and both come back. Method: TTL
/// checks told by hand, and <c>consul maint</c> for one service and for the node, while the instance itself is in the best of health.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B10ConsulVerdictTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Critical_is_out_and_passing_is_in()
    {
        int port = Ports.Production();
        NodeServer server = platform.Keep(await NodeServer.Start("ttl"));
        await platform.Consul.Register(server.AsService("b10", "production", $"internal-listen-http-{port}") with
        {
            Check = new { CheckID = "b10-ttl", TTL = "10m", Status = "critical" },
        });
        await Platform.Answers(port, 503);
        await platform.Consul.UpdateCheck("b10-ttl", "passing");
        await Platform.Serves(port, "ttl", seconds: 5);
        await platform.Consul.UpdateCheck("b10-ttl", "critical");
        await Platform.Answers(port, 503, seconds: 5);
        await platform.Consul.UpdateCheck("b10-ttl", "warning");
        await Platform.Serves(port, "ttl", seconds: 5);
    }

    [ConsulFact]
    public async Task Service_maintenance_drains_at_once_and_its_requests_finish()
    {
        int port = Ports.Production();
        string listen = $"internal-listen-http-{port}";
        NodeServer a = await platform.Serve("b10-maint", "a", "production", listen);
        await platform.Serve("b10-maint", "b", "production", listen);
        await Eventually.True(async () => (await Platform.Spread(port, 6)).Count == 2, "both answer");
        using CancellationTokenSource deadline = new(Eventually.Seconds(30));
        EventStream stream = await EventStream.Open(port, deadline.Token);
        while (stream.ServedBy != "a")
        {
            stream.Dispose();
            stream = await EventStream.Open(port, deadline.Token);
        }

        await platform.Consul.ServiceMaintenance($"b10-maint-{a.Id}", on: true);
        await Eventually.True(async () => (await Platform.Spread(port, 6)).Keys.SequenceEqual(["b"]), "only b answers", seconds: 5);
        await stream.Next(deadline.Token);
        await stream.Next(deadline.Token);
        stream.Dispose();
        await platform.Consul.ServiceMaintenance($"b10-maint-{a.Id}", on: false);
        await Eventually.True(async () => (await Platform.Spread(port, 6)).Count == 2, "both answer again", seconds: 5);
    }

    [ConsulFact]
    public async Task Node_maintenance_takes_the_whole_node_out_and_back()
    {
        int port = Ports.Production();
        await platform.Serve("b10-node", "n", "production", $"internal-listen-http-{port}");
        await Platform.Serves(port, "n");
        await platform.Consul.NodeMaintenance(on: true);
        try
        {
            await Platform.Answers(port, 503, seconds: 5);
        }
        finally
        {
            await platform.Consul.NodeMaintenance(on: false);
        }

        await Platform.Serves(port, "n", seconds: 5);
    }
}
