using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Gateway.Catalog;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Http;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Loops;
using Gateway.Observability;
using Gateway.Planning;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.IntegrationTests.DataPlane.Http;

/// <summary>An HTTP lane with one port on loopback, one cluster, and nobody who probes.</summary>
internal sealed class LaneUnderTest : IAsyncDisposable
{
    public const string LoopId = "gateway-under-test";

    private readonly Socket _socket;
    private readonly LoopGroup? _loops;
    private readonly LoopAcceptor? _acceptor;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _accepting;

    private LaneUnderTest(Engine engine, ClusterPlan cluster, TimeProvider clock)
    {
        Clusters = new ClusterTable();
        Lane = new HttpLane(
            Clusters, clock, NullLoggerFactory.Instance, new GatewayMetrics(), AccessLog.Off(new GatewayMetrics()), LoopId, record => Records.Add(record),
            _loops = engine == Engine.Loops ? new LoopGroup(2, clock, NullLogger.Instance) : null);
        _socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        _socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _socket.Listen(512);
        Port = ((IPEndPoint)_socket.LocalEndPoint!).Port;
        ListenerPlan listener = new()
        {
            Key = new ListenerKey(ListenerKey.Internal, Port),
            Protocol = ListenProtocol.Http,
            Service = cluster.Service,
            Environment = cluster.Environment,
            Cluster = cluster.Id,
        };
        Listener = new ListenerState(listener);
        Plan = new Plan
        {
            Listeners = [listener],
            Clusters = [cluster],
            Routes = [new RoutePlan { Listener = listener.Key, Host = "*", Cluster = cluster.Id }],
        };
        Clusters.Publish([cluster], []);
        Lane.PublishRoutes(Plan, new PlanDiff { ListenersAdded = [listener], ClustersAdded = [cluster], RoutesAdded = [.. Plan.Routes] });
        if (_loops is not null)
        {
            _socket.Blocking = false;
            AcceptContext context = new((_, _) => { }, null, clock, NullLogger.Instance, int.MaxValue, _ => { }, (_, _) => { });
            LoopDispatch dispatch = new(_loops, Lane.AcceptOnLoop);
            _acceptor = new LoopAcceptor(
                dispatch, (int)_socket.SafeHandle.DangerousGetHandle(), (IPEndPoint)_socket.LocalEndPoint!, Listener, context, new Unconcerned());
            _accepting = Task.CompletedTask;
        }
        else
        {
            _accepting = AcceptAsync();
        }
    }

    public HttpLane Lane { get; }

    /// <summary>Its loops; null on Kestrel.</summary>
    public LoopGroup? Loops => _loops;

    public ClusterTable Clusters { get; }

    public ListenerState Listener { get; }

    public Plan Plan { get; private set; }

    public int Port { get; }

    public ConcurrentBag<AccessRecord> Records { get; } = [];

    public Uri Url => new($"http://127.0.0.1:{Port}");

    public static async Task<LaneUnderTest> StartAsync(Engine engine, ClusterPlan cluster, TimeProvider? clock = null)
    {
        LaneUnderTest lane = new(engine, cluster, clock ?? TimeProvider.System);
        await lane.Lane.StartAsync(CancellationToken.None);
        return lane;
    }

    public static ClusterPlan Cluster(params IPEndPoint[] destinations) => new()
    {
        Id = "web@production",
        Service = "web",
        Environment = "production",
        Check = new CheckPlan { Kind = CheckKind.None },
        Destinations = [.. destinations.Select((end, i) => new DestinationPlan
        {
            Instance = new InstanceKey("n1", $"web-{i}"),
            Address = end.Address.ToString(),
            Port = end.Port,
        })],
    };

    /// <summary>A port that refuses: bound, never listening.</summary>
    public static IPEndPoint Refusing(out Socket holder)
    {
        holder = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        holder.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return (IPEndPoint)holder.LocalEndPoint!;
    }

    public void Change(ClusterPlan cluster)
    {
        Change<ClusterPlan> change = new(Plan.Clusters[0], cluster);
        Plan = Plan with { Clusters = [cluster] };
        Clusters.Publish([], [change]);
        Lane.PublishRoutes(Plan, new PlanDiff { ClustersChanged = [change] });
    }

    public void Publish(Plan plan, PlanDiff diff)
    {
        Plan = plan;
        Clusters.Publish(diff.ClustersAdded, diff.ClustersChanged);
        Lane.PublishRoutes(plan, diff);
        Clusters.Retire(diff.ClustersRemoved);
    }

    public Task<RawConnection> ConnectAsync() => RawConnection.OpenAsync(Port);

    public async Task<AccessRecord> RecordAsync(Func<AccessRecord, bool>? which = null)
    {
        await EventuallyHttp.HoldsAsync(() => Records.Any(which ?? (_ => true)), "a record is written");
        return Records.First(which ?? (_ => true));
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _accepting;
        await (_acceptor?.StopAsync() ?? Task.CompletedTask);
        _socket.Dispose();
        await Lane.DisposeAsync();
        if (_loops is not null)
        {
            await _loops.DisposeAsync();
        }

        _stop.Dispose();
    }

    private sealed class Unconcerned : IAcceptState
    {
        public void SetStarved(bool starved)
        {
        }

        public void SetFailing(string? why)
        {
        }
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                Lane.Accept(Listener, await _socket.AcceptAsync(_stop.Token));
            }
        }
        catch (OperationCanceledException)
        {
        }
    }
}

/// <summary>Polls until a deadline, which GATEWAY_TEST_STRETCH stretches.</summary>
internal static class EventuallyHttp
{
    public static TimeSpan Deadline { get; } = TimeSpan.FromSeconds(
        15 * (double.TryParse(Environment.GetEnvironmentVariable("GATEWAY_TEST_STRETCH"), out double factor) ? factor : 1));

    public static Task HoldsAsync(Func<bool> condition, string what) => HoldsAsync(() => Task.FromResult(condition()), what);

    public static async Task HoldsAsync(Func<Task<bool>> condition, string what)
    {
        using CancellationTokenSource deadline = new(Deadline);
        while (!await condition())
        {
            if (deadline.IsCancellationRequested)
            {
                Assert.Fail($"not within {Deadline}: {what}");
            }

            await Task.Delay(5);
        }
    }
}
