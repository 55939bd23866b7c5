using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B29. Goal: however the Consul agent is restarted, and also where it was rebuilt and knows nothing, no request fails and no
/// connection is lost; when it is back, changes flow and nothing stays held. Method: a real agent ended by SIGTERM, by SIGKILL, or
/// rebuilt empty and told everything again as registrators do; Node instances under load, a stream and a relay open throughout.
/// (The gateway's own restart meanwhile: <c>ConsulOutageTests</c>, <c>GuardTests</c>.)
/// </summary>
[Trait("Needs", "consul")]
public sealed class B29ConsulOutageTests
{
    [ConsulTheory]
    [InlineData("SIGTERM")]
    [InlineData("SIGKILL")]
    [InlineData("rebuilt")]
    public async Task No_request_notices_a_restart_of_the_agent(string how)
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        using NodeServer a = await NodeServer.Start("a", tcp: true);
        using NodeServer b = await NodeServer.Start("b", tcp: true);
        int http = Ports.Production(), tcp = Ports.Production(), later = Ports.Production();
        Registration[] all =
        [
            a.AsService("b29", "production", $"internal-listen-http-{http}"),
            b.AsService("b29", "production", $"internal-listen-http-{http}"),
            new Registration("b29-tcp", "b29-tcp-a", a.TcpPort, "production", $"internal-listen-tcp-{tcp}"),
            new Registration("b29-tcp", "b29-tcp-b", b.TcpPort, "production", $"internal-listen-tcp-{tcp}"),
        ];
        await Register(consul, all);
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(consul));
        await Platform.Serves(http, "a");
        await Platform.Serves(http, "b");
        await Eventually.True(() => Wire.Accepts(tcp), "the TCP port opens");
        using CancellationTokenSource deadline = new(Eventually.Seconds(120));
        using EventStream stream = await EventStream.Open(http, deadline.Token);
        LoadClient load = new LoadClient().Http(http, keepAlive: 2, fresh: 1).Tcp(tcp, kept: 1, fresh: 1);

        for (int restart = 0; restart < 2; restart++)
        {
            // 1. It goes, and that is seen.
            if (how == "SIGTERM")
            {
                await consul.Terminate();
            }
            else
            {
                consul.Kill();
            }

            await gateway.Problem("consul-unreachable");

            // 2. It is back; rebuilt, it first says that nobody exists.
            if (how == "rebuilt")
            {
                await consul.Rebuild();
                await gateway.ProblemWithin(40, "removal-held", "b29-tcp-b");
                Assert.Equal(2, (await Platform.Spread(http, 10)).Count);
                await Register(consul, all);
            }
            else
            {
                await consul.Restart();
            }

            await Eventually.True(async () => (await gateway.Problems()).Length == 0, "no problem is left", 40);
            Assert.Equal(2, (await Platform.Spread(http, 10)).Count);
        }

        // 3. Changes flow, and a single deregistration is at once again.
        await consul.Register(a.AsService("b29-later", "production", $"internal-listen-http-{later}"));
        await Platform.Serves(later, "a", seconds: 30);
        await consul.Deregister("b29-b");
        await Eventually.True(async () => (await Platform.Spread(http, 6)).Keys.SequenceEqual(["a"]), "b is gone");
        await stream.Next(deadline.Token);
        await stream.Next(deadline.Token);
        LoadReport report = await load.Stop();
        Assert.True(report.Failures == 0 && report.Renewals == 0, report.ToString());
        Assert.Equal(0, await gateway.Metric("gateway_connections_closed_by_apply_total"));
    }

    private static async Task Register(ConsulProcess consul, Registration[] all)
    {
        foreach (Registration one in all)
        {
            await consul.Register(one);
        }
    }
}
