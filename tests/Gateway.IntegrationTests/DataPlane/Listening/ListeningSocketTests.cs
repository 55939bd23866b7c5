using System.Net;
using System.Net.Sockets;
using Gateway.Catalog;
using Gateway.DataPlane.Listening;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.IntegrationTests.DataPlane.Listening;

/// <summary>Goal: a bound port never dies silently, and its end loses as few clients as the kernel allows.</summary>
public class ListeningSocketTests : ListeningTests
{
    [Fact]
    public async Task A_socket_that_somebody_else_shut_is_a_problem_and_listens_again_by_itself()
    {
        int port = SocketKit.FreePort();
        await using ListenerSet set = Set(SocketKit.Greet("hi"));
        await set.OpenAsync([SocketKit.Plan(port)], []);
        await ShutAsync(set, port);
        using Socket client = await SocketKit.Connect(port);
        Assert.Equal("hi", await client.ReceiveText(2));
        await SocketKit.Until(() => set.Problems.Count == 0, "the problem is over");
    }

    [Fact]
    public async Task While_a_port_cannot_accept_there_is_a_problem_that_goes_with_the_port()
    {
        // Time stands still, so the first pause never ends.
        int port = SocketKit.FreePort();
        await using ListenerSet set = Set(SocketKit.Greet("hi"), time: new StillTime());
        await set.OpenAsync([SocketKit.Plan(port)], []);
        ExportedSocket exported = Assert.Single(await set.ExportAsync());
        using (Socket other = new(SocketKit.Duplicate(exported.Handle)))
        {
            other.Shutdown(SocketShutdown.Both);
        }

        await SocketKit.Until(() => set.Problems.Count == 1, "the problem is shown");
        Problem problem = Assert.Single(set.Problems);
        Assert.Equal(("accept-failed", "orders", $"127.0.0.1:{port}"), (problem.Code, problem.Service, problem.Place));
        await set.CloseAsync([SocketKit.Plan(port)]).InTime();
        Assert.Empty(set.Problems);
    }

    [Fact]
    public async Task An_accept_loop_that_failed_by_our_own_mistake_starts_again()
    {
        int port = SocketKit.FreePort();
        await using ListenerSet set = Set(SocketKit.Greet("hi"), time: new BrokenOnce());
        await set.OpenAsync([SocketKit.Plan(port)], []);
        await ShutAsync(set, port);
        using Socket client = await SocketKit.Connect(port);
        Assert.Equal("hi", await client.ReceiveText(2));
        await SocketKit.Until(() => set.Problems.Count == 0, "the problem is over");
    }

    [Fact]
    public async Task A_close_serves_what_waits_even_above_the_limit()
    {
        int port = SocketKit.FreePort();
        await using ListenerSet set = Set(SocketKit.Greet("hi"), maxConnections: 1);
        await set.OpenAsync([SocketKit.Plan(port)], []);
        using Socket first = await SocketKit.Connect(port);
        Assert.Equal("hi", await first.ReceiveText(2));
        List<Socket> waiting = [await SocketKit.Connect(port), await SocketKit.Connect(port), await SocketKit.Connect(port)];
        await set.StopAcceptingAsync();
        Assert.Equal(4, set.Gate.Open);
        foreach (Socket client in waiting)
        {
            Assert.Equal("hi", await client.ReceiveText(2));
            client.Dispose();
        }

        await SocketKit.Until(() => set.Gate.Open == 1, "all places but one are given back");
    }

    [Fact]
    public async Task A_close_without_descriptors_says_how_many_it_abandons()
    {
        LogLines log = new();
        ConnectionGate gate = new(0);
        AcceptContext context = Context((_, socket) => socket.Dispose(), gate, TimeProvider.System, log, 0);
        ListeningSocket socket = ListeningSocket.Open(
            SocketKey.Tcp(new IPEndPoint(IPAddress.Loopback, 0)), null, new ListenerState(SocketKit.Plan(1), gate), context);
        List<Socket> waiting = [];
        for (int i = 0; i < 3; i++)
        {
            waiting.Add(await SocketKit.Connect(socket.EndPoint.Port));
        }

        await socket.CloseAsync(acceptQueued: true).InTime();
        Assert.Contains("3 connections", Assert.Single(log.Warnings), StringComparison.Ordinal);
        Assert.Equal(0, gate.Open);
        waiting.ForEach(w => w.Dispose());
    }

    [Fact]
    public async Task Without_descriptors_a_held_client_is_let_go_in_the_end()
    {
        // Every number is above this mark by a little, as when listeners alone have taken what there is. (Should another
        // test free a lower one meanwhile, the client is served, which ends it as well.)
        int mark;
        using (Socket probe = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp))
        {
            mark = (int)probe.SafeHandle.DangerousGetHandle();
        }

        AcceptContext context = Context((_, socket) => socket.Dispose(), null, new FastTime(), NullLogger.Instance, mark);
        await using ListeningSocket socket = ListeningSocket.Open(
            SocketKey.Tcp(new IPEndPoint(IPAddress.Loopback, 0)), null, new ListenerState(SocketKit.Plan(1)), context);
        using Socket client = await SocketKit.Connect(socket.EndPoint.Port);
        Assert.Equal("", await client.ReceiveToEnd());
    }

    // As a predecessor of another make may do: shutdown acts on the description that both share.
    private static async Task ShutAsync(ListenerSet set, int port)
    {
        using Socket other = new(SocketKit.Duplicate(Assert.Single(await set.ExportAsync()).Handle));
        other.Shutdown(SocketShutdown.Both);
        await SocketKit.Until(
            async () => !await SocketKit.Refuses(port), "somebody listens again"); // refused until it has healed
    }

    /// <summary>Timers never fire.</summary>
    private sealed class StillTime : LoopTime
    {
        public override long GetTimestamp() => 1;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            base.CreateTimer(callback, state, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>The first pause fails.</summary>
    private sealed class BrokenOnce : TimeProvider
    {
        private int _pauses;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            dueTime != Timeout.InfiniteTimeSpan && Interlocked.Increment(ref _pauses) == 1
                ? throw new InvalidOperationException("no timers today")
                : base.CreateTimer(callback, state, dueTime, period);
    }
}

/// <summary>The same when the loops accept.</summary>
public sealed class ListeningSocketOnLoopsTests : ListeningSocketTests
{
    private protected override bool Loops => true;
}
