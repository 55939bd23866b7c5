using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Pains;

/// <summary>
/// P11, an apply resets health and traffic goes to servers known to be dead. Goal: an instance that failed its check stays out over
/// every apply that leaves its check alone: changes of its neighbors, of its own service's settings, of its own tags. Method: an
/// instance that answers requests but fails its check, so that one request given to it would be seen; applies in between.
/// </summary>
[Trait("Needs", "consul")]
public sealed class P11HealthSurvivesTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Instance_that_is_out_stays_out_over_every_apply()
    {
        int port = Ports.Production();
        string[] tags = ["production", $"internal-listen-http-{port}"];
        NodeServer sick = await platform.Serve("p11", "sick", tags);
        NodeServer well = await platform.Serve("p11", "well", tags);
        await Eventually.True(async () => (await Platform.Spread(port, 6)).Count == 2, "both answer");
        await sick.Ask("/fail");
        await Eventually.True(async () => (await Platform.Spread(port, 6)).Keys.SequenceEqual(["well"]), "the sick one is out");
        string? since = await Since("p11-sick");
        int seen = await sick.Seen("/");

        double applies = await platform.Gateway.Metric("gateway_plan_applies_total");
        for (int i = 0; i < 20; i++)
        {
            string[] more = (i % 5) switch
            {
                0 => ["balance-leastconn"],
                1 => [$"gateway-weight={10 + i}"],
                2 => ["gateway-timeouts.response=30s", $"note-{i}"],
                3 => [$"internal-listen-http-{Ports.Production()}"],
                _ => [],
            };
            await platform.Consul.Register(sick.AsService("p11", [.. tags, .. more]));
            await platform.Consul.Register(well.AsService("p11", [.. tags, .. more]));
            await platform.Consul.Register(new Registration($"p11-other-{i}", $"p11-other-{i}", 1000 + i, "production", $"internal-listen-http-{Ports.Production()}"));
            double known = applies;
            await Eventually.True(async () => (applies = await platform.Gateway.Metric("gateway_plan_applies_total")) > known, "an apply");
            Assert.Equal(["well"], (await Platform.Spread(port, 10)).Keys);
        }

        Assert.Equal(seen, await sick.Seen("/"));
        Assert.Equal(since, await Since("p11-sick"));
        await sick.Ask("/restore");
        await Eventually.True(async () => (await Platform.Spread(port, 6)).Count == 2, "both answer again");
    }

    // Since when its check says what it says.
    private async Task<string?> Since(string id)
    {
        WireAnswer answer = await Wire.Get(platform.Gateway.AdminPort, "/api/v1/destinations");
        return answer.Json.RootElement.EnumerateArray()
            .First(d => d.GetProperty("instance").GetString()!.EndsWith("/" + id, StringComparison.Ordinal)).GetProperty("since").GetString();
    }
}
