using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Loops;
using Gateway.IntegrationTests.DataPlane.Listening;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.IntegrationTests.DataPlane.Loops;

/// <summary>Goal: the loops accept what a port is sent and lose nothing of it, and the port itself is never theirs to close.</summary>
public sealed class LoopAcceptorTests : IAsyncDisposable
{
    private readonly LoopGroup _group = new(2, TimeProvider.System, NullLogger.Instance);
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly ConcurrentBag<Socket> _clients = [];
    private readonly ConcurrentQueue<string?> _failing = new();
    private volatile bool _starved;
    private int _accepted;

    public LoopAcceptorTests()
    {
        _socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _socket.Listen(512);
        _socket.Blocking = false;
    }

    private int Port => ((IPEndPoint)_socket.LocalEndPoint!).Port;

    [Fact]
    public async Task A_mistake_of_ours_while_accepting_costs_a_moment_and_not_the_port()
    {
        int mistakes = 0;
        LoopAcceptor acceptor = Accept(state: new State(this)
        {
            Works = () =>
            {
                if (Interlocked.Increment(ref mistakes) == 1)
                {
                    throw new InvalidOperationException("mine");
                }
            },
        });
        for (int i = 0; i < 20; i++)
        {
            await ConnectAsync();
        }

        // The one that was in hand at that moment may be lost.
        await SocketKit.Until(() => Volatile.Read(ref _accepted) >= 19, "the others are accepted");
        Assert.True(mistakes > 1);
        Assert.True(SocketKit.IsListening(_socket));
        await acceptor.StopAsync().InTime();
        Assert.True(SocketKit.IsListening(_socket));
    }

    [Fact]
    public async Task A_lane_that_throws_costs_its_connection_and_gives_the_place_back()
    {
        ConnectionGate gate = new(2);
        LoopAcceptor acceptor = Accept(gate, accepted: (_, _, fd) =>
        {
            Syscalls.Close(fd);
            Interlocked.Increment(ref _accepted);
            throw new InvalidOperationException("mine");
        });
        for (int i = 0; i < 10; i++)
        {
            await ConnectAsync();
        }

        await SocketKit.Until(() => Volatile.Read(ref _accepted) == 10, "all were tried");
        await SocketKit.Until(() => gate.Open == 0, "all places are given back");
        await acceptor.StopAsync().InTime();
    }

    [Fact]
    public async Task Near_the_end_of_the_descriptors_a_connection_is_held_and_served_when_some_are_free()
    {
        // All numbers below the mark are taken.
        List<int> taken = [];
        int mark = Syscalls.Duplicate(Fd) + 200;
        int number;
        while ((number = Syscalls.Duplicate(Fd)) < mark)
        {
            taken.Add(number);
        }

        taken.Add(number);
        Socket client = await ConnectAsync();
        LoopAcceptor acceptor = Accept(mark: mark);
        await SocketKit.Until(() => _starved, "the port starves");
        Assert.Equal(0, _accepted);
        taken.ForEach(Syscalls.Close);
        await SocketKit.Until(() => Volatile.Read(ref _accepted) == 1 && !_starved, "it is served");
        Assert.True(client.Connected);
        await acceptor.StopAsync().InTime();
    }

    [Fact]
    public async Task At_the_limit_the_excess_waits_in_the_kernel_and_a_higher_limit_lets_it_in()
    {
        ConnectionGate gate = new(3);
        LoopAcceptor acceptor = Accept(gate);
        for (int i = 0; i < 12; i++)
        {
            await ConnectAsync();
        }

        await SocketKit.Until(() => Volatile.Read(ref _accepted) == 3, "as many as may");
        Assert.Equal(3, gate.Open);
        gate.Limit = 5;
        await SocketKit.Until(() => Volatile.Read(ref _accepted) == 5, "two more");
        gate.Limit = 1; // closes nobody
        for (int i = 0; i < 7; i++)
        {
            gate.Exit();
        }

        gate.Limit = 100;
        await SocketKit.Until(() => Volatile.Read(ref _accepted) == 12, "everybody");
        await acceptor.StopAsync().InTime();
        await ConnectAsync();
        Assert.Equal(12, _accepted); // nobody accepts any more
    }

    [Fact]
    public async Task Whoever_waits_for_room_when_the_port_stops_does_not_begin_again()
    {
        ConnectionGate gate = new(1);
        LoopAcceptor acceptor = Accept(gate);
        await ConnectAsync();
        await ConnectAsync();
        await SocketKit.Until(() => gate.Open == 1, "full");
        await acceptor.StopAsync().InTime();
        gate.Limit = 100;
        await _group.OnEachAsync(_ => { }).InTime();
        await _group.OnEachAsync(_ => { }).InTime();
        Assert.Equal(1, _accepted);
    }

    [Fact]
    public async Task Stopping_ends_also_when_the_loops_have_ended()
    {
        LoopAcceptor acceptor = Accept();
        await _group.DisposeAsync();
        await acceptor.StopAsync().InTime();
        Assert.True(SocketKit.IsListening(_socket));
    }

    [Fact]
    public async Task Every_connection_that_was_accepted_while_the_port_stops_is_served()
    {
        // Ours and the kernel's count must agree: what left the queue reached a lane.
        int connected = 0;
        for (int round = 0; round < 20; round++)
        {
            LoopAcceptor acceptor = Accept(accepted: (_, _, fd) =>
            {
                Syscalls.Close(fd);
                Interlocked.Increment(ref _accepted);
            });
            Task[] load = [.. Enumerable.Range(0, 3).Select(_ => Task.Run(async () =>
            {
                for (int i = 0; i < 20; i++)
                {
                    using Socket client = await SocketKit.Connect(Port);
                    Interlocked.Increment(ref connected);
                }
            }))];
            await acceptor.StopAsync().InTime();
            await Task.WhenAll(load).InTime();
        }

        LoopAcceptor last = Accept(accepted: (_, _, fd) =>
        {
            Syscalls.Close(fd);
            Interlocked.Increment(ref _accepted);
        });
        try
        {
            await SocketKit.Until(() => Volatile.Read(ref _accepted) == Volatile.Read(ref connected), "what was connected was accepted");
        }
        catch (Exception)
        {
            Assert.Equal(connected, _accepted);
        }

        await last.StopAsync().InTime();
    }

    public async ValueTask DisposeAsync()
    {
        await _group.DisposeAsync();
        foreach (Socket client in _clients)
        {
            client.Dispose();
        }

        _socket.Dispose();
    }

    private int Fd => (int)_socket.SafeHandle.DangerousGetHandle();

    private async Task<Socket> ConnectAsync()
    {
        Socket client = await SocketKit.Connect(Port);
        _clients.Add(client);
        return client;
    }

    private LoopAcceptor Accept(ConnectionGate? gate = null, AcceptedOnLoop? accepted = null, int mark = int.MaxValue, State? state = null)
    {
        AcceptContext context = new((_, _) => { }, gate, TimeProvider.System, NullLogger.Instance, mark, _ => { }, (_, _) => { });
        LoopDispatch dispatch = new(_group, accepted ?? ((_, _, fd) =>
        {
            _clients.Add(new Socket(new SafeSocketHandle(fd, ownsHandle: true)));
            Interlocked.Increment(ref _accepted);
        }));
        return new LoopAcceptor(
            dispatch, Fd, (IPEndPoint)_socket.LocalEndPoint!, new ListenerState(SocketKit.Plan(Port), gate), context, state ?? new State(this));
    }

    private sealed class State(LoopAcceptorTests tests) : IAcceptState
    {
        public Action? Works { get; init; }

        public void SetStarved(bool starved) => tests._starved = starved;

        public void SetFailing(string? why)
        {
            tests._failing.Enqueue(why);
            Works?.Invoke();
        }
    }
}
