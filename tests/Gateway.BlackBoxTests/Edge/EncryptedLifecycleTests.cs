using System.Net;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Edge;

/// <summary>
/// Goal: what holds for plain connections holds for encrypted ones: SIGTERM lets requests in flight end on HTTP/1.1 and HTTP/2 and
/// then closes politely. The edge also comes and goes by reload. Method: a gateway that ends with the test, so this test is alone.
/// </summary>
[Trait("Needs", "consul")]
public sealed class EncryptedLifecycleTests(EdgePlatform edge) : IClassFixture<EdgePlatform>
{
    [ConsulFact]
    public async Task Drain_lets_encrypted_requests_end_and_edge_ports_come_and_go_by_reload()
    {
        NodeServer server = await edge.Serve("edge-drain", "one", "production", "external-host-drain.domain.com");
        await edge.Serves("drain.domain.com", "one");

        // 1. Without external the ports close; a kept connection goes on to its end; with it they open again.
        using HttpClient kept = edge.Client();
        Assert.Equal(200, (await edge.Get(kept, tls: true, "drain.domain.com")).Answer.Status);
        string with = edge.Configuration(more: "drain: { grace: 0s, idle: 300ms, timeout: 20s }\n");
        edge.Gateway.Configure(with.Replace("  http:", "  # http:", StringComparison.Ordinal).Replace("  https:", "  # https:", StringComparison.Ordinal));
        Assert.Equal(0, (await edge.Gateway.Command("reload")).Exit);
        await Platform.Closed(edge.Http);
        await Platform.Closed(edge.Https);
        edge.Gateway.Configure(with);
        Assert.Equal(0, (await edge.Gateway.Command("reload")).Exit);
        await edge.Serves("drain.domain.com", "one");

        // 2. SIGTERM with a request under way on each kind of connection.
        using HttpClient one = edge.Client();
        using HttpClient two = edge.Client();
        Task<EdgeAnswer> slow = edge.Get(one, tls: true, "drain.domain.com", "/slow?ms=2000");
        Task<EdgeAnswer> slow2 = edge.Get(two, tls: true, "drain.domain.com", "/slow?ms=2000", HttpVersion.Version20);
        await Eventually.True(async () => await server.Seen("/slow") == 2, "both requests are in flight");
        edge.Gateway.Send(Signal.Terminate);
        await Platform.Closed(edge.Https, seconds: 5);
        Assert.Equal((200, 200), ((await slow).Answer.Status, (await slow2).Answer.Status));
        Assert.Equal(0, await edge.Gateway.WaitForExit(10));
    }
}
