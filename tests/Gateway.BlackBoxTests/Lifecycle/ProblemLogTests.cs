using System.Net;
using System.Net.Sockets;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Lifecycle;

/// <summary>
/// Goal: the log says each problem in one line when it comes and one when it goes, whoever found it; the history of plans may tell of it
/// too. Method: what used to be said twice: a Consul that is killed, a taken port, a refused reload. Lines that name it are counted
/// once the problem is gone again, when whoever would repeat it has had its turn.
/// </summary>
public sealed class ProblemLogTests
{
    [ConsulFact]
    [Trait("Needs", "consul")]
    public async Task A_killed_Consul_is_said_once()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(consul));
        consul.Kill();
        await gateway.Problem("consul-unreachable");
        await consul.Restart();
        await Gone(gateway, "consul-unreachable");
        Once(gateway, "consul-unreachable");
    }

    [Fact]
    public async Task A_taken_port_is_said_once()
    {
        Socket taken = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        int port = Ports.Production();
        taken.Bind(new IPEndPoint(IPAddress.Loopback, port));
        taken.Listen();
        using GatewayProcess gateway = await GatewayProcess.StartReady(
            Scenario.Configuration(),
            files: ("catalog.yaml", Scenario.Catalog(new Registration("web", "web-1", Ports.Any(), "production", $"internal-listen-http-{port}", "gateway-check=none"))));
        await gateway.Problem("port-in-use");
        taken.Dispose();
        await Gone(gateway, "port-in-use");
        Once(gateway, "port-in-use");
    }

    [Fact]
    public async Task A_refused_reload_is_said_once_for_each_try_and_stands_as_a_problem()
    {
        await using Scenario scenario = await Scenario.Start();
        scenario.Gateway.Configure(Scenario.Configuration("no-such-key: 1"));
        Assert.Equal(1, (await scenario.Gateway.Command("reload")).Exit);
        await scenario.Gateway.Problem("reload-refused", "no-such-key");
        Assert.Equal(1, (await scenario.Gateway.Command("reload")).Exit);
        scenario.Gateway.Configure(Scenario.Configuration());
        Assert.Equal(0, (await scenario.Gateway.Command("reload")).Exit);
        await Eventually.True(async () => (await scenario.Gateway.Problems()).Length == 0, "the problem is gone");
        string[] lines = Lines(scenario.Gateway, "no-such-key");
        Assert.True(lines.Length == 2, $"{lines.Length} lines for 2 tries:\n{string.Join('\n', lines)}");
    }

    private static async Task Gone(GatewayProcess gateway, string code)
    {
        await Eventually.True(async () => (await gateway.Problems()).Length == 0, $"{code} is gone", 60);
        await Eventually.True(() => gateway.Output.Contains($"problem {code} is gone", StringComparison.Ordinal), "the log says so");
    }

    private static void Once(GatewayProcess gateway, string code)
    {
        string[] lines = [.. Lines(gateway, code).Where(l => !l.Contains("is gone", StringComparison.Ordinal))];
        Assert.True(lines.Length == 1, $"{lines.Length} lines say {code}:\n{string.Join('\n', lines)}");
    }

    private static string[] Lines(GatewayProcess gateway, string word) =>
    [
        .. gateway.Output.Split('\n').Where(l => l.Contains(word, StringComparison.Ordinal) && !l.Contains(" applied in ", StringComparison.Ordinal)),
    ];
}
