using System.Diagnostics;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B6. Goal: a service of which no instance is usable answers 503 at once on a port that stays open, and serves again as soon
/// as one is. Method: kill the instances; fail their health; put them in maintenance.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B06NoInstanceTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Killed_instances_give_503_at_once_and_service_returns_with_them()
    {
        int port = Ports.Production();
        string listen = $"internal-listen-http-{port}";
        NodeServer a = await platform.Serve("b06", "a", "production", listen);
        NodeServer b = await platform.Serve("b06", "b", "production", listen);
        await Platform.Serves(port, "a");
        await Platform.Serves(port, "b");

        a.Kill();
        b.Kill();
        for (int i = 0; i < 10; i++)
        {
            long start = Stopwatch.GetTimestamp();
            WireAnswer answer = await Wire.Get(port);
            Assert.Equal(503, answer.Status);
            Assert.True(answer.Reason is "connect-failed" or "no-instance", answer.Reason);
            Assert.True(Stopwatch.GetElapsedTime(start) < Eventually.Seconds(2), "503 was slow");
        }

        platform.Keep(await NodeServer.Start("a", port: a.Port));
        await Platform.Serves(port, "a", seconds: 15);
    }

    [ConsulFact]
    public async Task All_failing_their_health_check_is_503_and_never_a_panic()
    {
        int port = Ports.Production();
        NodeServer a = await platform.Serve("b06-sick", "a", "production", $"internal-listen-http-{port}", "gateway-check.interval=300ms");
        await Platform.Serves(port, "a");
        await a.Ask("/fail");
        await Platform.Answers(port, 503);
        Assert.Equal("no-instance", (await Wire.Get(port)).Reason);
        await a.Ask("/restore");
        await Platform.Serves(port, "a");
    }

    [ConsulFact]
    public async Task Body_of_our_own_503_is_in_the_clients_language()
    {
        int port = Ports.Production();
        await platform.Consul.Register(new Registration("b06-words", "dead", Ports.Any(), "production", $"internal-listen-http-{port}"));
        await Platform.Answers(port, 503);
        WireAnswer json = await Wire.Get(port, headers: "Accept: application/json");
        Assert.StartsWith("application/json", json.Header("Content-Type"), StringComparison.Ordinal);
        using (json.Json)
        {
            WireAnswer page = await Wire.Get(port, headers: "Accept: text/html");
            Assert.StartsWith("text/html", page.Header("Content-Type"), StringComparison.Ordinal);
        }
    }
}
