using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Gateway.Catalog;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Health;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Loops;
using Gateway.DataPlane.Tcp;
using Gateway.IntegrationTests.DataPlane.Listening;
using Gateway.Observability;
using Gateway.Planning;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.IntegrationTests.DataPlane.Tcp;

/// <summary>
/// A lane behind one open port, on the loops or on tasks, with destinations the test names and the records it wrote.
/// </summary>
internal sealed class RelayKit : IAsyncDisposable
{
    private readonly DestinationState[] _destinations;

    public RelayKit(bool onLoops, TimeoutsPlan? timeouts = null, TimeProvider? time = null, params string[] destinations)
    {
        _destinations = [.. destinations.Select((d, i) => Destination($"n1/orders-{i}", d))];
        TimeoutsPlan inForce = timeouts ?? new TimeoutsPlan();
        Loops = onLoops ? new LoopGroup(2, time ?? TimeProvider.System, NullLogger.Instance) : null;
        Lane = new TcpLane(Pick, Take, time ?? TimeProvider.System, NullLogger.Instance, SocketKit.Metrics(), Loops);
        Port = SocketKit.FreePort();
        Set = SocketKit.Set(Lane.Accept, dispatch: Loops is null ? null : new LoopDispatch(Loops, Lane.AcceptOnLoop));

        DestinationState? Pick(ListenerPlan listener, ReadOnlySpan<DestinationState> tried, out TimeoutsPlan found)
        {
            found = inForce;
            foreach (DestinationState destination in _destinations)
            {
                if (!tried.Contains(destination))
                {
                    return destination;
                }
            }

            return null;
        }

        void Take(in AccessRecord record) => Records.Enqueue(record);
    }

    public LoopGroup? Loops { get; }

    public TcpLane Lane { get; }

    public ListenerSet Set { get; }

    public int Port { get; }

    public ConcurrentQueue<AccessRecord> Records { get; } = new();

    public IReadOnlyList<DestinationState> Destinations => _destinations;

    public static string At(Socket listener) => listener.LocalEndPoint!.ToString()!;

    /// <summary>A server's socket that accepts nothing by itself.</summary>
    public static Socket Server(int receiveBuffer = 0)
    {
        Socket server = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        if (receiveBuffer > 0)
        {
            server.ReceiveBufferSize = receiveBuffer;
        }

        server.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        server.Listen();
        return server;
    }

    /// <summary>An address that refuses connections.</summary>
    public static string Refusing() => $"127.0.0.1:{SocketKit.FreePort()}";

    /// <param name="receiveBuffer">Bytes of the client's, fixed; 0: as the kernel likes.</param>
    public async Task<Socket> Connect(int receiveBuffer = 0)
    {
        await Set.OpenAsync([SocketKit.Plan(Port)], []);
        Assert.Empty(Set.Problems);
        if (receiveBuffer == 0)
        {
            return await SocketKit.Connect(Port);
        }

        Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = receiveBuffer };
        await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, Port)).InTime();
        return socket;
    }

    /// <summary>A client and the server's side of its relay.</summary>
    public async Task<(Socket Client, Socket Server)> Establish(Socket server, int receiveBuffer = 0)
    {
        Socket client = await Connect(receiveBuffer);
        return (client, await server.AcceptAsync().InTime());
    }

    public async Task<AccessRecord> NextRecord()
    {
        await SocketKit.Until(() => !Records.IsEmpty, "a record is written");
        Assert.True(Records.TryDequeue(out AccessRecord record));
        return record;
    }

    public async ValueTask DisposeAsync()
    {
        await Set.DisposeAsync();
        await Lane.DisposeAsync();
        await SocketKit.Until(() => Lane.Relays == 0, "every relay ends");
        await SocketKit.Until(() => Set.Gate.Open == 0, "every connection is counted out");
        await (Loops?.DisposeAsync() ?? ValueTask.CompletedTask);
        Assert.All(_destinations, d => Assert.Equal(0, d.InFlight));
    }

    private static DestinationState Destination(string key, string endPoint)
    {
        int colon = endPoint.LastIndexOf(':');
        string[] id = key.Split('/');
        return new DestinationState(
            new DestinationPlan
            {
                Instance = new InstanceKey(id[0], id[1]),
                Address = endPoint[..colon].Trim('[', ']'),
                Port = int.Parse(endPoint.AsSpan(colon + 1), System.Globalization.CultureInfo.InvariantCulture),
            },
            new DestinationHealth());
    }
}
