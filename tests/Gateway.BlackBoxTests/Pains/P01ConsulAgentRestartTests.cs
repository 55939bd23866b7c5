using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Pains;

/// <summary>
/// P1, routes wiped when the Consul agent restarts. Goal: a client agent that leaves, as Consul's clients do on SIGTERM by default,
/// takes its services out of the catalog for a while, and costs no request: neither where the gateway asks that agent nor on other
/// hosts, where services of three lose all of them at once. Method: a server and a client agent, one gateway at each, load through
/// both over two restarts of the client.
/// </summary>
[Trait("Needs", "consul")]
public sealed class P01ConsulAgentRestartTests
{
    [ConsulFact]
    public async Task Agent_that_leaves_and_returns_costs_no_request_here_or_elsewhere()
    {
        await using ConsulProcess main = await ConsulProcess.Start();
        await using ConsulProcess client = await ConsulProcess.StartClient(main);
        using NodeServer a = await NodeServer.Start("a", tcp: true);
        using NodeServer b = await NodeServer.Start("b", tcp: true);
        using NodeServer c = await NodeServer.Start("c", tcp: true);
        int http = Ports.Production(), tcp = Ports.Production(), later = Ports.Production();
        foreach (NodeServer server in new[] { a, b, c })
        {
            await client.Register(server.AsService("agent", "production", $"internal-listen-http-{http}"));
            await client.Register(new Registration(
                "agent-tcp", $"agent-tcp-{server.Id}", server.TcpPort, "production", $"internal-listen-tcp-{tcp}"));
        }

        using GatewayProcess here = await GatewayProcess.StartReady(Platform.Configuration(client).Replace(
            "[127.0.0.1, \"::1\", 127.0.0.2]", "[127.0.0.1]", StringComparison.Ordinal));
        using GatewayProcess elsewhere = await GatewayProcess.StartReady(Platform.Configuration(main).Replace(
            "[127.0.0.1, \"::1\", 127.0.0.2]", "[127.0.0.3]", StringComparison.Ordinal));
        foreach (string address in new[] { "127.0.0.1", "127.0.0.3" })
        {
            await Platform.Serves(http, "a", address);
            await Platform.Serves(http, "b", address);
            await Platform.Serves(http, "c", address);
            await Eventually.True(() => Wire.Accepts(tcp, address), $"{address}:{tcp} opens");
        }

        LoadClient load = new LoadClient()
            .Http(http, keepAlive: 1, fresh: 1).Tcp(tcp, kept: 1, fresh: 1)
            .Http(http, keepAlive: 1, fresh: 1, address: "127.0.0.3").Tcp(tcp, kept: 1, fresh: 1, address: "127.0.0.3");
        for (int restart = 0; restart < 2; restart++)
        {
            await client.Terminate();
            await Eventually.True(
                async () => !(await main.Get("/v1/catalog/services")).Contains("agent", StringComparison.Ordinal), "the services left the catalog");
            await here.Problem("consul-unreachable");
            await elsewhere.Problem("removal-held", "agent-a");

            await client.Restart();
            await Eventually.True(
                async () => (await main.Get("/v1/catalog/services")).Contains("agent-tcp", StringComparison.Ordinal), "the services are back in the catalog", 40);
            await Free(here, "consul-");
            await Free(elsewhere, "removal-held");
        }

        await client.Register(a.AsService("afterwards", "production", $"internal-listen-http-{later}"));
        await Platform.Serves(later, "a", "127.0.0.1", 30);
        await Platform.Serves(later, "a", "127.0.0.3", 30);
        LoadReport report = await load.Stop();
        Assert.True(report.Failures == 0 && report.Renewals == 0, report.ToString());
    }

    private static Task Free(GatewayProcess gateway, string problem) => Eventually.True(
        async () => !(await gateway.Problems()).Any(p => GatewayProcess.Plain(p).Contains(problem, StringComparison.Ordinal)),
        $"no problem '{problem}' any more",
        40);
}
