using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Gateway.DataPlane.Loops;
using Gateway.IntegrationTests.DataPlane.Listening;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.IntegrationTests.DataPlane.Loops;

/// <summary>Goal: a loop serves its own sockets and nobody else's, whatever they throw, close, hand on, or post at its end.</summary>
public sealed class EventLoopTests : IAsyncDisposable
{
    private readonly EventLoop _loop = new(0, TimeProvider.System, NullLogger.Instance);
    private readonly List<Socket> _peers = [];
    private bool _ended;

    public EventLoopTests() => _loop.Start();

    [Fact]
    public async Task What_is_posted_runs_in_order_and_on_the_loop()
    {
        List<int> order = [];
        for (int i = 0; i < 1000; i++)
        {
            int n = i;
            _loop.Post(_ => order.Add(_loop.IsHere ? n : -1), null);
        }

        Assert.Equal(Enumerable.Range(0, 1000), await _loop.AskAsync(() => order.ToArray()).InTime());
    }

    [Fact]
    public async Task Many_threads_may_post_while_the_loop_ends_and_nobody_elses_descriptor_is_written_to()
    {
        // An eventfd is an ordinary number: right after the loop's end it belongs to somebody else.
        for (int round = 0; round < 50; round++)
        {
            EventLoop loop = new(1, TimeProvider.System, NullLogger.Instance);
            loop.Start();
            using CancellationTokenSource stop = new();
            Task[] posters = [.. Enumerable.Range(0, 3).Select(_ => Task.Run(() =>
            {
                while (!stop.IsCancellationRequested)
                {
                    loop.Post(static _ => { }, null);
                }
            }))];
            await Task.Run(loop.Dispose).InTime();
            int[] numbers = [.. Enumerable.Range(0, 4).Select(_ => Syscalls.EventFd())];
            for (int i = 0; i < 200; i++)
            {
                loop.Post(static _ => { }, null);
            }

            await stop.CancelAsync();
            await Task.WhenAll(posters).InTime();
            Assert.All(numbers, fd => Assert.Equal(-Errno.Again, Syscalls.Unsignal(fd)));
            foreach (int fd in numbers)
            {
                Syscalls.Close(fd);
            }
        }
    }

    [Fact]
    public async Task Whoever_asks_a_loop_that_has_ended_is_told()
    {
        await EndAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _loop.AskAsync(() => 1).InTime());
    }

    [Fact]
    public async Task Whoever_waits_for_an_answer_when_the_loop_ends_is_told()
    {
        using ManualResetEventSlim hold = new();
        _loop.Post(_ => hold.Wait(), null);
        _loop.Stop();
        Task<int>[] questions = [.. Enumerable.Range(0, 100).Select(i => _loop.AskAsync(() => i))];
        hold.Set();
        foreach (Task<int> question in questions)
        {
            await Task.WhenAny(question).InTime();
            Assert.True(question.IsCompleted);
        }

        await _loop.Ended.InTime();
    }

    [Fact]
    public async Task Work_that_throws_ends_neither_the_loop_nor_what_was_posted_behind_it()
    {
        _loop.Post(_ => throw new InvalidOperationException("mine"), null);
        await Assert.ThrowsAsync<InvalidOperationException>(() => _loop.AskAsync<int>(() => throw new InvalidOperationException("mine")));
        Assert.Equal(3, await _loop.AskAsync(() => 3).InTime());
    }

    [Fact]
    public async Task A_socket_that_throws_is_closed_and_the_others_go_on()
    {
        (Probe bad, Socket badPeer) = await PairAsync(p => throw new InvalidOperationException("mine"));
        (Probe good, Socket goodPeer) = await PairAsync(Echo);
        await badPeer.SendText("x");
        Assert.Equal("", await EndOf(badPeer));
        await goodPeer.SendText("hello");
        Assert.Equal("hello", await goodPeer.ReceiveText(5));
        Assert.Equal((true, 1, false), (bad.IsClosed, bad.Faults, good.IsClosed));
    }

    [Fact]
    public async Task A_timer_that_throws_closes_its_socket_and_the_others_go_on()
    {
        (Probe bad, Socket badPeer) = await PairAsync(_ => { });
        (_, Socket goodPeer) = await PairAsync(Echo);
        bad.Due = () => throw new InvalidOperationException("mine");
        await _loop.AskAsync(() =>
        {
            bad.SetTimer(1);
            return 0;
        });
        Assert.Equal("", await EndOf(badPeer));
        await goodPeer.SendText("hello");
        Assert.Equal("hello", await goodPeer.ReceiveText(5));
    }

    [Fact]
    public async Task A_socket_that_can_repair_itself_keeps_its_descriptor()
    {
        // As a listening socket does: its descriptor is somebody else's, and its port must go on.
        (Probe probe, Socket peer) = await PairAsync(p =>
        {
            if (p.CanRead && p.Events++ == 0)
            {
                throw new InvalidOperationException("mine");
            }

            Echo(p);
        });
        probe.Repairs = true;
        await peer.SendText("one");
        await SocketKit.Until(() => probe.Faults == 1, "it failed");
        await peer.SendText("two");
        Assert.Equal("onetwo", await peer.ReceiveText(6));
    }

    [Fact]
    public async Task An_event_of_a_closed_descriptor_does_not_reach_who_has_its_number_next()
    {
        // Both are ready in one batch; the first to run closes the other and takes its number for a socket with nothing to read.
        // Another test may be quicker in taking the number, so it is tried until it works.
        (Socket idle, int idleFd) = await RawPairAsync();
        for (int round = 0; round < 50; round++)
        {
            (Probe one, Socket onePeer) = await PairAsync(_ => { });
            (Probe two, Socket twoPeer) = await PairAsync(_ => { });
            Probe? reused = null;
            int number = -1;
            void Swap(Probe me)
            {
                if (me.CanRead && reused is null)
                {
                    Probe other = me == one ? two : one;
                    number = other.Fd;
                    other.Close();
                    reused = new Probe(_loop, DuplicateAs(idleFd, number), p => p.Events += p.CanRead ? 1 : 0);
                    reused.Attach();
                }
            }

            (one.Ready, two.Ready) = (Swap, Swap);
            using (ManualResetEventSlim hold = new())
            {
                _loop.Post(_ => hold.Wait(), null);
                await onePeer.SendText("x");
                await twoPeer.SendText("x");
                hold.Set();
            }

            await SocketKit.Until(async () => await _loop.AskAsync(() => reused is not null), "the number was taken");
            Assert.Equal(0, await _loop.AskAsync(() => reused!.Events).InTime());
            if (await _loop.AskAsync(() => reused!.Fd) == number)
            {
                await idle.SendText("y");
                await SocketKit.Until(async () => await _loop.AskAsync(() => reused!.Events) == 1, "its own event comes");
                Syscalls.Close(idleFd);
                return;
            }
        }

        Assert.Fail("the number was never free");
    }

    [Fact]
    public async Task A_greedy_socket_leaves_the_others_their_turn()
    {
        long turns = 0;
        (Probe greedy, Socket peer) = await PairAsync(p =>
        {
            turns++;
            _loop.Defer(p);
            _loop.Defer(p);
        });
        (_, Socket other) = await PairAsync(Echo);
        for (int i = 0; i < 50; i++)
        {
            await other.SendText("ping");
            Assert.Equal("ping", await other.ReceiveText(4));
            Assert.Equal(7, await _loop.AskAsync(() => 7).InTime());
        }

        // One turn of the loop is one of the socket, however often it asks; plus its events.
        (long loops, long mine) = await _loop.AskAsync(() => (_loop.Turns, turns));
        Assert.InRange(mine, 50, loops + 2);
        await _loop.AskAsync(() =>
        {
            greedy.Close();
            return 0;
        });
        peer.Dispose();
    }

    [Fact]
    public async Task Who_is_closed_or_handed_on_while_deferred_is_not_called_again()
    {
        int calls = 0;
        (Probe first, _) = await PairAsync(_ => { });
        (Probe second, _) = await PairAsync(_ => { });
        first.Ready = second.Ready = _ => calls++;
        int fd = await _loop.AskAsync(() =>
        {
            _loop.Defer(first);
            _loop.Defer(second);
            first.Close();
            return second.Detach();
        });
        Assert.Equal(0, await _loop.AskAsync(() => calls).InTime());
        Assert.Equal(0, await _loop.AskAsync(() => calls).InTime());
        Syscalls.Close(fd);
    }

    [Fact]
    public async Task A_descriptor_that_is_handed_on_lives_and_may_be_adopted_again()
    {
        (Probe probe, Socket peer) = await PairAsync(_ => { });
        int sockets = _loop.Sockets;
        int fd = await _loop.AskAsync(probe.Detach).InTime();
        Assert.Equal((true, sockets - 1), (probe.IsClosed, _loop.Sockets));
        await peer.SendText("hello");

        // What arrived in between is told when it is adopted.
        Probe next = new(_loop, fd, Echo);
        Assert.True(await _loop.AskAsync(next.Attach).InTime());
        Assert.Equal("hello", await peer.ReceiveText(5));
        await _loop.AskAsync(() =>
        {
            probe.Close();
            probe.Reset();
            return probe.Detach();
        });
        await peer.SendText("still");
        Assert.Equal("still", await peer.ReceiveText(5));
    }

    [Fact]
    public async Task A_second_registration_that_the_kernel_refuses_does_not_cost_the_first()
    {
        (Probe probe, Socket peer) = await PairAsync(Echo);
        Assert.False(await _loop.AskAsync(probe.Attach).InTime());
        await peer.SendText("hello");
        Assert.Equal("hello", await peer.ReceiveText(5));
    }

    [Fact]
    public async Task At_the_end_every_socket_is_closed_even_when_one_throws()
    {
        (Probe first, Socket one) = await PairAsync(_ => { });
        (_, Socket two) = await PairAsync(_ => { });
        first.Ends = () => throw new InvalidOperationException("mine");
        await EndAsync();
        Assert.Equal("", await EndOf(two));
        one.Dispose();
    }

    [Fact]
    public async Task A_call_that_takes_long_is_counted_and_told_while_it_lasts()
    {
        using ManualResetEventSlim hold = new(), inside = new();
        long before = _loop.Blocked;
        _loop.Post(
            _ =>
            {
                inside.Set();
                hold.Wait();
            },
            null);
        inside.Wait(SocketKit.Deadline, TestContext.Current.CancellationToken);
        await SocketKit.Until(() => _loop.Busy() is { } busy && busy.For > EventLoop.BlockedAfter, "it is seen from outside");
        string by = _loop.Busy()!.Value.By;
        hold.Set();
        Assert.Contains(nameof(EventLoopTests), by, StringComparison.Ordinal);
        await SocketKit.Until(() => _loop.Blocked > before, "it is counted");
        await SocketKit.Until(() => _loop.Busy() is null, "it is over");
    }

    [Fact]
    public async Task An_outbox_keeps_what_a_slow_peer_does_not_take_and_gives_its_memory_back()
    {
        ConcurrentQueue<string> errors = new();
        Outbox outbox = default;
        byte[] text = Encoding.ASCII.GetBytes(string.Join(',', Enumerable.Range(0, 2_500_000)));
        int offered = 0;
        void Go(Probe p)
        {
            while (true)
            {
                if (!outbox.IsEmpty && (!p.CanWrite || outbox.Flush(p) < 0 || !outbox.IsEmpty))
                {
                    return;
                }

                if (offered == text.Length)
                {
                    p.Close();
                    return;
                }

                int one = Math.Min(50_000, text.Length - offered), half = one / 3;
                if ((offered / 50_000) % 2 == 0)
                {
                    outbox.Send(p, text.AsSpan(offered, one));
                }
                else
                {
                    outbox.Send(p, text.AsSpan(offered, half), text.AsSpan(offered + half, one - half));
                }

                offered += one;
            }
        }

        (_, Socket peer) = await PairAsync(Go);
        await SocketKit.Until(async () => await _loop.AskAsync(() => !outbox.IsEmpty), "the peer is slow");
        Assert.Equal(Encoding.ASCII.GetString(text), await peer.ReceiveText(text.Length));
        Assert.Equal("", await EndOf(peer));
        Assert.True(await _loop.AskAsync(() => outbox.IsEmpty && !ReferenceEquals(_loop.Buffers.Rent(5000), _loop.Buffers.Rent(5000))));
    }

    // The kernel gives the lowest free number, so those below are filled first.
    private static int DuplicateAs(int fd, int number)
    {
        List<int> below = [];
        int got;
        while ((got = Syscalls.Duplicate(fd)) < number)
        {
            below.Add(got);
        }

        below.ForEach(Syscalls.Close);
        return got;
    }

    public async ValueTask DisposeAsync()
    {
        await EndAsync();
        _peers.ForEach(p => p.Dispose());
    }

    private async Task EndAsync()
    {
        if (!_ended)
        {
            _ended = true;
            await Task.Run(_loop.Dispose).InTime();
        }
    }

    private static async Task<string> EndOf(Socket peer)
    {
        try
        {
            return await peer.ReceiveToEnd();
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
        {
            return "";
        }
    }

    private static void Echo(Probe probe)
    {
        while (probe.CanRead)
        {
            int count = probe.Receive(probe.Loop.Buffers.Input);
            if (count > 0)
            {
                probe.Send(probe.Loop.Buffers.Input.AsSpan(0, count));
            }
            else if (count != -Errno.Again)
            {
                probe.Close();
                return;
            }
        }
    }

    private async Task<(Probe Probe, Socket Peer)> PairAsync(Action<Probe> ready)
    {
        (Socket peer, int fd) = await RawPairAsync();
        Probe probe = new(_loop, fd, ready);
        Assert.True(await _loop.AskAsync(probe.Attach).InTime());
        return (probe, peer);
    }

    private async Task<(Socket Peer, int Fd)> RawPairAsync()
    {
        using Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(1);
        listener.Blocking = false;
        Socket peer = await SocketKit.Connect(((IPEndPoint)listener.LocalEndPoint!).Port);
        _peers.Add(peer);
        int fd = -1;
        await SocketKit.Until(() => (fd = Syscalls.Accept((int)listener.SafeHandle.DangerousGetHandle(), [], out _)) >= 0, "accepted");
        return (peer, fd);
    }

    private sealed class Probe(EventLoop loop, int fd, Action<Probe> ready) : LoopSocket(loop, fd)
    {
        public Action<Probe> Ready { get; set; } = ready;

        public new Action? Due { get; set; }

        public Action? Ends { get; set; }

        public bool Repairs { get; set; }

        public int Faults { get; private set; }

        public int Events { get; set; }

        public new bool Attach() => base.Attach();

        protected override void OnReady() => Ready(this);

        protected internal override void OnDue() => Due?.Invoke();

        protected internal override void OnLoopEnds()
        {
            Ends?.Invoke();
            base.OnLoopEnds();
        }

        protected internal override void OnFault()
        {
            Faults++;
            if (!Repairs)
            {
                base.OnFault();
            }
        }
    }
}
