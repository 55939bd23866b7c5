using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Loops;
using Gateway.Observability;
using Gateway.Planning;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.IntegrationTests.DataPlane.Listening;

/// <summary>What tests of sockets share: deadlines, free ports, plans, and clients that give up.</summary>
internal static class SocketKit
{
    private static readonly double Stretch = double.Parse(
        Environment.GetEnvironmentVariable("GATEWAY_TEST_STRETCH") ?? "1", CultureInfo.InvariantCulture);

    public static TimeSpan Deadline => TimeSpan.FromSeconds(10 * Stretch);

    public static Task Until(Func<bool> condition, string what) => Until(() => Task.FromResult(condition()), what);

    public static async Task Until(Func<Task<bool>> condition, string what)
    {
        Stopwatch clock = Stopwatch.StartNew();
        while (!await condition())
        {
            Assert.True(clock.Elapsed < Deadline, $"not within {Deadline}: {what}");
            await Task.Delay(5);
        }
    }

    public static Task<T> InTime<T>(this Task<T> task) => task.WaitAsync(Deadline);

    public static Task InTime(this Task task) => task.WaitAsync(Deadline);

    /// <summary>A port nobody listens on, from below the range the kernel takes ports for clients from.</summary>
    public static int FreePort()
    {
        while (true)
        {
            int port = Random.Shared.Next(15000, 32000);
            using Socket four = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            using Socket six = new(AddressFamily.InterNetworkV6, SocketType.Stream, ProtocolType.Tcp) { DualMode = false };
            try
            {
                four.Bind(new IPEndPoint(IPAddress.Any, port));
                if (HasIPv6)
                {
                    six.Bind(new IPEndPoint(IPAddress.IPv6Any, port));
                }

                return port;
            }
            catch (SocketException)
            {
            }
        }
    }

    public static bool HasIPv6 { get; } = FindIPv6();

    public static ListenerPlan Plan(int port, ListenProtocol protocol = ListenProtocol.Tcp, string service = "orders") => new()
    {
        Key = new ListenerKey(ListenerKey.Internal, port),
        Protocol = protocol,
        Service = service,
        Environment = "production",
        Cluster = $"{service}@production",
    };

    public static ListenerSet Set(
        AcceptedSocket tcp,
        AcceptedSocket? http = null,
        string[]? addresses = null,
        int maxConnections = 10000,
        AdoptedSockets? adopted = null,
        TimeProvider? time = null,
        Func<string, IReadOnlyList<IPAddress>>? interfaces = null,
        LoopGroup? loops = null,
        LoopDispatch? dispatch = null) => new(
            new ListeningOptions { Addresses = [.. addresses ?? ["127.0.0.1"]] },
            time ?? TimeProvider.System,
            NullLogger.Instance,
            http ?? ((_, socket) => socket.Dispose()),
            tcp,
            maxConnections,
            adopted,
            interfaces,
            dispatch ?? (loops is null ? null : Dispatch(loops, tcp, http ?? ((_, socket) => socket.Dispose()))));

    /// <summary>Loops that accept, and hand to what the task engine would hand to.</summary>
    public static LoopDispatch Dispatch(LoopGroup loops, AcceptedSocket tcp, AcceptedSocket? http = null) => new(
        loops,
        (listener, _, fd) =>
        {
            Socket socket = new(new SafeSocketHandle(fd, ownsHandle: true));
            (listener.Plan.Protocol == ListenProtocol.Tcp || http is null ? tcp : http)(listener, socket);
        });

    public static GatewayMetrics Metrics() => new();

    public static async Task<Socket> Connect(int port, IPAddress? address = null)
    {
        address ??= IPAddress.Loopback;
        Socket socket = new(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(new IPEndPoint(address, port)).InTime();
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    public static async Task<bool> Refuses(int port, IPAddress? address = null)
    {
        try
        {
            using Socket socket = await Connect(port, address);
            return false;
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.ConnectionRefused or SocketError.ConnectionReset)
        {
            return e.SocketErrorCode == SocketError.ConnectionRefused; // reset: it closes at this moment
        }
    }

    public static async Task SendText(this Socket socket, string text)
    {
        ReadOnlyMemory<byte> left = Encoding.UTF8.GetBytes(text);
        while (!left.IsEmpty)
        {
            left = left[await socket.SendAsync(left).AsTask().InTime()..];
        }
    }

    public static async Task<string> ReceiveText(this Socket socket, int length)
    {
        byte[] buffer = new byte[length];
        int read = 0;
        while (read < length)
        {
            int more = await socket.ReceiveAsync(buffer.AsMemory(read)).AsTask().InTime();
            if (more == 0)
            {
                break;
            }

            read += more;
        }

        return Encoding.UTF8.GetString(buffer, 0, read);
    }

    public static async Task<string> ReceiveToEnd(this Socket socket)
    {
        StringBuilder text = new();
        while (await socket.ReceiveText(1) is { Length: > 0 } one)
        {
            text.Append(one);
        }

        return text.ToString();
    }

    /// <summary>An <see cref="AcceptedSocket"/> that says one text to everybody and then waits for the client to end.</summary>
    public static AcceptedSocket Greet(string text, ConcurrentQueue<ListenerState>? seen = null) => (listener, socket) =>
    {
        listener.ConnectionOpened();
        seen?.Enqueue(listener);
        _ = Task.Run(async () =>
        {
            using (socket)
            {
                try
                {
                    await socket.SendText(text);
                    await socket.ReceiveToEnd();
                }
                catch (Exception e) when (e is SocketException or TimeoutException)
                {
                }
            }

            listener.ConnectionClosed();
        });
    };

    /// <summary>A second descriptor of the same open socket, as a successor would have.</summary>
    public static SafeSocketHandle Duplicate(SafeSocketHandle handle)
    {
        // dup(2) would leave it open in whatever another test starts meanwhile, and the port bound for ever.
        const int DupFdCloExec = 1030;
        int fd = Fcntl((int)handle.DangerousGetHandle(), DupFdCloExec, 0);
        Assert.True(fd >= 0);
        return new SafeSocketHandle(fd, ownsHandle: true);
    }

    public static bool IsListening(Socket socket)
    {
        const int SolSocket = 1, SoAcceptConn = 30;
        byte[] value = new byte[4];
        socket.GetRawSocketOption(SolSocket, SoAcceptConn, value);
        return BitConverter.ToInt32(value) == 1;
    }

    public static int RawSocketOption(Socket socket, int option)
    {
        byte[] value = new byte[4];
        socket.GetRawSocketOption(1, option, value);
        return BitConverter.ToInt32(value);
    }

    [DllImport("libc", EntryPoint = "fcntl")]
    private static extern int Fcntl(int fd, int command, int argument);

    private static bool FindIPv6()
    {
        try
        {
            using Socket six = new(AddressFamily.InterNetworkV6, SocketType.Stream, ProtocolType.Tcp);
            six.Bind(new IPEndPoint(IPAddress.IPv6Loopback, 0));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}

/// <summary>Tests of sockets that hold for both who may accept: tasks of our own, and the event loops.</summary>
public abstract class ListeningTests : IAsyncDisposable
{
    private readonly List<LoopGroup> _groups = [];

    private protected virtual bool Loops => false;

    public async ValueTask DisposeAsync()
    {
        foreach (LoopGroup group in _groups)
        {
            await group.DisposeAsync();
        }

        GC.SuppressFinalize(this);
    }

    private protected ListenerSet Set(
        AcceptedSocket tcp,
        AcceptedSocket? http = null,
        string[]? addresses = null,
        int maxConnections = 10000,
        AdoptedSockets? adopted = null,
        TimeProvider? time = null,
        Func<string, IReadOnlyList<IPAddress>>? interfaces = null) =>
        SocketKit.Set(tcp, http, addresses, maxConnections, adopted, time, interfaces, Loops ? Group(time) : null);

    private protected AcceptContext Context(
        AcceptedSocket accepted, ConnectionGate? gate, TimeProvider time, ILogger logger, int mark, Action<bool>? starved = null) =>
        new(accepted, gate, time, logger, mark, starved ?? (_ => { }), (_, _) => { })
        {
            Loops = Loops ? SocketKit.Dispatch(Group(time), accepted) : null,
        };

    private LoopGroup Group(TimeProvider? time)
    {
        _groups.Add(new LoopGroup(2, time as LoopTime ?? TimeProvider.System, NullLogger.Instance));
        return _groups[^1];
    }
}

/// <summary>A clock that the loops go by too.</summary>
internal abstract class LoopTime : TimeProvider;

/// <summary>The real clock, running fifty times as fast.</summary>
internal sealed class FastTime : LoopTime
{
    private const int Factor = 50;

    public override long GetTimestamp() => base.GetTimestamp() * Factor;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        new Fast(base.CreateTimer(callback, state, Sooner(dueTime), Sooner(period)));

    private static TimeSpan Sooner(TimeSpan time) => time == Timeout.InfiniteTimeSpan ? time : time / Factor;

    private sealed class Fast(ITimer timer) : ITimer
    {
        public bool Change(TimeSpan dueTime, TimeSpan period) => timer.Change(Sooner(dueTime), Sooner(period));

        public void Dispose() => timer.Dispose();

        public ValueTask DisposeAsync() => timer.DisposeAsync();
    }
}
