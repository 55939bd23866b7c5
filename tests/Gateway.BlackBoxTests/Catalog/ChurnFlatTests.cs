using System.Diagnostics;
using System.Net.Http.Json;
using System.Text.Json;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// The short form of <c>bench/churn</c> (P13). Goal: changes of the catalog leave nothing behind: descriptors and timers are what
/// they were once the churn is over, memory does not grow with it, and no request fails. Method: the embedded catalog, twenty
/// services that come, change and go, fifteen hundred changes at sixty a second under a light load that runs on; the process is
/// measured after a first round, which warms everything up, and after the last.
/// </summary>
[Collection(Alone.Name)]
public sealed class ChurnFlatTests
{
    private const int Services = 20;
    private const int PerSecond = 60;
    private const long MemorySlack = 64 * 1024 * 1024;

    [Fact]
    public async Task Churn_leaves_no_descriptor_no_timer_and_no_memory_behind()
    {
        using NodeServer server = await NodeServer.Start("one", tcp: true);
        int catalog = Ports.Any(), http = Ports.Production(), tcp = Ports.Production();
        using GatewayProcess gateway = await GatewayProcess.StartReady(
            $$"""
            catalog: { embedded: { listen: "127.0.0.1:{{catalog}}" }, portGrace: 300ms }
            internal: { addresses: [127.0.0.1] }
            """);
        using HttpClient client = new() { BaseAddress = new Uri($"http://127.0.0.1:{catalog}") };
        await Register("steady", "steady-1", server.Port, $"internal-listen-http-{http}");
        await Register("steady-tcp", "steady-tcp-1", server.TcpPort, $"internal-listen-tcp-{tcp}");
        await Platform.Serves(http, "one");
        await Eventually.True(() => Wire.Accepts(tcp), "the TCP port opens");
        (int First, int Second)[] ports = [.. Enumerable.Range(0, Services).Select(static _ => (Ports.Production(), Ports.Production()))];

        LoadClient load = new LoadClient().Http(http, keepAlive: 2, fresh: 1).Tcp(tcp, kept: 1, fresh: 1);
        await Churn(300);
        await Gone();
        (double descriptors, double timers, long memory) = await Measure();

        await Churn(1200);
        await Gone();

        // Connections of the load itself come and go: a few more or less at the moment of a sample are none of a leak's hundreds.
        (double Descriptors, double Timers, long Memory) after = default;
        await Eventually.True(
            async () =>
            {
                after = await Measure();
                return after.Descriptors <= descriptors + 12 && after.Timers <= timers + 12;
            },
            $"descriptors and timers are back at {descriptors} and {timers}",
            seconds: 60,
            now: () => after.ToString());
        LoadReport report = await load.Stop();
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"descriptors {descriptors} -> {after.Descriptors}, timers {timers} -> {after.Timers}, anonymous memory {memory >> 20} -> {after.Memory >> 20} MiB; {report}");
        Assert.True(after.Memory <= memory + MemorySlack, $"anonymous memory {memory} -> {after.Memory}");
        Assert.True(report.Failures == 0 && report.Renewals == 0, report.ToString());
        Assert.Equal(0, await gateway.Metric("gateway_connections_closed_by_apply_total"));

        async Task<(double Descriptors, double Timers, long Memory)> Measure() =>
            (await gateway.Metric("process_open_fds"), await gateway.Metric("dotnet_timers"), gateway.Process.AnonymousBytes());

        async Task Churn(int changes)
        {
            long start = Stopwatch.GetTimestamp();
            for (int change = 0; change < changes; change++)
            {
                int service = change % Services;
                (string name, (int first, int second)) = ($"churn-{service}", ports[service]);
                await ((change / Services % 5) switch
                {
                    0 => Register(name, $"{name}-1", server.Port, $"internal-listen-http-{first}"),
                    1 => Register(name, $"{name}-1", server.Port, $"internal-listen-http-{first}", $"internal-listen-http-{second}"),
                    2 => Register(name, $"{name}-1", server.TcpPort, $"internal-listen-tcp-{second}", "balance-leastconn"),
                    3 => Register(name, $"{name}-2", server.Port, $"internal-listen-http-{first}", "gateway-check.interval=1s"),
                    _ => Deregister(name),
                });
                TimeSpan early = TimeSpan.FromSeconds((double)(change + 1) / PerSecond) - Stopwatch.GetElapsedTime(start);
                if (early > TimeSpan.Zero)
                {
                    await Task.Delay(early);
                }
            }
        }

        async Task Gone()
        {
            for (int service = 0; service < Services; service++)
            {
                await Deregister($"churn-{service}");
            }

            await Eventually.True(async () => await gateway.Metric("gateway_listeners") == 4, "only the steady ports are open");
        }

        // Who was never registered cannot be deregistered: 404, and fine.
        async Task Put(string path, object? body)
        {
            using HttpContent? content = body is null ? null : JsonContent.Create(body, options: JsonSerializerOptions.Default);
            using HttpResponseMessage answer = await client.PutAsync(path, content);
            Assert.True(answer.IsSuccessStatusCode || body is null, $"PUT {path}: {(int)answer.StatusCode}");
        }

        async Task Register(string name, string id, int port, params string[] tags) =>
            await Put("/v1/agent/service/register", new Registration(name, id, port, ["production", .. tags]));

        async Task Deregister(string name)
        {
            await Put($"/v1/agent/service/deregister/{name}-1", null);
            await Put($"/v1/agent/service/deregister/{name}-2", null);
        }
    }
}
