using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Pains;

/// <summary>
/// P5, a rolling deploy with changed tags drops the route, because old and new instances disagree. Goal: all through it both are
/// served, nothing fails, the disagreement is a problem while it lasts, and at the end the new tags hold. Method: four instances
/// replaced one by one by ones with another balance and one more port, under load.
/// </summary>
[Trait("Needs", "consul")]
public sealed class P05RollingDeployTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Old_and_new_instances_are_served_all_through_it()
    {
        const int Count = 4;
        int port = Ports.Production(), added = Ports.Production();
        string[] old = ["production", $"internal-listen-http-{port}", "balance-roundrobin"];
        string[] next = ["production", $"internal-listen-http-{port}", $"internal-listen-http-{added}", "balance-leastconn", "gateway-timeouts.response=30s"];
        List<NodeServer> running = [];
        for (int i = 0; i < Count; i++)
        {
            running.Add(await platform.Serve("deploy", $"old-{i}", old));
        }

        await Eventually.True(async () => (await Platform.Spread(port, 12)).Count == Count, "four old ones answer");
        LoadClient load = new LoadClient().Http(port, keepAlive: 2, fresh: 2);
        for (int i = 0; i < Count; i++)
        {
            // 1. A new one comes: it and the old ones share the work.
            NodeServer fresh = await platform.Serve("deploy", $"new-{i}", next);
            await Platform.Serves(port, fresh.Id);
            await Platform.Serves(added, seconds: 5);
            Assert.True((await Platform.Spread(port, 60)).Keys.Any(id => id.StartsWith("old-", StringComparison.Ordinal)), "the old ones are served too");
            if (i == 1)
            {
                await platform.Gateway.Problem("instances-disagree", "deploy");
            }

            // 2. An old one goes, as its task does: SIGTERM fails its check, it leaves Consul, it ends. (One that went on answering
            //    would be held by the guard from the third within ten seconds on.)
            NodeServer gone = running[i];
            gone.Send(Signal.Terminate);
            await platform.Consul.Deregister($"deploy-{gone.Id}");
            gone.Kill();
            await Eventually.True(
                async () => !(await Platform.Spread(port, 30)).ContainsKey(gone.Id), $"{gone.Id} gets nothing any more");
        }

        Assert.All((await Platform.Spread(added, 20)).Keys, static id => Assert.StartsWith("new-", id));
        string table = "";
        await Eventually.True(
            async () => (table = (await platform.Gateway.Command("services", "deploy")).Out).Contains("leastconn", StringComparison.Ordinal),
            "the new tags hold",
            now: () => table);
        Assert.DoesNotContain(
            await platform.Gateway.Problems(), static p => GatewayProcess.Plain(p).Contains("instances-disagree", StringComparison.Ordinal));
        LoadReport report = await load.Stop();
        Assert.True(report.Failures == 0 && report.Renewals == 0, report.ToString());
    }
}
