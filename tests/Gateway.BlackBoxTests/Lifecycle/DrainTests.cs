using System.Diagnostics;
using System.Net.WebSockets;
using Gateway.BlackBoxTests.Harness;
using Gateway.BlackBoxTests.Traffic;

namespace Gateway.BlackBoxTests.Lifecycle;

/// <summary>
/// SPEC §7. Goal: SIGTERM loses no request: <c>/readyz</c> turns first, serving goes on for the grace, then nothing new is
/// accepted, what is in flight ends, tunnels and relays get until the deadline, exit 0; a second SIGTERM stops at once.
/// Method: requests, kept connections, a WebSocket and a TCP relay held across the signal.
/// </summary>
public sealed class DrainTests
{
    [Fact]
    public async Task Request_in_flight_finishes_and_readyz_turns_before_the_port_closes()
    {
        await using Scenario scenario = await Scenario.Start("drain: { grace: 2s, idle: 500ms, timeout: 20s }");
        GatewayProcess gateway = scenario.Gateway;
        Task<WireAnswer> slow = Wire.Get(scenario.HttpPort, "/slow?ms=5000");
        await Eventually.True(async () => await scenario.Server.Seen("/slow") == 1, "the slow request is in flight");

        gateway.Send(Signal.Terminate);
        await Eventually.True(async () => (await gateway.Readiness()).Status == 503, "readyz says 503", seconds: 2);
        Assert.Contains("draining", (await gateway.Readiness()).Text, StringComparison.Ordinal);
        Assert.Equal(200, (await Wire.Get(scenario.HttpPort)).Status);   // the grace: balancers before us have not noticed yet

        await Platform.Closed(scenario.HttpPort, seconds: 5);
        await Platform.Closed(scenario.TcpPort, seconds: 5);
        Assert.False(slow.IsCompleted, "the slow request was cut short");
        Assert.Equal(200, (await slow).Status);
        Assert.Equal(0, await gateway.WaitForExit(10));
    }

    [Fact]
    public async Task Kept_connection_is_told_to_close_and_idle_ones_end()
    {
        await using Scenario scenario = await Scenario.Start("drain: { grace: 0s, idle: 400ms, timeout: 20s }");
        using CancellationTokenSource deadline = new(Eventually.Seconds(30));
        using Wire busy = await Wire.Connect(scenario.HttpPort, cancel: deadline.Token);
        using Wire idle = await Wire.Connect(scenario.HttpPort, cancel: deadline.Token);
        await idle.Exchange(Wire.Request("GET", "/", "x"), deadline.Token);
        await busy.Send(Wire.Request("GET", "/slow?ms=2500", "x"), deadline.Token);
        await Eventually.True(async () => await scenario.Server.Seen("/slow") == 1, "the slow request is in flight");

        scenario.Gateway.Send(Signal.Terminate);
        Assert.Empty(await idle.ReadAll(deadline.Token));   // an orderly end, not a reset
        WireAnswer answer = await busy.ReadAnswer(cancel: deadline.Token);
        Assert.Equal(200, answer.Status);
        Assert.False(answer.Reusable, "an answer during the drain says Connection: close");
        Assert.Equal(0, await scenario.Gateway.WaitForExit(10));
    }

    [Fact]
    public async Task Websocket_and_relay_get_until_the_deadline()
    {
        Assert.SkipUnless(NodeServer.HasPackages, "npm ci was not run in tests/fixtures (tests/run.sh does)");
        await using Scenario scenario = await Scenario.Start("drain: { grace: 0s, idle: 200ms, timeout: 4s }");
        using CancellationTokenSource deadline = new(Eventually.Seconds(30));
        using ClientWebSocket socket = new();
        await socket.ConnectAsync(new Uri($"ws://127.0.0.1:{scenario.HttpPort}/chat"), deadline.Token);
        using Wire relay = await Wire.Connect(scenario.TcpPort, cancel: deadline.Token);
        await relay.Send("a", deadline.Token);
        await relay.ReadBytes(1, deadline.Token);

        long start = Stopwatch.GetTimestamp();
        scenario.Gateway.Send(Signal.Terminate);
        await Platform.Closed(scenario.HttpPort, seconds: 3);
        for (int i = 0; i < 3; i++)
        {
            await relay.Send("b", deadline.Token);
            await relay.ReadBytes(1, deadline.Token);
            await socket.SendAsync("b"u8.ToArray(), WebSocketMessageType.Text, true, deadline.Token);
            Assert.Equal("b"u8.ToArray(), await WebSocketTests.Receive(socket, deadline.Token));
        }

        // At the deadline both are told, not cut: 1001 (going away) here, the end of the stream there.
        WebSocketReceiveResult told = await socket.ReceiveAsync(new byte[100], deadline.Token);
        Assert.Equal((WebSocketMessageType.Close, WebSocketCloseStatus.EndpointUnavailable), (told.MessageType, told.CloseStatus));
        await socket.CloseOutputAsync(WebSocketCloseStatus.EndpointUnavailable, null, deadline.Token);
        Assert.Empty(await relay.ReadAll(deadline.Token));

        Assert.Equal(0, await scenario.Gateway.WaitForExit(10));
        Assert.True(Stopwatch.GetElapsedTime(start) > TimeSpan.FromSeconds(3.5), "ended before drain.timeout although both were in use");
    }

    [Fact]
    public async Task Nothing_in_use_means_no_waiting_for_the_deadline()
    {
        await using Scenario scenario = await Scenario.Start("drain: { grace: 200ms, idle: 200ms, timeout: 60s }");
        scenario.Gateway.Send(Signal.Terminate);
        Assert.Equal(0, await scenario.Gateway.WaitForExit(8));
    }

    [Fact]
    public async Task Second_signal_stops_at_once()
    {
        await using Scenario scenario = await Scenario.Start("drain: { grace: 0s, idle: 200ms, timeout: 60s }");
        using CancellationTokenSource deadline = new(Eventually.Seconds(30));
        using EventStream stream = await EventStream.Open(scenario.HttpPort, deadline.Token);
        scenario.Gateway.Send(Signal.Terminate);
        await Platform.Closed(scenario.HttpPort, seconds: 5);
        await stream.Next(deadline.Token);
        scenario.Gateway.Send(Signal.Terminate);
        await scenario.Gateway.WaitForExit(3);
    }

    [Fact]
    public async Task Stop_command_drains_as_the_signal_does()
    {
        await using Scenario scenario = await Scenario.Start("drain: { grace: 0s, idle: 200ms, timeout: 20s }");
        Task<WireAnswer> slow = Wire.Get(scenario.HttpPort, "/slow?ms=1500");
        await Eventually.True(async () => await scenario.Server.Seen("/slow") == 1, "the slow request is in flight");
        CommandResult stop = await scenario.Gateway.Command("stop");
        Assert.True(stop.Exit == 0, stop.All);
        Assert.Equal(200, (await slow).Status);
        Assert.Equal(0, await scenario.Gateway.WaitForExit(10));
    }
}
