using System.Diagnostics;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Pains;

/// <summary>
/// P14, Consul is hammered. Goal: requests are proportional to what changed, not to the number of services; a Consul whose blocking
/// queries never block meets a limit; how much we ask is a metric. Method: something before a real Consul counts the questions about
/// each service while one of twelve changes, while others' services come and go, and while it takes the index off every question.
/// </summary>
[Trait("Needs", "consul")]
public sealed class P14ConsulHammeredTests
{
    private const int Services = 12;

    [ConsulFact]
    public async Task Change_of_one_service_asks_about_that_one()
    {
        await using Setting here = await Setting.Start();
        int[] before = here.Asked();
        double counted = await here.Gateway.Metric("gateway_catalog_requests_total");
        int all = here.Between.Asked.Length;

        // 1. Ten changes of one service's instances: about it only, at most two questions each (the watch, and one it replaced).
        for (int i = 0; i < 10; i++)
        {
            await here.Consul.Register(here.Server.AsService("s0", "production", $"internal-listen-http-{here.Ports[0]}", $"note-{i}", $"gateway-weight={i + 1}"));
            await Eventually.True(
                async () => (await here.Gateway.Command("services", "s0")).Out.Contains($"gateway-weight={i + 1} ", StringComparison.Ordinal), "it is applied");
        }

        int[] after = here.Asked();
        Assert.InRange(after[0] - before[0], 1, 20);
        Assert.All(Enumerable.Range(1, Services - 1), i => Assert.Equal(before[i], after[i]));

        // 2. The metric tells of every one of them.
        await Eventually.True(
            async () => Math.Abs(await here.Gateway.Metric("gateway_catalog_requests_total") - counted - (here.Between.Asked.Length - all)) <= Services + 2,
            "the metric counts what was asked");
    }

    [ConsulFact]
    public async Task Services_of_others_cost_no_question_about_ours()
    {
        await using Setting here = await Setting.Start();
        int[] before = here.Asked();
        int list = here.Between.Count("/v1/catalog/services");
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < 200; i++)
        {
            await here.Consul.Register(new Registration($"batch-{i}", $"batch-{i}", 1000 + i, "batch"));
            await here.Consul.Deregister($"batch-{i}");
        }

        await here.Consul.Register(here.Server.AsService("last", "production", $"internal-listen-http-{here.Last}"));
        await Platform.Serves(here.Last, "one");
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        Assert.Equal(before, here.Asked());

        // The list of services moves with each of them: burst 5, then 5 a second.
        Assert.InRange(here.Between.Count("/v1/catalog/services") - list, 1, 7 + (int)(seconds * 5));
    }

    [ConsulFact]
    public async Task Consul_that_never_blocks_meets_a_limit()
    {
        await using Setting here = await Setting.Start();
        here.Between.Script = static path => path.Contains("index=", StringComparison.Ordinal)
            ? new Interference { Instead = path[..path.IndexOf('?', StringComparison.Ordinal)] }
            : null;
        here.Between.Break();
        int[] before = here.Asked();
        long start = Stopwatch.GetTimestamp();
        int[] after = before;
        await Eventually.True(
            () =>
            {
                // Consul's index moves, or each answer would repeat the last one.
                after = here.Asked();
                return after.Zip(before).All(static pair => pair.First - pair.Second >= 12);
            },
            "every watch has asked twelve times",
            seconds: 30);
        double elapsed = Stopwatch.GetElapsedTime(start).TotalSeconds;
        Assert.All(after.Zip(before), pair => Assert.InRange(pair.First - pair.Second, 12, 10 + (int)Math.Ceiling(elapsed * 5)));
        Assert.Equal("one", (await Wire.Get(here.Ports[3])).ServedBy);
    }

    private sealed class Setting : IAsyncDisposable
    {
        public required ConsulProcess Consul { get; init; }

        public required ConsulBetween Between { get; init; }

        public required NodeServer Server { get; init; }

        public required GatewayProcess Gateway { get; init; }

        public required int[] Ports { get; init; }

        public int Last { get; } = Harness.Ports.Production();

        public static async Task<Setting> Start()
        {
            ConsulProcess consul = await ConsulProcess.Start();
            ConsulBetween between = new(consul);
            NodeServer server = await NodeServer.Start("one");
            int[] ports = [.. Enumerable.Range(0, Services).Select(static _ => Harness.Ports.Production())];
            for (int i = 0; i < Services; i++)
            {
                await consul.Register(server.AsService($"s{i}", "production", $"internal-listen-http-{ports[i]}"));
            }

            GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(between.Address));
            Setting made = new() { Consul = consul, Between = between, Server = server, Gateway = gateway, Ports = ports };
            foreach (int port in ports)
            {
                await Platform.Serves(port, "one");
            }

            await Eventually.True(() => Array.TrueForAll(Enumerable.Range(0, Services).ToArray(), made.Waits), "every watch waits");
            return made;
        }

        /// <summary>How often each service was asked about.</summary>
        public int[] Asked() => [.. Enumerable.Range(0, Services).Select(i => Between.Count($"/v1/health/service/s{i}?"))];

        public async ValueTask DisposeAsync()
        {
            Gateway.Dispose();
            Server.Dispose();
            Between.Dispose();
            await Consul.DisposeAsync();
        }

        private bool Waits(int service) => Between.Asked.Any(path =>
            path.StartsWith($"/v1/health/service/s{service}?", StringComparison.Ordinal) && path.Contains("index=", StringComparison.Ordinal));
    }
}
