using System.Diagnostics;
using Gateway.BlackBoxTests.Edge;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B26. Goal: changes fail and delay no request on any port: internal HTTP of production and staging, TCP, a static service, the
/// edge's HTTP and HTTPS. (HAProxy's reload behind iptables stalled port 80 for 200 ms, and the rest for a second's retry of a SYN.)
/// Method: a thousand flaps of services, tags, hosts, a limit in KV, and reloads of the file, while every port is under load with
/// kept and new connections. What takes 200 ms on a busy machine anyway is known from the same load straight to an instance: a
/// stall per change would be a thousand times that.
/// </summary>
[Trait("Needs", "consul")]
[Collection(Alone.Name)]
public sealed class B26ChangeTests(EdgePlatform edge) : IClassFixture<EdgePlatform>
{
    private const int Flaps = 1000;
    private const int PerSecond = 50;
    private const string Host = "steady.domain.com";

    [ConsulFact]
    public async Task Thousand_flaps_fail_and_delay_no_request_on_any_port()
    {
        int http = Ports.Production(), tcp = Ports.Production(), well = Ports.Any();
        string listen = $"internal-listen-http-{http}";
        NodeServer a = await edge.Serve("b26", "a", "production", listen, $"external-host-{Host}");
        await edge.Serve("b26", "b", "production", listen, $"external-host-{Host}");
        await edge.Serve("b26", "s", "staging", listen);
        using NodeServer echo = await NodeServer.Start("echo", tcp: true);
        await edge.Consul.Register(new Registration("b26-tcp", "b26-tcp-1", echo.TcpPort, "production", $"internal-listen-tcp-{tcp}"));
        string known = $"static:\n  well: {{ port: {well}, servers: [\"127.0.0.1:{echo.Port}\"], check: {{ http: /ping }} }}\n";
        edge.Gateway.Configure(edge.Configuration(more: known));
        Assert.Equal(0, (await edge.Gateway.Command("reload")).Exit);
        await edge.Serves(Host, "a");
        await Platform.Serves(http, "b");
        await Platform.Serves(10_000 + http, "s");
        await Platform.Serves(well, "echo");
        await Eventually.True(() => Wire.Accepts(tcp), "the TCP port opens");

        // 1. The load, once warm, and the same one past Gateway.
        using HttpClient plain = edge.Client(), secure = edge.Client(), fresh = edge.Client();
        LoadClient Through() => new LoadClient()
            .Http(http, keepAlive: 1, fresh: 1).Http(10_000 + http, keepAlive: 1, fresh: 1).Http(well, keepAlive: 1, fresh: 1)
            .Tcp(tcp, kept: 1, fresh: 1)
            .Own("edge http", _ => Edge(plain, tls: false))
            .Own("edge https", _ => Edge(secure, tls: true))
            .Own("edge https, new connection", _ => Edge(fresh, tls: true, "Connection: close"));
        LoadClient warm = Through();
        await Eventually.True(() => warm.Requests > 1500, "every lane is warm", 60);
        await warm.Stop();
        LoadClient load = Through();
        LoadClient control = new LoadClient().Http(a.Port, keepAlive: 2, fresh: 2);

        // 2. The flaps.
        (int First, int Second)[] ports = [.. Enumerable.Range(0, 20).Select(static _ => (Ports.Production(), Ports.Production()))];
        long start = Stopwatch.GetTimestamp();
        for (int flap = 0; flap < Flaps; flap++)
        {
            int service = flap % ports.Length;
            await Flap(service, flap / ports.Length, ports[service], a);
            if (flap % 200 == 100)
            {
                edge.Gateway.Configure(edge.Configuration(more: known + $"services: {{ b26: {{ timeouts: {{ response: {100 + flap}s }} }} }}\n"));
                edge.Gateway.Send(Signal.Hangup);
                await edge.Consul.PutKey("service/haproxy/maxconn", $"{4000 + flap}");
            }

            TimeSpan early = TimeSpan.FromSeconds((double)(flap + 1) / PerSecond) - Stopwatch.GetElapsedTime(start);
            if (early > TimeSpan.Zero)
            {
                await Task.Delay(early);
            }
        }

        // 3. The last change is in force, and the load is over.
        int last = Ports.Production();
        await edge.Consul.Register(a.AsService("b26-last", "production", $"internal-listen-http-{last}"));
        await Platform.Serves(last, "a");
        LoadReport report = await load.Stop();
        LoadReport straight = await control.Stop();
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{Flaps} flaps in {Stopwatch.GetElapsedTime(start).TotalSeconds:0.0} s; through Gateway {report}; straight {straight}");
        Assert.True(report.Failures == 0 && report.Renewals == 0, report.ToString());
        Assert.True(report.Requests > 2000, $"too little load to prove anything: {report}");
        Assert.True(report.Delayed <= (straight.Delayed * 3) + (Flaps / 20), $"{report}\nstraight: {straight}");
        Assert.Equal(0, await edge.Gateway.Metric("gateway_connections_closed_by_apply_total"));
        Assert.True(await edge.Gateway.Metric("gateway_plan_applies_total") > Flaps / 10, "the flaps were applied");
    }

    private async Task Edge(HttpClient client, bool tls, params string[] headers)
    {
        WireAnswer answer = (await edge.Get(client, tls, Host, "/load", headers: headers)).Answer;
        if (answer.Status != 200)
        {
            throw new IOException($"{answer.Status} {answer.Reason}");
        }
    }

    private async Task Flap(int service, int round, (int First, int Second) ports, NodeServer target)
    {
        string name = $"flap-{service}";
        switch (round % 5)
        {
            case 0:
                await Tell($"internal-listen-http-{ports.First}");
                break;
            case 1:
                await Tell($"internal-listen-http-{ports.First}", $"internal-listen-http-{ports.Second}", $"external-host-flap-{service}.domain.com");
                break;
            case 2:
                await Tell($"internal-listen-tcp-{ports.Second}", "balance-leastconn", "internal-listen-http-99999");
                break;
            case 3:
                await edge.Consul.Register(new Registration(name, $"{name}-2", Ports.Any(), "staging", $"internal-listen-http-{ports.First}"));
                break;
            default:
                await edge.Consul.Deregister($"{name}-1");
                await edge.Consul.Deregister($"{name}-2");
                break;
        }

        Task Tell(params string[] tags) => edge.Consul.Register(new Registration(name, $"{name}-1", target.Port, ["production", .. tags]));
    }
}
