using System.Globalization;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Pains;

/// <summary>
/// P12, an apply resets the balancer and one instance gets it all. Goal: the turn of round robin and the counts of least connections
/// go on as if nothing had happened. Method: an apply between any two requests; applies while streams are open and uneven.
/// </summary>
[Trait("Needs", "consul")]
public sealed class P12BalancerSurvivesTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Round_robin_takes_turns_exactly_with_an_apply_between_any_two_requests()
    {
        int port = Ports.Production();
        string listen = $"internal-listen-http-{port}";
        NodeServer[] servers = new NodeServer[3];
        for (int i = 0; i < 3; i++)
        {
            servers[i] = await platform.Serve("p12", $"{(char)('a' + i)}", "production", listen);
        }

        await Eventually.True(async () => (await Platform.Spread(port, 9)).Count == 3, "three answer");
        Dictionary<string, int> counts = [];
        for (int i = 0; i < 30; i++)
        {
            // Its own cluster's settings change, and another service with it.
            await Applied(async () =>
            {
                string tag = $"gateway-timeouts.response={90 + i}s";
                foreach (NodeServer server in servers)
                {
                    await platform.Consul.Register(server.AsService("p12", "production", listen, tag));
                }
            });
            string who = (await Wire.Get(port)).ServedBy!;
            counts[who] = counts.GetValueOrDefault(who) + 1;
        }

        Assert.Equal([10, 10, 10], counts.Values);
    }

    [ConsulFact]
    public async Task Least_connections_counts_what_was_open_before_the_apply()
    {
        int port = Ports.Production();
        string[] tags = ["production", $"internal-listen-http-{port}", "balance-leastconn"];
        NodeServer a = await platform.Serve("p12-least", "a", tags);
        await platform.Serve("p12-least", "b", tags);
        await Eventually.True(async () => (await Platform.Spread(port, 6)).Count == 2, "both answer");
        using CancellationTokenSource deadline = new(Eventually.Seconds(60));
        List<EventStream> streams = [];
        try
        {
            for (int i = 0; i < 6; i++)
            {
                streams.Add(await EventStream.Open(port, deadline.Token));
            }

            Assert.All(streams.CountBy(static s => s.ServedBy), static pair => Assert.Equal(3, pair.Value));

            // All of a's end; b's three go on over the applies. The next three must all be a's.
            foreach (EventStream stream in streams.Where(static s => s.ServedBy == "a").ToArray())
            {
                stream.Dispose();
                streams.Remove(stream);
            }

            for (int i = 0; i < 5; i++)
            {
                await Applied(() => platform.Consul.Register(a.AsService("p12-least", [.. tags, $"gateway-timeouts.response={90 + i}s"])));
            }

            await Eventually.True(async () => await InFlight("p12-least-b") == 3 && await InFlight("p12-least-a") == 0, "the counts are those of before");
            for (int i = 0; i < 3; i++)
            {
                streams.Add(await EventStream.Open(port, deadline.Token));
            }

            Assert.Equal(3, streams.Count(static s => s.ServedBy == "a"));
        }
        finally
        {
            streams.ForEach(static stream => stream.Dispose());
        }
    }

    private async Task Applied(Func<Task> change)
    {
        double before = await platform.Gateway.Metric("gateway_plan_applies_total");
        await change();
        await Eventually.True(async () => await platform.Gateway.Metric("gateway_plan_applies_total") > before, "an apply");
    }

    private async Task<int> InFlight(string id)
    {
        string line = (await platform.Gateway.Metrics()).Split('\n').First(text =>
            text.StartsWith("gateway_destination_in_flight{", StringComparison.Ordinal) && text.Contains($"/{id}\"", StringComparison.Ordinal));
        return int.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture);
    }
}
