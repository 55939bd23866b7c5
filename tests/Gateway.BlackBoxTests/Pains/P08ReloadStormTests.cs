using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Pains;

/// <summary>
/// P8, every event anywhere reloads everything. Goal: what changes nothing for us applies nothing, and a storm of real changes is
/// fewer applies than changes. Method: a real Consul takes registrations of services that nobody routes, identical ones of those
/// that are, check results with another output, and keys; then one service's real changes in a burst; the applies are counted.
/// </summary>
[Trait("Needs", "consul")]
public sealed class P08ReloadStormTests
{
    [ConsulFact]
    public async Task What_changes_nothing_applies_nothing()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        using NodeServer server = await NodeServer.Start("one");
        int port = Ports.Production(), last = Ports.Production();
        Registration quiet = server.AsService("quiet", "production", $"internal-listen-http-{port}") with
        {
            Check = new { CheckID = "quiet-ttl", TTL = "10m", Status = "passing" },
        };
        await consul.Register(quiet);
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(consul));
        await Platform.Serves(port, "one");
        await Settled(gateway);
        double before = await gateway.Metric("gateway_plan_applies_total");

        for (int i = 0; i < 40; i++)
        {
            await consul.Register(new Registration($"unrelated-{i % 10}", $"unrelated-{i}", 1000 + i, "batch", $"v{i}"));
            await consul.Register(quiet);
            await consul.Put("/v1/agent/check/update/quiet-ttl", new { Status = "passing", Output = $"fine, {i} jobs" });
            await consul.PutKey($"app/production/unrelated-{i}", $"{i}");
            if (i % 2 == 1)
            {
                await consul.Deregister($"unrelated-{i}");
            }
        }

        // A real change comes after all of that, and is the only one: the new service may first come without its instances.
        await consul.Register(server.AsService("last", "production", $"internal-listen-http-{last}"));
        await Platform.Serves(last, "one");
        Assert.InRange(await gateway.Metric("gateway_plan_applies_total") - before, 1, 2);
    }

    [ConsulFact]
    public async Task Storm_of_changes_is_fewer_applies_than_changes_and_ends_with_the_last()
    {
        const int Changes = 300;
        await using ConsulProcess consul = await ConsulProcess.Start();
        using NodeServer server = await NodeServer.Start("one");
        int port = Ports.Production();
        Registration Variant(int number) => server.AsService("storm", "production", $"internal-listen-http-{port}", $"gateway-weight={1 + (number % 50)}");
        await consul.Register(Variant(0));
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(consul));
        await Platform.Serves(port, "one");
        await Settled(gateway);
        double before = await gateway.Metric("gateway_plan_applies_total");

        for (int i = 1; i < Changes; i++)
        {
            await consul.Register(Variant(i));
        }

        await consul.Register(server.AsService("storm", "production", $"internal-listen-http-{port}", "gateway-weight=77"));
        await Eventually.True(
            async () => (await gateway.Command("services", "storm")).Out.Contains("77", StringComparison.Ordinal), "the last change is in force");
        double applies = await gateway.Metric("gateway_plan_applies_total") - before;
        TestContext.Current.TestOutputHelper?.WriteLine($"{Changes} changes, {applies} applies");
        Assert.InRange(applies, 1, Changes / 2);
    }

    // The start has its own applies: no more of them for half a second.
    private static async Task Settled(GatewayProcess gateway)
    {
        double last = -1;
        long since = System.Diagnostics.Stopwatch.GetTimestamp();
        await Eventually.True(
            async () =>
            {
                double now = await gateway.Metric("gateway_plan_applies_total");
                if (now != last)
                {
                    (last, since) = (now, System.Diagnostics.Stopwatch.GetTimestamp());
                }

                return System.Diagnostics.Stopwatch.GetElapsedTime(since) > TimeSpan.FromSeconds(0.5);
            },
            "the applies of the start are over");
    }
}
