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
        _http = new HttpLane(_clusters, TimeProvider.System, NullLoggerFactory.Instance, _metrics, _accessLog, "gateway-test");
        _tcp = new TcpLane(_clusters, TimeProvider.System, NullLogger.Instance, _metrics, _accessLog);
        _listeners = new ListenerSet(
            new ListeningOptions { Addresses = ["127.0.0.1"] }, TimeProvider.System, NullLogger.Instance, _http.Accept, _tcp.Accept, 1000);
    }

    public async ValueTask InitializeAsync()
    {
        await _http.StartAsync(TestContext.Current.CancellationToken);
        ListenerPlan plan = new()
        {
            Key = new ListenerKey(ListenerKey.Internal, FreePort()),
            Protocol = ListenProtocol.Http,
            Service = "web",
            Environment = "production",
            Cluster = "web@production",
        };
        await _listeners.OpenAsync([plan], []);
        _endPoint = new IPEndPoint(IPAddress.Loopback, plan.Key.Port);
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
        long forced = 0;
        using MeterListener listener = new()
        {
            InstrumentPublished = (instrument, l) =>
            {
                if (instrument.Name == "gateway_drain_forced_closes_total")
                {
                    l.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<long>((_, value, tags, _) =>
            Interlocked.Add(ref forced, tags[0].Value is "new" ? value : 0));
        listener.Start();
        using Socket client = await ConnectAsync();
        await client.SendAsync("GET / HT"u8.ToArray(), TestContext.Current.CancellationToken);
        while (_http.Connections == 0)
        {
            await Task.Yield();
        }

        await RunAsync(new DrainOptions { Grace = TimeSpan.Zero, Idle = TimeSpan.Zero, Timeout = TimeSpan.FromMilliseconds(200) }, CancellationToken.None)
            .WaitAsync(s_patience, TestContext.Current.CancellationToken);

        Assert.Equal(1, Interlocked.Read(ref forced));
        int received = await ReceivedAsync(client);
        Assert.Equal(0, received);
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

    private async Task<Socket> ConnectAsync()
    {
        Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await client.ConnectAsync(_endPoint, TestContext.Current.CancellationToken);
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
}
