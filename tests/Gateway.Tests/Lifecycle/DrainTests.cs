using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Sockets;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Http;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Tcp;
using Gateway.Lifecycle;
using Gateway.Observability;
using Gateway.Planning;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.Tests.Lifecycle;

/// <summary>The order and the ends of a drain, over real sockets; what closes when is the lanes' own business and tested there.</summary>
public sealed class DrainTests : IAsyncLifetime
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private readonly GatewayMetrics _metrics = new();
    private readonly ClusterTable _clusters = new();
    private readonly AccessLog _accessLog;
    private readonly HttpLane _http;
    private readonly TcpLane _tcp;
    private readonly ListenerSet _listeners;
    private IPEndPoint _endPoint = new(IPAddress.Loopback, 0);

    public DrainTests()
    {
        _accessLog = AccessLog.Off(_metrics);
        _http = Lane();
        _tcp = new TcpLane(_clusters, TimeProvider.System, NullLogger.Instance, _metrics, _accessLog);
        _listeners = Listeners(_http);
    }

    public async ValueTask InitializeAsync()
    {
        await _http.StartAsync(TestContext.Current.CancellationToken);
        _endPoint = await OpenAsync(_listeners);
    }

    public async ValueTask DisposeAsync()
    {
        await _listeners.DisposeAsync();
        await _tcp.DisposeAsync();
        await _http.DisposeAsync();
        await _accessLog.DisposeAsync();
        _metrics.Dispose();
    }

    [Fact]
    public async Task With_nothing_open_it_ends_when_the_grace_does_and_no_port_accepts()
    {
        await RunAsync(new DrainOptions { Grace = TimeSpan.Zero, Timeout = TimeSpan.FromHours(1) }, CancellationToken.None);
        await Assert.ThrowsAsync<SocketException>(ConnectAsync);
    }

    [Fact]
    public async Task During_the_grace_it_serves_on_and_the_second_signal_ends_it()
    {
        using CancellationTokenSource second = new();
        Task drain = RunAsync(new DrainOptions { Grace = TimeSpan.FromHours(1), Timeout = TimeSpan.FromHours(2) }, second.Token);
        using (await ConnectAsync())
        {
            Assert.False(drain.IsCompleted);
        }

        await second.CancelAsync();
        await drain.WaitAsync(s_patience, TestContext.Current.CancellationToken);
        await Assert.ThrowsAsync<SocketException>(ConnectAsync);
    }

    [Fact]
    public async Task A_grace_longer_than_the_deadline_does_not_move_the_deadline()
    {
        await RunAsync(new DrainOptions { Grace = TimeSpan.FromHours(1), Timeout = TimeSpan.FromMilliseconds(50) }, CancellationToken.None)
            .WaitAsync(s_patience, TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task At_the_deadline_what_is_left_is_cut_and_counted()
    {
        using ForcedCloses forced = new("new");
        using Socket client = await ConnectAsync();
        await client.SendAsync("GET / HT"u8.ToArray(), TestContext.Current.CancellationToken);
        while (_http.Connections == 0)
        {
            await Task.Yield();
        }

        await RunAsync(new DrainOptions { Grace = TimeSpan.Zero, Idle = TimeSpan.Zero, Timeout = TimeSpan.FromMilliseconds(200) }, CancellationToken.None)
            .WaitAsync(s_patience, TestContext.Current.CancellationToken);

        Assert.Equal(1, forced.Count);
        int received = await ReceivedAsync(client);
        Assert.Equal(0, received);
    }

    [Fact]
    public async Task A_connection_that_no_server_has_taken_yet_is_waited_for_and_served()
    {
        await using HttpLane late = Lane();
        await using ListenerSet listeners = Listeners(late);
        IPEndPoint endPoint = await OpenAsync(listeners);
        using Socket client = await ConnectAsync(endPoint);
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n"u8.ToArray(), TestContext.Current.CancellationToken);
        TaskCompletionSource closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Drain drain = new(listeners, late, _tcp, _metrics, TimeProvider.System, NullLogger.Instance) { PortsClosed = closed.SetResult };
        Task drained = drain.RunAsync(
            new DrainOptions { Grace = TimeSpan.Zero, Idle = TimeSpan.Zero, Timeout = TimeSpan.FromHours(1) }, CancellationToken.None);
        await closed.Task.WaitAsync(s_patience, TestContext.Current.CancellationToken);
        Assert.Equal((1, 0), (listeners.Gate.Open, late.Connections));
        Assert.False(drained.IsCompleted);

        await late.StartAsync(TestContext.Current.CancellationToken);
        byte[] answer = new byte[8];
        Assert.Equal(8, await client.ReceiveAsync(answer, TestContext.Current.CancellationToken).AsTask().WaitAsync(s_patience));
        Assert.Equal("HTTP/1.1"u8.ToArray(), answer);
        await drained.WaitAsync(s_patience, TestContext.Current.CancellationToken);
        Assert.Equal(0, listeners.Gate.Open);
    }

    [Fact]
    public async Task A_connection_that_no_server_has_taken_by_the_deadline_is_cut_and_counted()
    {
        using ForcedCloses forced = new("new");
        await using HttpLane late = Lane();
        await using ListenerSet listeners = Listeners(late);
        using Socket client = await ConnectAsync(await OpenAsync(listeners));
        await new Drain(listeners, late, _tcp, _metrics, TimeProvider.System, NullLogger.Instance).RunAsync(
            new DrainOptions { Grace = TimeSpan.Zero, Idle = TimeSpan.Zero, Timeout = TimeSpan.FromMilliseconds(50) }, CancellationToken.None);
        Assert.Equal(1, forced.Count);
    }

    [Fact]
    public async Task A_client_that_turns_out_to_speak_http2_while_draining_is_told_to_go()
    {
        using CancellationTokenSource second = new();
        using Socket client = await ConnectAsync();
        while (_http.Connections == 0)
        {
            await Task.Yield();
        }

        TaskCompletionSource closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Drain drain = new(_listeners, _http, _tcp, _metrics, TimeProvider.System, NullLogger.Instance) { PortsClosed = closed.SetResult };
        Task drained = drain.RunAsync(
            new DrainOptions { Grace = TimeSpan.Zero, Idle = TimeSpan.FromHours(1), Timeout = TimeSpan.FromHours(1) }, second.Token);
        await closed.Task.WaitAsync(s_patience, TestContext.Current.CancellationToken);

        // The preface and an empty SETTINGS frame, later than the GOAWAY that everybody else got.
        await client.SendAsync(
            (byte[])[.. "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8, 0, 0, 0, 4, 0, 0, 0, 0, 0], TestContext.Current.CancellationToken);
        Assert.True(await HearsGoAwayAsync(client).WaitAsync(s_patience, TestContext.Current.CancellationToken));
        await second.CancelAsync();
        await drained.WaitAsync(s_patience, TestContext.Current.CancellationToken);
    }

    private static async Task<bool> HearsGoAwayAsync(Socket client)
    {
        const int HeadLength = 9, TypeAt = 3, GoAway = 7;
        await using NetworkStream stream = new(client);
        byte[] head = new byte[HeadLength];
        while (await stream.ReadAtLeastAsync(head, HeadLength, throwOnEndOfStream: false, TestContext.Current.CancellationToken) == HeadLength)
        {
            if (head[TypeAt] == GoAway)
            {
                return true;
            }

            byte[] payload = new byte[(head[0] << 16) | (head[1] << 8) | head[2]];
            await stream.ReadExactlyAsync(payload, TestContext.Current.CancellationToken);
        }

        return false;
    }

    private static async Task<int> ReceivedAsync(Socket client)
    {
        try
        {
            return await client.ReceiveAsync(new byte[16], TestContext.Current.CancellationToken);
        }
        catch (SocketException)
        {
            return 0;
        }
    }

    private Task RunAsync(DrainOptions options, CancellationToken hurry) =>
        new Drain(_listeners, _http, _tcp, _metrics, TimeProvider.System, NullLogger.Instance).RunAsync(options, hurry);

    private HttpLane Lane() => new(_clusters, TimeProvider.System, NullLoggerFactory.Instance, _metrics, _accessLog, "gateway-test");

    private ListenerSet Listeners(HttpLane http) => new(
        new ListeningOptions { Addresses = ["127.0.0.1"] }, TimeProvider.System, NullLogger.Instance, http.Accept, _tcp.Accept, 1000);

    private static async Task<IPEndPoint> OpenAsync(ListenerSet listeners)
    {
        ListenerPlan plan = new()
        {
            Key = new ListenerKey(ListenerKey.Internal, FreePort()),
            Protocol = ListenProtocol.Http,
            Service = "web",
            Environment = "production",
            Cluster = "web@production",
        };
        await listeners.OpenAsync([plan], []);
        Assert.Empty(listeners.Problems);
        return new IPEndPoint(IPAddress.Loopback, plan.Key.Port);
    }

    private Task<Socket> ConnectAsync() => ConnectAsync(_endPoint);

    private static async Task<Socket> ConnectAsync(IPEndPoint endPoint)
    {
        Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await client.ConnectAsync(endPoint, TestContext.Current.CancellationToken);
            return client;
        }
        catch
        {
            client.Dispose();
            throw;
        }
    }

    private static int FreePort()
    {
        using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    /// <summary>Counts what drains cut, in one state.</summary>
    private sealed class ForcedCloses : IDisposable
    {
        private readonly MeterListener _listener;
        private long _count;

        public ForcedCloses(string state)
        {
            _listener = new MeterListener
            {
                InstrumentPublished = (instrument, l) =>
                {
                    if (instrument.Name == "gateway_drain_forced_closes_total")
                    {
                        l.EnableMeasurementEvents(instrument);
                    }
                },
            };
            _listener.SetMeasurementEventCallback<long>((_, value, tags, _) =>
                Interlocked.Add(ref _count, tags[0].Value as string == state ? value : 0));
            _listener.Start();
        }

        public long Count => Interlocked.Read(ref _count);

        public void Dispose() => _listener.Dispose();
    }
}
