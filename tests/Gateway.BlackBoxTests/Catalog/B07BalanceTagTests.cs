using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B7. Goal: roundrobin by default; <c>balance-leastconn</c> switches the algorithm live, <c>balance-roundrobin</c> back.
/// Method: long streams and short requests in turn. Round robin gives every stream to one of two instances; least
/// connections shares the streams out.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B07BalanceTagTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Round_robin_is_the_default_and_exact()
    {
        int port = Ports.Production();
        await Serve("b07-default", port, "a", "b", "c");
        await Eventually.True(async () => (await Platform.Spread(port, 9)).Count == 3, "three instances answer");
        Dictionary<string, int> spread = await Platform.Spread(port, 30);
        Assert.All(spread.Values, static count => Assert.Equal(10, count));
    }

    [ConsulFact]
    public async Task Balance_tag_switches_live_and_back()
    {
        int port = Ports.Production();
        NodeServer[] servers = await Serve("b07", port, "a", "b");
        await Eventually.True(async () => (await Platform.Spread(port, 6)).Count == 2, "both answer");
        int[] taken = await Streams(port);
        Assert.Equal([4], taken);

        await Tag("b07", port, servers, "balance-leastconn");
        await Eventually.True(async () => (await Streams(port)).SequenceEqual([2, 2]), "least connections shares streams out");
        await Tag("b07", port, servers, "balance-roundrobin");
        await Eventually.True(async () => (await Streams(port)).SequenceEqual([4]), "round robin takes turns again");
    }

    // How many of four streams each instance got, when each stream is followed by one short request.
    private static async Task<int[]> Streams(int port)
    {
        using CancellationTokenSource deadline = new(Eventually.Seconds(20));
        List<EventStream> streams = [];
        try
        {
            for (int i = 0; i < 4; i++)
            {
                streams.Add(await EventStream.Open(port, deadline.Token));
                await Wire.Get(port);
            }

            return [.. streams.CountBy(static stream => stream.ServedBy).Select(static pair => pair.Value).Order()];
        }
        finally
        {
            streams.ForEach(static stream => stream.Dispose());
        }
    }

    private async Task<NodeServer[]> Serve(string service, int port, params string[] ids)
    {
        List<NodeServer> servers = [];
        foreach (string id in ids)
        {
            servers.Add(await platform.Serve(service, id, "production", $"internal-listen-http-{port}"));
        }

        return [.. servers];
    }

    private async Task Tag(string service, int port, NodeServer[] servers, string tag)
    {
        foreach (NodeServer server in servers)
        {
            await platform.Consul.Register(server.AsService(service, "production", $"internal-listen-http-{port}", tag));
        }
    }
}
