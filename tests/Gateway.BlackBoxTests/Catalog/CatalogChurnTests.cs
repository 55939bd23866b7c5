using System.Diagnostics;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// Goal: during 1,000 catalog changes at 50 per second, clients on other ports see zero failed requests. Method: a real Consul
/// takes registrations, deregistrations, moved tags and changed settings of 20 services while clients with kept and with new
/// connections, HTTP and TCP, count every failure and retry nothing; afterwards the last change must be in force.
/// </summary>
[Trait("Needs", "consul")]
[Collection(Alone.Name)]
public sealed class CatalogChurnTests(Platform platform) : IClassFixture<Platform>
{
    private const int Changes = 1000;
    private const int PerSecond = 50;
    private const int Services = 20;

    [ConsulFact]
    public async Task Thousand_changes_at_fifty_a_second_fail_no_request_on_other_ports()
    {
        int http = Ports.Production();
        int tcp = Ports.Production();
        await platform.Serve("steady", "a", "production", $"internal-listen-http-{http}");
        await platform.Serve("steady", "b", "production", $"internal-listen-http-{http}");
        NodeServer echo = platform.Keep(await NodeServer.Start("echo", tcp: true));
        await platform.Consul.Register(new Registration("steady-tcp", "steady-tcp-1", echo.TcpPort, "production", $"internal-listen-tcp-{tcp}"));
        await Platform.Serves(http, "a");
        await Platform.Serves(http, "b");
        await Eventually.True(() => Wire.Accepts(tcp), "the TCP port opens");

        NodeServer target = platform.Keep(await NodeServer.Start("target"));
        (int First, int Second)[] ports = [.. Enumerable.Range(0, Services).Select(static _ => (Ports.Production(), Ports.Production()))];

        LoadClient load = new LoadClient().Http(http, keepAlive: 4, fresh: 2).Tcp(tcp, kept: 1, fresh: 1);
        await Eventually.True(() => load.Requests > 200, "the load runs");

        long start = Stopwatch.GetTimestamp();
        for (int change = 0; change < Changes; change++)
        {
            int service = change % Services;
            int round = change / Services;
            string id = $"churn-{service}-1";
            (int first, int second) = ports[service];
            Task told = (round % 5) switch
            {
                0 => Tell(service, id, target, first),
                1 => Tell(service, id, target, first, $"internal-listen-http-{second}"),
                2 => Tell(service, id, target, second, "balance-leastconn", "internal-listen-http-99999"),
                3 => platform.Consul.Register(new Registration($"churn-{service}", $"churn-{service}-2", Ports.Any(), "staging", $"internal-listen-http-{second}")),
                _ => Gone(id, $"churn-{service}-2"),
            };
            await told;

            TimeSpan due = TimeSpan.FromSeconds((double)(change + 1) / PerSecond);
            TimeSpan early = due - Stopwatch.GetElapsedTime(start);
            if (early > TimeSpan.Zero)
            {
                await Task.Delay(early);
            }
        }

        TimeSpan took = Stopwatch.GetElapsedTime(start);
        int last = Ports.Production();
        await platform.Consul.Register(target.AsService("after-the-storm", "production", $"internal-listen-http-{last}"));
        await Platform.Serves(last, "target");
        LoadReport report = await load.Stop();

        TestContext.Current.TestOutputHelper?.WriteLine($"{Changes} changes in {took.TotalSeconds:0.0} s; {report}");
        Assert.True(report.Failures == 0, report.ToString());
        Assert.True(report.Requests > 1000, $"too little load to prove anything: {report}");
        Assert.Equal(0, report.Renewals);   // the same connections from the first change to the last
        Assert.Equal(0, await platform.Gateway.Metric("gateway_connections_closed_by_apply_total"));
    }

    private Task Tell(int service, string id, NodeServer target, int port, params string[] more) => platform.Consul.Register(
        new Registration($"churn-{service}", id, target.Port, ["production", $"internal-listen-http-{port}", .. more]));

    private async Task Gone(params string[] ids)
    {
        foreach (string id in ids)
        {
            await platform.Consul.Deregister(id);
        }
    }
}
