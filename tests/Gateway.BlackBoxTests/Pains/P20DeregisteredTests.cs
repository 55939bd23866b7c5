using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Pains;

/// <summary>
/// P20, a removed endpoint keeps getting traffic because its probe passes. Goal: a deregistration wins over our probe at once, also
/// on the kept connections of clients, and what is in flight there ends in peace. Method: two healthy instances, one of them
/// deregistered under load while a stream of it is open. (A mass of removals is the guard's, see <c>GuardTests</c>.)
/// </summary>
[Trait("Needs", "consul")]
public sealed class P20DeregisteredTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Deregistered_instance_gets_nothing_more_although_its_probe_passes()
    {
        int port = Ports.Production();
        string[] tags = ["production", $"internal-listen-http-{port}", "gateway-check.interval=300ms"];
        NodeServer gone = await platform.Serve("p20", "gone", tags);
        await platform.Serve("p20", "left", tags);
        await Eventually.True(async () => (await Platform.Spread(port, 6)).Count == 2, "both answer");
        using CancellationTokenSource deadline = new(Eventually.Seconds(60));
        EventStream stream = await EventStream.Open(port, deadline.Token);
        while (stream.ServedBy != "gone")
        {
            stream.Dispose();
            stream = await EventStream.Open(port, deadline.Token);
        }

        LoadClient load = new LoadClient().Http(port, keepAlive: 4, fresh: 2);
        await Eventually.True(async () => await gone.Seen("/load") > 20, "the load reaches it");
        await platform.Consul.Deregister("p20-gone");
        await Eventually.True(async () => (await Platform.Spread(port, 6)).Keys.SequenceEqual(["left"]), "only the other answers", seconds: 5);

        int seen = await gone.Seen("/load");
        long requests = load.Requests;
        await Eventually.True(() => load.Requests > requests + 300, "the load goes on");
        Assert.Equal(seen, await gone.Seen("/load"));
        Assert.Equal(200, (await gone.Ask("/healthcheck")).Status);
        await stream.Next(deadline.Token);
        await stream.Next(deadline.Token);
        stream.Dispose();
        LoadReport report = await load.Stop();
        Assert.True(report.Failures == 0 && report.Renewals == 0, report.ToString());
        Assert.DoesNotContain(
            await platform.Gateway.Problems(), static p => GatewayProcess.Plain(p).Contains("removal-held", StringComparison.Ordinal));
    }
}
