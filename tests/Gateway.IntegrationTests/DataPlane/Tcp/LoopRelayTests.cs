using System.Net;
using System.Net.Sockets;
using Gateway.DataPlane.Loops;
using Gateway.DataPlane.Tcp;
using Gateway.IntegrationTests.DataPlane.Listening;
using Gateway.Observability;
using Gateway.Planning;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.IntegrationTests.DataPlane.Tcp;

/// <summary>Goal: what only a relay on a loop can get wrong: events told once, its timer, work that comes back to its loop.</summary>
public sealed class LoopRelayTests
{
    [Fact]
    public async Task A_silent_relay_ends_by_the_loops_own_timer()
    {
        using Socket server = RelayKit.Server();
        await using RelayKit kit = new(true, new TimeoutsPlan { Tunnel = TimeSpan.FromMilliseconds(150) }, null, RelayKit.At(server));
        (Socket client, Socket behind) = await kit.Establish(server);
        await client.SendText("x");
        Assert.Equal("x", await behind.ReceiveText(1));
        Assert.Equal("", await client.ReceiveToEnd());
        Assert.Equal("", await behind.ReceiveToEnd());
        AccessRecord record = await kit.NextRecord();
        Assert.Equal(("idle", 1L), (record.Reason, record.BytesIn));
        Assert.True(record.TotalMs >= 150);
        client.Dispose();
        behind.Dispose();
    }

    [Fact]
    public async Task A_reset_is_seen_while_the_other_side_takes_nothing()
    {
        using Socket server = RelayKit.Server(receiveBuffer: 8 * 1024);
        await using RelayKit kit = new(true, destinations: RelayKit.At(server));
        (Socket client, Socket behind) = await kit.Establish(server);

        // The client's bytes wait for a server that reads none: nothing is read of the client any more.
        client.Blocking = false;
        byte[] chunk = new byte[64 * 1024];
        await SocketKit.Until(
            async () =>
            {
                client.Send(chunk, SocketFlags.None, out _);
                PipeView pipes = await kit.Lane.ViewPipesAsync();
                return pipes.Open - pipes.Idle == 1;
            },
            "bytes are in a pipe");
        client.LingerState = new LingerOption(true, 0);
        client.Dispose();
        Assert.Equal("reset", (await kit.NextRecord()).Reason);
        await Assert.ThrowsAsync<SocketException>(() => TcpLaneTests.CountToEnd(behind).InTime());
        behind.Dispose();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_relay_that_connects_ends_at_once_when_told(bool abort)
    {
        using DeafServer deaf = new();
        await using RelayKit kit = new(true, destinations: deaf.Address);
        using Socket client = await kit.Connect();
        await SocketKit.Until(() => kit.Lane.Relays == 1, "it is accepted");
        Assert.Equal(1, abort ? kit.Lane.AbortAll() : kit.Lane.SayGoodbye());
        if (abort)
        {
            await Assert.ThrowsAsync<SocketException>(() => client.ReceiveText(1));
        }
        else
        {
            Assert.Equal("", await client.ReceiveToEnd());
        }

        AccessRecord record = await kit.NextRecord();
        Assert.Equal(("aborted", -1.0, deaf.Address), (record.Reason, record.ConnectMs, record.DestinationAddress));
        Assert.Equal(0, kit.Destinations[0].Failures);
    }

    [Fact]
    public async Task A_connect_that_takes_too_long_everywhere_is_told_as_such()
    {
        using DeafServer one = new(), two = new();
        await using RelayKit kit = new(true, new TimeoutsPlan { Connect = TimeSpan.FromMilliseconds(100) }, null, one.Address, two.Address);
        using Socket client = await kit.Connect();
        Assert.Equal("", await client.ReceiveToEnd());
        AccessRecord record = await kit.NextRecord();
        Assert.Equal(("timeout-connect", 1, -1.0), (record.Reason, record.Retries, record.ConnectMs));
        Assert.Equal([1, 1], kit.Destinations.Select(d => d.Failures));
    }

    [Fact]
    public async Task Thousands_of_short_relays_keep_no_memory_and_no_descriptor()
    {
        const int Clients = 8, Each = 400;
        using Socket server = RelayKit.Server();
        await using RelayKit kit = new(true, destinations: RelayKit.At(server));
        (await kit.Connect()).Dispose();
        using CancellationTokenSource done = new();
        Task serving = ServeAsync(server, done.Token);
        await RoundAsync();
        kit.Records.Clear();
        long memory = GC.GetTotalMemory(forceFullCollection: true);
        await RoundAsync();
        await SocketKit.Until(() => kit.Lane.Relays == 0, "every relay ends");
        Assert.Equal(Clients * Each, kit.Records.Count);
        Assert.All(kit.Records, r => Assert.Equal(("client-closed", 4L, 4L), (r.Reason, r.BytesIn, r.BytesOut)));
        kit.Records.Clear();
        Assert.True(kit.Loops!.Loops.Sum(loop => loop.Sockets) <= 2 * kit.Set.Listeners.Count, "sockets stay on a loop");

        // Other tests use this process too, so a little may come and go; a relay that stays is at least half a kilobyte.
        await SocketKit.Until(
            () => GC.GetTotalMemory(forceFullCollection: true) - memory < Clients * Each * 512L, "memory goes back");
        await done.CancelAsync();
        await serving;

        Task RoundAsync() => Task.WhenAll(Enumerable.Range(0, Clients).Select(_ => Task.Run(async () =>
        {
            for (int i = 0; i < Each; i++)
            {
                using Socket client = await SocketKit.Connect(kit.Port);
                await client.SendText("ping");
                client.Shutdown(SocketShutdown.Send);
                Assert.Equal("ping", await client.ReceiveToEnd());
            }
        })));
    }

    [Fact]
    public async Task A_mistake_of_the_picker_ends_the_connection_and_no_other()
    {
        await using LoopGroup loops = new(1, TimeProvider.System, NullLogger.Instance);
        List<AccessRecord> records = [];
        await using TcpLane lane = new(Broken, Take, TimeProvider.System, NullLogger.Instance, SocketKit.Metrics(), loops);
        await using Gateway.DataPlane.Listening.ListenerSet set = SocketKit.Set(
            lane.Accept, dispatch: new Gateway.DataPlane.Listening.LoopDispatch(loops, lane.AcceptOnLoop));
        int port = SocketKit.FreePort();
        await set.OpenAsync([SocketKit.Plan(port)], []);
        for (int i = 0; i < 3; i++)
        {
            await Assert.ThrowsAsync<SocketException>(async () =>
            {
                using Socket client = await SocketKit.Connect(port);
                await client.ReceiveText(1);
            });
        }

        await SocketKit.Until(() => lane.Relays == 0 && set.Gate.Open == 0, "all are counted out");
        Assert.Equal(3, records.Count);

        static Gateway.DataPlane.Balancing.DestinationState? Broken(
            ListenerPlan listener, ReadOnlySpan<Gateway.DataPlane.Balancing.DestinationState> tried, out TimeoutsPlan timeouts) =>
            throw new InvalidOperationException("no pick");

        void Take(in AccessRecord record) => records.Add(record);
    }

    private static async Task ServeAsync(Socket server, CancellationToken until)
    {
        try
        {
            while (true)
            {
                Socket behind = await server.AcceptAsync(until);
                ListenerSetTests.Echo(new(SocketKit.Plan(1)), behind);
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    /// <summary>A queue of one that nobody empties: once full, the kernel drops further connects on the floor.</summary>
    private sealed class DeafServer : IDisposable
    {
        private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        private readonly List<Socket> _fillers = [];

        public DeafServer()
        {
            _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            _listener.Listen(0);
            for (int i = 0; i < 4; i++)
            {
                Socket filler = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { Blocking = false };
                _fillers.Add(filler);
                _ = filler.ConnectAsync(_listener.LocalEndPoint!).ContinueWith(t => t.Exception, TaskScheduler.Default);
            }
        }

        public string Address => RelayKit.At(_listener);

        public void Dispose()
        {
            _fillers.ForEach(f => f.Dispose());
            _listener.Dispose();
        }
    }
}
