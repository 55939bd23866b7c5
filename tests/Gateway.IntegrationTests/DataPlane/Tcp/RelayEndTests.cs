using System.Net.Sockets;
using Gateway.Catalog;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Health;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Tcp;
using Gateway.IntegrationTests.DataPlane.Listening;
using Gateway.Observability;
using Gateway.Planning;

namespace Gateway.IntegrationTests.DataPlane.Tcp;

/// <summary>Goal: however a relay ends, and whenever it is told to, neither socket stays behind.</summary>
public sealed class RelayEndTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_relay_that_is_ended_between_connect_and_start_leaves_no_socket(bool abort)
    {
        (Socket client, Socket accepted) = await Pair();
        (Socket destination, Socket behind) = await Pair();
        Relay relay = new(new ListenerState(SocketKit.Plan(1)), accepted, TimeProvider.System);
        using CancellationTokenSource deadline = new();
        Assert.True(relay.BeginConnect(deadline));
        relay.EndConnect();
        if (abort)
        {
            relay.Abort();
        }
        else
        {
            relay.SayGoodbye();
        }

        await relay.RunAsync(Target(), destination, TimeSpan.FromHours(1)).InTime();
        Assert.True(accepted.SafeHandle.IsClosed);
        Assert.True(destination.SafeHandle.IsClosed);
        Assert.Equal(RelayEnd.Aborted, relay.End);
        client.Dispose();
        behind.Dispose();
    }

    [Fact]
    public async Task A_mistake_in_one_direction_ends_both()
    {
        (Socket client, Socket accepted) = await Pair();
        (Socket destination, Socket behind) = await Pair();
        BrokenClock time = new();
        Relay relay = new(new ListenerState(SocketKit.Plan(1)), accepted, time);
        Task running = relay.RunAsync(Target(), destination, TimeSpan.FromHours(1));
        time.Broken = true;
        await client.SendText("x");
        await Assert.ThrowsAsync<InvalidOperationException>(() => running.InTime());
        Assert.True(accepted.SafeHandle.IsClosed);
        Assert.True(destination.SafeHandle.IsClosed);
        client.Dispose();
        behind.Dispose();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task At_a_goodbye_a_slow_reader_still_gets_what_was_read_for_it(bool onLoops)
    {
        using Socket server = RelayKit.Server();
        await using RelayKit kit = new(onLoops, destinations: RelayKit.At(server));
        (Socket client, Socket behind) = await kit.Establish(server);
        using (client)
        using (behind)
        {
            // The server fills every buffer on the way and ends: the relay waits for the client, who reads nothing.
            client.ReceiveBufferSize = 16 * 1024;
            await FillAsync(behind);
            long passed = Assert.Single(await kit.Lane.ListAsync()).BytesOut;
            kit.Lane.SayGoodbye();
            long received = await TcpLaneTests.CountToEnd(client).InTime();
            AccessRecord record = await kit.NextRecord();
            Assert.Equal(("aborted", received), (record.Reason, record.BytesOut));
            Assert.True(received > passed);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_reader_that_is_slow_but_steady_is_not_silent_and_one_that_stands_still_is(bool onLoops)
    {
        MovedTime time = new();
        using Socket server = RelayKit.Server();
        await using RelayKit kit = new(onLoops, new TimeoutsPlan { Tunnel = TimeSpan.FromMinutes(1) }, time, RelayKit.At(server));

        // A buffer of a fixed size: one that the kernel lets grow takes megabytes at once.
        (Socket client, Socket behind) = await kit.Establish(server, receiveBuffer: 64 * 1024);
        using (client)
        using (behind)
        {
            await FillAsync(behind);
            kit.Lane.Sweep();
            long passed = Assert.Single(await kit.Lane.ListAsync()).BytesOut;
            byte[] little = new byte[64 * 1024];
            for (int minute = 0; minute < 4; minute++)
            {
                time.Advance(TimeSpan.FromSeconds(50));
                Assert.True(await client.ReceiveAsync(little).InTime() > 0);
                await client.ReceiveAsync(little).InTime();
                await SocketKit.Until(
                    async () =>
                    {
                        kit.Lane.Sweep();
                        return kit.Lane.Relays == 0 || (await kit.Lane.ListAsync())[0].Silence < TimeSpan.FromSeconds(50);
                    },
                    "the reader is seen to read");
            }

            // It was the kernel that made progress, and nobody else.
            Assert.Equal(passed, Assert.Single(await kit.Lane.ListAsync()).BytesOut);
            await SocketKit.Until(
                () =>
                {
                    time.Advance(TimeSpan.FromSeconds(61));
                    kit.Lane.Sweep();
                    return kit.Lane.Relays == 0;
                },
                "a reader that stands still is silent");
            Assert.Equal("idle", (await kit.NextRecord()).Reason);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task When_the_lane_is_gone_every_relay_is_recorded_and_counted_out(bool onLoops)
    {
        using Socket server = RelayKit.Server();
        RelayKit kit = new(onLoops, destinations: RelayKit.At(server));
        List<Socket> sockets = [];
        for (int i = 0; i < 50; i++)
        {
            (Socket client, Socket behind) = await kit.Establish(server);
            sockets.AddRange([client, behind]);
        }

        await kit.Lane.DisposeAsync();
        Assert.Equal((0, 50, 0), (kit.Lane.Relays, kit.Records.Count, kit.Set.Gate.Open));
        sockets.ForEach(s => s.Dispose());
        await kit.DisposeAsync();
    }

    // Sends until everything on the way is full: no byte was taken for a while.
    private static async Task FillAsync(Socket socket)
    {
        socket.Blocking = false;
        byte[] chunk = new byte[64 * 1024];
        for (int stuck = 0; stuck < 100; stuck++)
        {
            socket.Send(chunk, SocketFlags.None, out SocketError error);
            stuck = error == SocketError.Success ? 0 : stuck;
            await Task.Delay(1);
        }
    }

    private static DestinationState Target() => new(
        new DestinationPlan { Instance = new InstanceKey("n1", "orders-1"), Address = "127.0.0.1", Port = 1 },
        new DestinationHealth());

    private static async Task<(Socket Client, Socket Accepted)> Pair()
    {
        using Socket listener = RelayKit.Server();
        Socket client = await SocketKit.Connect(((System.Net.IPEndPoint)listener.LocalEndPoint!).Port);
        return (client, await listener.AcceptAsync());
    }

    private sealed class BrokenClock : TimeProvider
    {
        public bool Broken { get; set; }

        public override long GetTimestamp() => Broken ? throw new InvalidOperationException("no time") : base.GetTimestamp();
    }

    /// <summary>The real clock, moved forward by hand.</summary>
    private sealed class MovedTime : TimeProvider
    {
        private long _ahead;

        public void Advance(TimeSpan by) => Interlocked.Add(ref _ahead, (long)(by.TotalSeconds * TimestampFrequency));

        public override long GetTimestamp() => base.GetTimestamp() + Interlocked.Read(ref _ahead);
    }
}
