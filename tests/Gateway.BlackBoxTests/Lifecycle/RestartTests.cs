using System.Globalization;
using System.Text.Json;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Lifecycle;

/// <summary>
/// Issue 3, 6 and SPEC §7. Goal: a restart hurts nobody who waits for an answer: the old process closes its ports after its grace
/// and ends what is in flight, while the next one already serves on the same state directory. Method: service-wrapper, which takes
/// every error and every changed index for a new configuration, with its long poll open across restarts. (Between the close of the
/// ports and their opening a new connection is refused; only a handoff of sockets ends that.)
/// </summary>
public sealed class RestartTests
{
    [ConsulFact]
    [Trait("Needs", "consul")]
    public async Task Open_long_polls_see_no_error_and_no_changed_index_over_restarts()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        await consul.PutKey("app/production/x/GREETING", "hello");
        int port = Ports.Any();
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(
            consul,
            $$"""
            static:
              consul: { port: {{port}}, servers: ["127.0.0.1:{{consul.HttpPort}}"], check: none, forwardedFor: off, timeouts: { response: 15m } }
            drain: { grace: 300ms, idle: 300ms, timeout: 60s }
            """));
        await Eventually.True(() => Wire.Accepts(port), "the port opens");
        using NodeServer wrapper = await NodeServer.StartServiceWrapper(port, "app/production/x", wait: "8s");

        for (int restart = 0; restart < 3; restart++)
        {
            // A poll that has just begun: it lasts longer than the restart takes.
            int polls = Count(wrapper, "same");
            await Eventually.True(() => Count(wrapper, "open") > polls, "a poll is open");
            using ChildProcess old = gateway.TerminateAndStart();
            await Eventually.True(async () => await Status(gateway) == gateway.Pid, "the next one answers on the admin address", seconds: 7);
            await gateway.Ready(seconds: 7);
            Assert.False(old.HasExited, "the old one is gone before the poll that it holds has ended");
            Assert.Equal(200, (await Wire.Get(port, "/v1/kv/app/production/x/?recurse")).Status);

            await Eventually.True(() => Count(wrapper, "same") > polls, "the poll ends");
            Assert.Equal(0, await old.WaitForExit(20));
            CommandResult status = await gateway.Command("status");
            Assert.True(status.Exit == 0, status.All);
            Assert.Contains(gateway.Pid.ToString(CultureInfo.InvariantCulture), status.Out, StringComparison.Ordinal);
        }

        Assert.True(Count(wrapper, "changed") == 0, wrapper.Output);

        // It does see a change, or it would prove nothing.
        await consul.PutKey("app/production/x/GREETING", "good bye");
        await Eventually.True(() => Count(wrapper, "changed") == 1, "the change is seen");
    }

    [Fact]
    public async Task Beside_a_live_one_the_next_still_gives_up()
    {
        await using Scenario scenario = await Scenario.Start();
        CommandResult second = await GatewayProcess.Run(["run", "--config", scenario.Gateway.ConfigFile]);
        Assert.Equal(1, second.Exit);
        Assert.Contains($"pid {scenario.Gateway.Pid}", second.All, StringComparison.Ordinal);
    }

    private static int Count(NodeServer wrapper, string state) =>
        wrapper.Output.Split('\n').Count(line => line.Contains($"\"state\":\"{state}\"", StringComparison.Ordinal));

    private static async Task<int> Status(GatewayProcess gateway)
    {
        JsonElement status = (await Wire.Get(gateway.AdminPort, "/api/v1/status")).Json.RootElement;
        return status.GetProperty("pid").GetInt32();
    }
}
