using System.Collections.Concurrent;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Gateway.Catalog;
using Gateway.DataPlane.Listening;
using Gateway.Planning;

namespace Gateway.IntegrationTests.DataPlane.Listening;

public class ListenerSetTests : ListeningTests
{
    [Fact]
    public async Task A_port_is_open_on_both_loopbacks_and_closes_when_it_goes()
    {
        int port = SocketKit.FreePort();
        await using ListenerSet set = Set(SocketKit.Greet("hi"), addresses: ["127.0.0.1", "::1"]);
        await set.OpenAsync([SocketKit.Plan(port)], []);

        Assert.Empty(set.Problems);
        ListenerState listener = Assert.Single(set.Listeners);
        Assert.Contains(listener.Bindings, b => b.IsBound && b.EndPoint.Equals(new IPEndPoint(IPAddress.Loopback, port)));
        using (Socket four = await SocketKit.Connect(port))
        {
            Assert.Equal("hi", await four.ReceiveText(2));
            if (SocketKit.HasIPv6)
            {
                using Socket six = await SocketKit.Connect(port, IPAddress.IPv6Loopback);
                Assert.Equal("hi", await six.ReceiveText(2));
                Assert.Equal(2, listener.Accepted);
            }
        }

        await set.CloseAsync([SocketKit.Plan(port)]);
        Assert.Empty(set.Listeners);
        Assert.True(listener.Closing);
        Assert.True(await SocketKit.Refuses(port));
        await SocketKit.Until(() => listener.Connections == 0 && set.Gate.Open == 0, "connections are counted out");
    }

    [Fact]
    public async Task Sockets_are_v6_only_reusable_after_time_wait_and_never_shared()
    {
        const int SoReuseAddr = 2, SoReusePort = 15;
        int port = SocketKit.FreePort();
        await using ListenerSet set = Set(SocketKit.Greet("hi"), addresses: ["127.0.0.1", "::1"]);
        await set.OpenAsync([SocketKit.Plan(port)], []);
        foreach (ExportedSocket exported in await set.ExportAsync())
        {
            using Socket socket = new(SocketKit.Duplicate(exported.Handle));
            Assert.Equal(1, SocketKit.RawSocketOption(socket, SoReuseAddr));
            Assert.Equal(0, SocketKit.RawSocketOption(socket, SoReusePort));
            if (exported.Key.Family == AddressFamily.InterNetworkV6)
            {
                Assert.False(socket.DualMode);
            }
        }
    }

    [Fact]
    public async Task A_removed_and_returned_port_is_a_new_listener_and_old_connections_live()
    {
        int port = SocketKit.FreePort();
        await using ListenerSet set = Set((l, s) => Echo(l, s));
        await set.OpenAsync([SocketKit.Plan(port)], []);
        ListenerState first = set.Listeners[0];
        using Socket old = await SocketKit.Connect(port);
        await old.SendText("a");
        Assert.Equal("a", await old.ReceiveText(1));

        await set.CloseAsync([SocketKit.Plan(port)]);
        await set.OpenAsync([SocketKit.Plan(port)], []);

        ListenerState second = Assert.Single(set.Listeners);
        Assert.NotSame(first, second);
        Assert.True(first.Closing);
        Assert.False(second.Closing);
        await old.SendText("b");
        Assert.Equal("b", await old.ReceiveText(1));
        Assert.Equal((1, 0), (first.Connections, second.Connections));
    }

    [Fact]
    public async Task A_port_changes_its_protocol_without_closing_its_socket()
    {
        int port = SocketKit.FreePort();
        await using ListenerSet set = Set(SocketKit.Greet("tcp!"), SocketKit.Greet("http"));
        ListenerPlan before = SocketKit.Plan(port, ListenProtocol.Http);
        ListenerPlan after = SocketKit.Plan(port, ListenProtocol.Tcp);
        await set.OpenAsync([before], []);
        SafeSocketHandle handle = (await set.ExportAsync())[0].Handle;
        using Socket http = await SocketKit.Connect(port);
        Assert.Equal("http", await http.ReceiveText(4));

        await set.OpenAsync([], [new Change<ListenerPlan>(before, after)]);

        using Socket tcp = await SocketKit.Connect(port);
        Assert.Equal("tcp!", await tcp.ReceiveText(4));
        Assert.Same(handle, (await set.ExportAsync())[0].Handle);
        Assert.Equal(2, set.Listeners[0].Accepted);
    }

    [Fact]
    public async Task A_taken_port_is_a_problem_that_names_the_owner_and_ends_by_itself()
    {
        int taken = SocketKit.FreePort(), free = SocketKit.FreePort();
        await using ListenerSet set = Set(
            SocketKit.Greet("hi"), addresses: ["127.0.0.1", "127.0.0.2"], time: new FastTime());
        using (Socket other = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp))
        {
            other.Bind(new IPEndPoint(IPAddress.Loopback, taken));
            other.Listen();
            await set.OpenAsync([SocketKit.Plan(taken), SocketKit.Plan(free, service: "billing")], []);

            Problem problem = Assert.Single(set.Problems);
            Assert.Equal(("port-in-use", "orders", $"127.0.0.1:{taken}"), (problem.Code, problem.Service, problem.Place));
            Assert.Contains($"pid {Environment.ProcessId} (", problem.Now, StringComparison.Ordinal);
            Assert.Equal(
                ["port-in-use", null], set.Listeners.Single(l => l.Key.Port == taken).Bindings.Select(b => b.Failure));

            // The other address of this port and the other port serve meanwhile.
            using Socket elsewhere = await SocketKit.Connect(taken, IPAddress.Parse("127.0.0.2"));
            using Socket neighbour = await SocketKit.Connect(free);
            Assert.Equal("hi", await elsewhere.ReceiveText(2));
            Assert.Equal("hi", await neighbour.ReceiveText(2));
        }

        await SocketKit.Until(() => set.Problems.Count == 0, "the port is free and bound");
        using Socket client = await SocketKit.Connect(taken);
        Assert.Equal("hi", await client.ReceiveText(2));
        Assert.All(set.Listeners.SelectMany(l => l.Bindings), b => Assert.True(b.IsBound));
    }

    [Fact]
    public async Task An_address_this_host_does_not_have_is_one_problem_for_all_ports()
    {
        int[] ports = [SocketKit.FreePort(), SocketKit.FreePort()];
        await using ListenerSet set = Set(SocketKit.Greet("hi"), addresses: ["127.0.0.1", "192.0.2.7"]);
        await set.OpenAsync([.. ports.Order().Select(p => SocketKit.Plan(p))], []);

        Problem problem = Assert.Single(set.Problems);
        Assert.Equal(("address-not-available", "192.0.2.7", null), (problem.Code, problem.Place, problem.Service));
        using Socket client = await SocketKit.Connect(ports[0]);
        Assert.Equal("hi", await client.ReceiveText(2));
    }

    [Fact]
    public async Task An_interface_name_stands_for_its_addresses_and_a_missing_one_is_a_problem()
    {
        int port = SocketKit.FreePort();
        await using ListenerSet set = Set(SocketKit.Greet("hi"), addresses: ["lo", "gw-not-there0"]);
        await set.OpenAsync([SocketKit.Plan(port)], []);

        IPAddress[] expected = [.. NetworkInterface.GetAllNetworkInterfaces().Single(i => i.Name == "lo")
            .GetIPProperties().UnicastAddresses.Select(u => u.Address)];
        Assert.Contains(IPAddress.Loopback, expected);
        Assert.Equal(
            expected.Select(a => a.ToString()).Order(),
            set.Listeners[0].Bindings.Where(b => b.IsBound).Select(b => b.EndPoint.Address.ToString()).Order());
        Problem problem = Assert.Single(set.Problems);
        Assert.Equal(("interface-not-found", "gw-not-there0"), (problem.Code, problem.Value));
    }

    [Fact]
    public async Task An_interface_that_appears_later_is_bound_then_and_one_that_goes_keeps_its_sockets()
    {
        int port = SocketKit.FreePort();
        IReadOnlyList<IPAddress> bridge = [];
        await using ListenerSet set = Set(
            SocketKit.Greet("hi"), addresses: ["127.0.0.1", "bridge0"], time: new FastTime(),
            interfaces: name => name == "bridge0" ? Volatile.Read(ref bridge) : []);
        await set.OpenAsync([SocketKit.Plan(port)], []);
        SafeSocketHandle kept = Assert.Single(await set.ExportAsync()).Handle;
        Assert.Equal("interface-not-found", Assert.Single(set.Problems).Code);

        Volatile.Write(ref bridge, [IPAddress.Parse("127.0.0.5")]);
        await SocketKit.Until(() => set.Problems.Count == 0, "the interface is found");
        using (Socket client = await SocketKit.Connect(port, IPAddress.Parse("127.0.0.5")))
        {
            Assert.Equal("hi", await client.ReceiveText(2));
        }

        // Another address: the new one is bound, the old one closed, the neighbour untouched.
        Volatile.Write(ref bridge, [IPAddress.Parse("127.0.0.6")]);
        await SocketKit.Until(
            () => set.Listeners[0].Bindings.Any(b => b.EndPoint.Address.Equals(IPAddress.Parse("127.0.0.6"))),
            "the new one is bound");
        await SocketKit.Until(() => SocketKit.Refuses(port, IPAddress.Parse("127.0.0.5")), "the old one is closed");
        Assert.Same(kept, (await set.ExportAsync()).Single(e => e.Key.Address.Equals(IPAddress.Loopback)).Handle);

        Volatile.Write(ref bridge, []);
        await SocketKit.Until(() => set.Problems.Count == 1, "the interface is missed");
        using Socket still = await SocketKit.Connect(port, IPAddress.Parse("127.0.0.6"));
        Assert.Equal("hi", await still.ReceiveText(2));
    }

    [Fact]
    public async Task Frequent_plans_do_not_keep_a_new_interface_from_being_found()
    {
        int port = SocketKit.FreePort();
        IReadOnlyList<IPAddress> bridge = [];
        await using ListenerSet set = Set(
            SocketKit.Greet("hi"), addresses: ["127.0.0.1", "bridge0"], time: new FastTime(),
            interfaces: name => name == "bridge0" ? Volatile.Read(ref bridge) : []);
        ListenerPlan plan = SocketKit.Plan(port);
        await set.OpenAsync([plan], []);
        Volatile.Write(ref bridge, [IPAddress.Parse("127.0.0.5")]);
        await SocketKit.Until(
            async () =>
            {
                await set.OpenAsync([], [new Change<ListenerPlan>(plan, plan)]);
                return set.Problems.Count == 0;
            },
            "the interface is found");
    }

    [Fact]
    public async Task A_set_that_is_gone_opens_nothing_and_may_be_ended_again()
    {
        int port = SocketKit.FreePort();
        ListenerSet set = Set(SocketKit.Greet("hi"));
        await set.DisposeAsync();
        await set.DisposeAsync();
        await set.OpenAsync([SocketKit.Plan(port)], []);
        await Assert.ThrowsAsync<ObjectDisposedException>(
            () => set.OpenOwnAsync("admin", new IPEndPoint(IPAddress.Loopback, port), SocketKit.Greet("hi")));
        Assert.True(await SocketKit.Refuses(port));
        await set.StopAcceptingAsync().InTime();
    }

    [Fact]
    public async Task An_interface_that_goes_keeps_its_own_sockets_only_also_over_new_options()
    {
        int port = SocketKit.FreePort();
        IReadOnlyList<IPAddress> gone = [IPAddress.Parse("127.0.0.5")], moved = [IPAddress.Parse("127.0.0.6")];
        await using ListenerSet set = Set(
            SocketKit.Greet("hi"), addresses: ["gone0", "moved0"], time: new FastTime(),
            interfaces: name => name == "gone0" ? Volatile.Read(ref gone) : Volatile.Read(ref moved));
        await set.OpenAsync([SocketKit.Plan(port)], []);
        string[] Bound() => [.. set.Listeners[0].Bindings.Select(b => b.EndPoint.Address.ToString()).Order(StringComparer.Ordinal)];
        Assert.Equal(["127.0.0.5", "127.0.0.6"], Bound());

        Volatile.Write(ref gone, []);
        Volatile.Write(ref moved, [IPAddress.Parse("127.0.0.7")]);
        await SocketKit.Until(() => Bound() is ["127.0.0.5", "127.0.0.7"], "one moves, the other keeps what it had");

        await set.ReconfigureAsync(new ListeningOptions { Addresses = ["gone0", "moved0", "127.0.0.8"] });
        Assert.Equal(["127.0.0.5", "127.0.0.7", "127.0.0.8"], Bound());
        Assert.Equal("interface-not-found", Assert.Single(set.Problems).Code);
    }

    [Fact]
    public async Task New_addresses_are_bound_and_gone_ones_closed_while_kept_ones_stay()
    {
        int port = SocketKit.FreePort();
        await using ListenerSet set = Set((l, s) => Echo(l, s), addresses: ["127.0.0.1", "127.0.0.2"]);
        await set.OpenAsync([SocketKit.Plan(port)], []);
        ListenerState listener = set.Listeners[0];
        SafeSocketHandle kept = (await set.ExportAsync()).Single(e => e.Key.Address.Equals(IPAddress.Loopback)).Handle;
        using Socket onKept = await SocketKit.Connect(port);
        using Socket onGone = await SocketKit.Connect(port, IPAddress.Parse("127.0.0.2"));

        // A client may believe itself connected before the server's kernel has seen its last acknowledgement; a close then resets it,
        // and nobody can help that. Bytes that came back prove that this one is beyond that.
        foreach (Socket client in new[] { onKept, onGone })
        {
            await client.SendText("x");
            Assert.Equal("x", await client.ReceiveText(1));
        }

        await set.ReconfigureAsync(new ListeningOptions { Addresses = ["127.0.0.1", "127.0.0.3"] });

        Assert.Same(listener, Assert.Single(set.Listeners));
        Assert.Same(kept, (await set.ExportAsync()).Single(e => e.Key.Address.Equals(IPAddress.Loopback)).Handle);
        Assert.True(await SocketKit.Refuses(port, IPAddress.Parse("127.0.0.2")));
        using Socket onNew = await SocketKit.Connect(port, IPAddress.Parse("127.0.0.3"));
        foreach (Socket client in new[] { onKept, onGone, onNew })
        {
            await client.SendText("x");
            Assert.Equal("x", await client.ReceiveText(1));
        }
    }

    [Fact]
    public async Task The_wildcard_replaces_single_addresses_without_waiting_for_a_retry()
    {
        int port = SocketKit.FreePort();
        await using ListenerSet set = Set(SocketKit.Greet("hi"));
        await set.OpenAsync([SocketKit.Plan(port)], []);
        await set.ReconfigureAsync(new ListeningOptions { Addresses = ["0.0.0.0"] });
        Assert.Empty(set.Problems);
        using Socket client = await SocketKit.Connect(port, IPAddress.Parse("127.0.0.9"));
        Assert.Equal("hi", await client.ReceiveText(2));
    }

    [Fact]
    public async Task At_the_limit_the_excess_waits_and_is_served_when_there_is_room()
    {
        int port = SocketKit.FreePort();
        ConcurrentQueue<ListenerState> served = new();
        await using ListenerSet set = Set(SocketKit.Greet("hi", served), maxConnections: 3);
        await set.OpenAsync([SocketKit.Plan(port)], []);
        List<Socket> clients = [];
        for (int i = 0; i < 8; i++)
        {
            clients.Add(await SocketKit.Connect(port));
        }

        await SocketKit.Until(() => served.Count == 3, "three are served");
        Assert.Equal(3, set.Gate.Open);
        clients[0].Dispose();
        await SocketKit.Until(() => served.Count == 4, "one more is served");
        set.Gate.Limit = 100;
        await SocketKit.Until(() => served.Count == 8, "everybody is served");
        foreach (Socket client in clients.Skip(1))
        {
            Assert.Equal("hi", await client.ReceiveText(2));
            client.Dispose();
        }

        await SocketKit.Until(() => set.Gate.Open == 0, "all places are given back");
    }

    [Fact]
    public async Task Own_sockets_open_outside_of_the_limit_and_tell_who_is_in_the_way()
    {
        await using ListenerSet set = Set(SocketKit.Greet("hi"), maxConnections: 1);
        OwnSocket own = await set.OpenOwnAsync("admin", new IPEndPoint(IPAddress.Loopback, 0), SocketKit.Greet("admin"));
        Assert.Null(own.Problem);
        using Socket one = await SocketKit.Connect(own.EndPoint!.Port);
        using Socket two = await SocketKit.Connect(own.EndPoint.Port);
        Assert.Equal("admin", await two.ReceiveText(5));

        OwnSocket second = await set.OpenOwnAsync("embedded", own.EndPoint, SocketKit.Greet("no"));
        Assert.Null(second.Listener);
        Assert.Equal(("port-in-use", own.EndPoint.ToString()), (second.Problem!.Code, second.Problem.Place));
        Assert.Contains($"pid {Environment.ProcessId} (", second.Problem.Now, StringComparison.Ordinal);

        // A drain leaves them; /readyz must still answer.
        await set.StopAcceptingAsync();
        using Socket draining = await SocketKit.Connect(own.EndPoint.Port);
        Assert.Equal("admin", await draining.ReceiveText(5));
        await set.CloseOwnAsync("admin");
        Assert.True(await SocketKit.Refuses(own.EndPoint.Port));
    }

    [Fact]
    public async Task What_waits_in_the_queue_of_a_closing_port_is_still_served()
    {
        int port = SocketKit.FreePort();
        await using ListenerSet set = Set(SocketKit.Greet("hi"), maxConnections: 1);
        await set.OpenAsync([SocketKit.Plan(port)], []);
        using Socket first = await SocketKit.Connect(port);
        Assert.Equal("hi", await first.ReceiveText(2));
        List<Socket> waiting = [await SocketKit.Connect(port), await SocketKit.Connect(port)];
        set.Gate.Limit = 10;
        await set.StopAcceptingAsync();
        foreach (Socket client in waiting)
        {
            Assert.Equal("hi", await client.ReceiveText(2));
            client.Dispose();
        }

        Assert.True(await SocketKit.Refuses(port));
    }

    [Fact]
    public async Task Ports_come_and_go_under_load_and_no_other_port_notices()
    {
        int kept = SocketKit.FreePort();
        await using ListenerSet set = Set((l, s) => Echo(l, s));
        await set.OpenAsync([SocketKit.Plan(kept)], []);
        using CancellationTokenSource stop = new();
        int exchanges = 0;
        using Socket standing = await SocketKit.Connect(kept);
        Task keepAlive = Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                await standing.SendText("ping");
                Assert.Equal("ping", await standing.ReceiveText(4));
                Interlocked.Increment(ref exchanges);
            }
        });
        Task newConnections = Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                using Socket client = await SocketKit.Connect(kept);
                await client.SendText("pong");
                Assert.Equal("pong", await client.ReceiveText(4));
                Interlocked.Increment(ref exchanges);
            }
        });

        ListenerPlan[] ports = [.. Enumerable.Range(0, 5).Select(_ => SocketKit.FreePort()).Distinct().Order()
            .Select(p => SocketKit.Plan(p, service: "other"))];
        for (int change = 0; change < 100; change++)
        {
            await set.OpenAsync(ports, []);
            await set.CloseAsync(ports);
        }

        int before = Volatile.Read(ref exchanges);
        await SocketKit.Until(() => Volatile.Read(ref exchanges) > before + 20, "load went on");
        await stop.CancelAsync();
        await keepAlive.InTime();
        await newConnections.InTime();
        Assert.Equal(kept, Assert.Single(set.Listeners).Key.Port);
    }

    internal static void Echo(ListenerState listener, Socket socket)
    {
        listener.ConnectionOpened();
        _ = Task.Run(async () =>
        {
            using (socket)
            {
                try
                {
                    byte[] buffer = new byte[4096];
                    for (int read; (read = await socket.ReceiveAsync(buffer)) > 0;)
                    {
                        await socket.SendAsync(buffer.AsMemory(0, read));
                    }
                }
                catch (SocketException)
                {
                }
            }

            listener.ConnectionClosed();
        });
    }
}

/// <summary>The same when the loops accept.</summary>
public sealed class ListenerSetOnLoopsTests : ListenerSetTests
{
    private protected override bool Loops => true;
}
