using System.Diagnostics;
using System.Net.Sockets;
using Gateway.DataPlane.Tcp;
using Gateway.IntegrationTests.DataPlane.Listening;
using Gateway.Observability;
using Gateway.Planning;

namespace Gateway.IntegrationTests.DataPlane.Tcp;

/// <summary>Goal: bytes, FINs and resets pass, on the loops and on tasks alike.</summary>
public abstract class TcpLaneTests(bool onLoops)
{
    public sealed class OnLoops() : TcpLaneTests(true);

    public sealed class OnTasks() : TcpLaneTests(false);

    [Fact]
    public async Task A_client_that_is_done_sending_still_reads_the_whole_answer()
    {
        using Socket server = RelayKit.Server();
        await using RelayKit kit = Kit(destinations: RelayKit.At(server));
        (Socket client, Socket behind) = await kit.Establish(server);
        await client.SendText("question");
        client.Shutdown(SocketShutdown.Send);

        // The server answers only after the end of the question: the FIN must have come through.
        Assert.Equal("question", await behind.ReceiveToEnd());
        await behind.SendText("answer");
        behind.Dispose();
        Assert.Equal("answer", await client.ReceiveToEnd());

        AccessRecord record = await kit.NextRecord();
        Assert.Equal(("client-closed", 8L, 6L), (record.Reason, record.BytesIn, record.BytesOut));
        Assert.Equal(
            ($":{kit.Port}", "orders", "production", "TCP"),
            (record.Listener, record.Service, record.Environment, record.Protocol));
        Assert.Equal(("n1/orders-0", RelayKit.At(server)), (record.Destination, record.DestinationAddress));
        Assert.Equal(client.LocalEndPoint, record.Client);
        Assert.True(record.ConnectMs >= 0 && record.TotalMs >= record.ConnectMs && record.ResponseMs == -1);
        client.Dispose();
    }

    [Fact]
    public async Task A_server_that_speaks_first_is_heard_while_the_client_waits()
    {
        using Socket server = RelayKit.Server();
        await using RelayKit kit = Kit(destinations: RelayKit.At(server));
        (Socket client, Socket behind) = await kit.Establish(server);
        Task<string> banner = client.ReceiveText(6);
        Assert.False(banner.IsCompleted);
        await behind.SendText("hello\n");
        Assert.Equal("hello\n", await banner);
        await client.SendText("bye");
        Assert.Equal("bye", await behind.ReceiveText(3));
        client.Dispose();
        Assert.Equal("", await behind.ReceiveToEnd());
        behind.Dispose();
        Assert.Equal("client-closed", (await kit.NextRecord()).Reason);
    }

    [Fact]
    public async Task A_server_that_closes_first_can_still_be_sent_to()
    {
        using Socket server = RelayKit.Server();
        await using RelayKit kit = Kit(destinations: RelayKit.At(server));
        (Socket client, Socket behind) = await kit.Establish(server);
        await behind.SendText("done");
        behind.Shutdown(SocketShutdown.Send);
        Assert.Equal("done", await client.ReceiveToEnd());
        await client.SendText("thanks");
        client.Dispose();
        Assert.Equal("thanks", await behind.ReceiveToEnd());
        behind.Dispose();
        Assert.Equal("server-closed", (await kit.NextRecord()).Reason);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_reset_on_one_side_is_a_reset_on_the_other(bool byClient)
    {
        using Socket server = RelayKit.Server();
        await using RelayKit kit = Kit(destinations: RelayKit.At(server));
        (Socket client, Socket behind) = await kit.Establish(server);
        await client.SendText("x");
        Assert.Equal("x", await behind.ReceiveText(1));
        (Socket one, Socket other) = byClient ? (client, behind) : (behind, client);
        one.LingerState = new LingerOption(true, 0);
        one.Dispose();

        SocketException reset = await Assert.ThrowsAsync<SocketException>(() => other.ReceiveText(1));
        Assert.Equal(SocketError.ConnectionReset, reset.SocketErrorCode);
        other.Dispose();
        Assert.Equal("reset", (await kit.NextRecord()).Reason);
    }

    [Fact]
    public async Task A_slow_reader_stops_the_sender_and_gets_every_byte()
    {
        using Socket server = RelayKit.Server(receiveBuffer: 64 * 1024);
        await using RelayKit kit = Kit(destinations: RelayKit.At(server));
        (Socket client, Socket behind) = await kit.Establish(server);
        client.SendBufferSize = 64 * 1024;
        client.Blocking = false;
        byte[] chunk = new byte[64 * 1024];
        long sent = 0;

        // The kernel's buffers on the way are the only room: with nobody reading, the sender comes to a stand.
        Stopwatch still = Stopwatch.StartNew();
        while (still.Elapsed < TimeSpan.FromMilliseconds(500))
        {
            int written = client.Send(chunk, SocketFlags.None, out SocketError error);
            if (error == SocketError.Success && written > 0)
            {
                sent += written;
                still.Restart();
                Assert.True(sent < 64L * 1024 * 1024, "nothing stops the sender");
            }
            else
            {
                await Task.Delay(5);
            }
        }

        client.Shutdown(SocketShutdown.Send);
        Assert.Equal(sent, await CountToEnd(behind).InTime());
        behind.Dispose();
        client.Dispose();
        Assert.Equal(sent, (await kit.NextRecord()).BytesIn);
    }

    [Fact]
    public async Task A_refused_connect_goes_to_another_instance()
    {
        using Socket server = RelayKit.Server();
        await using RelayKit kit = Kit(destinations: [RelayKit.Refusing(), RelayKit.Refusing(), RelayKit.At(server)]);
        (Socket client, Socket behind) = await kit.Establish(server);
        await SocketKit.Until(async () => (await kit.Lane.ListAsync()).All(r => r.Destination.Length > 0), "the relay is established");
        Assert.Equal([0, 0, 1], kit.Destinations.Select(d => d.InFlight));
        RelayView view = Assert.Single(await kit.Lane.ListAsync());
        Assert.Equal((RelayKit.At(server), "n1/orders-2"), (view.DestinationAddress, view.Destination));
        await client.SendText("x");
        Assert.Equal("x", await behind.ReceiveText(1));
        client.Dispose();
        behind.Dispose();
        AccessRecord record = await kit.NextRecord();
        Assert.Equal((2, "n1/orders-2"), (record.Retries, record.Destination));
        Assert.Equal([1, 1, 0], kit.Destinations.Select(d => d.Failures));
    }

    [Fact]
    public async Task At_most_three_instances_are_tried()
    {
        using Socket server = RelayKit.Server();
        await using RelayKit kit = Kit(
            destinations: [RelayKit.Refusing(), RelayKit.Refusing(), RelayKit.Refusing(), RelayKit.At(server)]);
        using Socket client = await kit.Connect();
        Assert.Equal("", await client.ReceiveToEnd());
        AccessRecord record = await kit.NextRecord();
        Assert.Equal(("connect-failed", 2, -1.0), (record.Reason, record.Retries, record.ConnectMs));
    }

    [Fact]
    public async Task Without_an_instance_the_connection_is_closed()
    {
        await using RelayKit kit = Kit();
        using Socket client = await kit.Connect();
        Assert.Equal("", await client.ReceiveToEnd());
        Assert.Equal(("no-instance", ""), ((await kit.NextRecord()).Reason, ""));
    }

    [Fact]
    public async Task A_connect_that_takes_too_long_is_given_up()
    {
        // A queue of one that nobody empties: once full, the kernel drops further connects on the floor.
        using Socket deaf = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        deaf.Bind(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 0));
        deaf.Listen(0);
        List<Socket> fillers = [];
        for (int i = 0; i < 4; i++)
        {
            Socket filler = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { Blocking = false };
            fillers.Add(filler);
            _ = filler.ConnectAsync(deaf.LocalEndPoint!).ContinueWith(t => t.Exception, TaskScheduler.Default);
        }

        using Socket server = RelayKit.Server();
        await using RelayKit kit = Kit(
            new TimeoutsPlan { Connect = TimeSpan.FromMilliseconds(200) }, null, RelayKit.At(deaf), RelayKit.At(server));
        (Socket client, Socket behind) = await kit.Establish(server);
        await behind.SendText("x");
        Assert.Equal("x", await client.ReceiveText(1));
        client.Dispose();
        behind.Dispose();
        Assert.Equal(1, (await kit.NextRecord()).Retries);
        fillers.ForEach(f => f.Dispose());
    }

    [Fact]
    public async Task A_name_is_resolved()
    {
        using Socket server = RelayKit.Server();
        int port = ((System.Net.IPEndPoint)server.LocalEndPoint!).Port;
        await using RelayKit kit = Kit(destinations: ["no-such-name.invalid:1", $"localhost:{port}"]);
        (Socket client, Socket behind) = await kit.Establish(server);
        await behind.SendText("x");
        Assert.Equal("x", await client.ReceiveText(1));
        client.Dispose();
        behind.Dispose();
        Assert.Equal(1, (await kit.NextRecord()).Retries);
    }

    [Fact]
    public async Task A_silent_relay_ends_and_a_speaking_one_goes_on()
    {
        SettableTime time = new();
        using Socket server = RelayKit.Server();
        await using RelayKit kit = Kit(new TimeoutsPlan { Tunnel = TimeSpan.FromMinutes(1) }, time, RelayKit.At(server));
        (Socket silent, Socket behindSilent) = await kit.Establish(server);
        (Socket speaking, Socket behindSpeaking) = await kit.Establish(server);
        await SocketKit.Until(async () => (await kit.Lane.ListAsync()).All(r => r.Destination.Length > 0), "both are established");
        time.Advance(TimeSpan.FromSeconds(40));
        await behindSpeaking.SendText("x");
        Assert.Equal("x", await speaking.ReceiveText(1));
        time.Advance(TimeSpan.FromSeconds(40));
        kit.Lane.Sweep();

        Assert.Equal("", await silent.ReceiveToEnd());
        Assert.Equal("", await behindSilent.ReceiveToEnd());
        Assert.Equal("idle", (await kit.NextRecord()).Reason);
        await speaking.SendText("y");
        Assert.Equal("y", await behindSpeaking.ReceiveText(1));
        Assert.Equal(1, kit.Lane.Relays);
        foreach (Socket socket in new[] { silent, behindSilent, speaking, behindSpeaking })
        {
            socket.Dispose();
        }
    }

    [Fact]
    public async Task Open_relay_survives_the_removal_of_its_listener_and_ends_at_the_abort()
    {
        using Socket server = RelayKit.Server();
        await using RelayKit kit = Kit(destinations: RelayKit.At(server));
        (Socket client, Socket behind) = await kit.Establish(server);
        await kit.Set.CloseAsync([SocketKit.Plan(kit.Port)]);
        await kit.Set.StopAcceptingAsync();
        await client.SendText("still");
        Assert.Equal("still", await behind.ReceiveText(5));

        Assert.Equal(1, kit.Lane.AbortAll());
        await Assert.ThrowsAsync<SocketException>(() => client.ReceiveText(1));
        await Assert.ThrowsAsync<SocketException>(() => behind.ReceiveText(1));
        Assert.Equal("aborted", (await kit.NextRecord()).Reason);
        client.Dispose();
        behind.Dispose();
    }

    [Fact]
    public async Task Many_short_relays_leave_nothing_behind()
    {
        using Socket server = RelayKit.Server();
        await using RelayKit kit = Kit(destinations: RelayKit.At(server));
        using Socket warm = await kit.Connect();
        Task serving = Task.Run(async () =>
        {
            for (int i = 0; i < 501; i++)
            {
                Socket behind = await server.AcceptAsync().InTime();
                ListenerSetTests.Echo(new(SocketKit.Plan(1)), behind);
            }
        });
        await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => Task.Run(async () =>
        {
            for (int i = 0; i < 50; i++)
            {
                using Socket client = await SocketKit.Connect(kit.Port);
                await client.SendText("ping");
                client.Shutdown(SocketShutdown.Send);
                Assert.Equal("ping", await client.ReceiveToEnd());
            }
        })));
        await serving.InTime();
        warm.Dispose();
        await SocketKit.Until(() => kit.Records.Count == 501, "every relay is recorded");
        Assert.All(kit.Records, r => Assert.Equal("client-closed", r.Reason));
        Assert.Equal(0, kit.Lane.Relays);
    }

    private RelayKit Kit(TimeoutsPlan? timeouts = null, TimeProvider? time = null, params string[] destinations) =>
        new(onLoops, timeouts, time, destinations);

    internal static async Task<long> CountToEnd(Socket socket)
    {
        byte[] buffer = new byte[256 * 1024];
        long count = 0;
        while (true)
        {
            int read = await socket.ReceiveAsync(buffer.AsMemory(), SocketFlags.None);
            if (read == 0)
            {
                return count;
            }

            count += read;
        }
    }

    /// <summary>The real clock, moved forward by hand.</summary>
    private sealed class SettableTime : TimeProvider
    {
        private long _ahead;

        public void Advance(TimeSpan by) => Interlocked.Add(ref _ahead, (long)(by.TotalSeconds * TimestampFrequency));

        public override long GetTimestamp() => base.GetTimestamp() + Interlocked.Read(ref _ahead);
    }
}
