using System.Net;
using System.Net.Sockets;
using Gateway.DataPlane.Listening;

namespace Gateway.IntegrationTests.DataPlane.Listening;

/// <summary>
/// Goal: a successor that holds a duplicate of our listening sockets is not harmed by our end. Method: dup(2) in this process
/// stands for the successor's descriptor: it is the same open file description.
/// </summary>
public class SocketHandoffTests : ListeningTests
{
    [Fact]
    public async Task Closing_under_connect_load_leaves_a_duplicate_listening_and_without_linger()
    {
        int port = SocketKit.FreePort();
        using CancellationTokenSource stop = new();
        Task[] load = [.. Enumerable.Range(0, 2).Select(_ => Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                try
                {
                    using Socket client = await SocketKit.Connect(port);
                }
                catch (SocketException)
                {
                }
            }
        }))];

        for (int round = 0; round < 100; round++)
        {
            await using ListenerSet set = Set((listener, socket) =>
            {
                listener.ConnectionOpened();
                socket.Dispose();
                listener.ConnectionClosed();
            });
            await set.OpenAsync([SocketKit.Plan(port)], []);
            Assert.Empty(set.Problems);
            using Socket duplicate = new(SocketKit.Duplicate(Assert.Single(await set.ExportAsync()).Handle));
            await SocketKit.Until(() => set.Listeners[0].Accepted > 0, "load arrives");

            await set.StopAcceptingAsync();

            Assert.True(SocketKit.IsListening(duplicate), $"round {round}: the duplicate is dead");
            Assert.False(duplicate.LingerState!.Enabled, $"round {round}: the duplicate lingers");
        }

        await stop.CancelAsync();
        await Task.WhenAll(load).InTime();
    }

    [Fact]
    public async Task A_successor_adopts_the_sockets_and_nobody_is_refused_or_lost()
    {
        int port = SocketKit.FreePort();
        await using ListenerSet old = Set(SocketKit.Greet("old"), maxConnections: 1);
        await old.OpenAsync([SocketKit.Plan(port)], []);
        using Socket first = await SocketKit.Connect(port);
        Assert.Equal("old", await first.ReceiveText(3));

        // These wait in the kernel's queue during the handoff.
        List<Socket> queued = [];
        for (int i = 0; i < 20; i++)
        {
            queued.Add(await SocketKit.Connect(port));
        }

        AdoptedSockets adopted = new();
        foreach (ExportedSocket exported in await old.ExportAsync())
        {
            SafeSocketHandle handle = SocketKit.Duplicate(exported.Handle);
            adopted.Add(exported.Key, handle);
        }

        // A predecessor of another make may have poisoned the description.
        using (Socket poison = new(SocketKit.Duplicate((await old.ExportAsync())[0].Handle)))
        {
            poison.LingerState = new LingerOption(true, 0);
        }

        await using ListenerSet successor = Set(SocketKit.Greet("new"), adopted: adopted);
        await old.StopAcceptingAsync();
        await successor.OpenAsync([SocketKit.Plan(port)], []);
        Assert.Empty(successor.Problems);
        Assert.Equal(0, adopted.Count);
        foreach (Socket client in queued)
        {
            Assert.Equal("new", await client.ReceiveText(3));
            client.Dispose();
        }

        using Socket duplicate = new(SocketKit.Duplicate((await successor.ExportAsync())[0].Handle));
        Assert.False(duplicate.LingerState!.Enabled);
    }

    [Fact]
    public async Task Adopted_sockets_nobody_wants_are_closed_gently()
    {
        int port = SocketKit.FreePort();
        await using ListenerSet old = Set(SocketKit.Greet("old"));
        await old.OpenAsync([SocketKit.Plan(port)], []);
        ExportedSocket exported = (await old.ExportAsync())[0];
        AdoptedSockets adopted = new();
        adopted.Add(exported.Key, SocketKit.Duplicate(exported.Handle));
        adopted.Add(exported.Key, SocketKit.Duplicate(exported.Handle));
        Assert.Equal(1, adopted.Count);
        Assert.Null(adopted.Take(SocketKey.Tcp(new IPEndPoint(IPAddress.Any, port))));
        adopted.Dispose();

        using Socket duplicate = new(SocketKit.Duplicate(exported.Handle));
        Assert.False(duplicate.LingerState!.Enabled);
        using Socket client = await SocketKit.Connect(port);
        Assert.Equal("old", await client.ReceiveText(3));
    }

    [Fact]
    public async Task A_port_opened_after_the_handoff_has_no_successor_and_its_queue_is_served()
    {
        int handed = SocketKit.FreePort(), later = SocketKit.FreePort();
        await using ListenerSet old = Set(SocketKit.Greet("old"), maxConnections: 1);
        await old.OpenAsync([SocketKit.Plan(handed)], []);
        using Socket first = await SocketKit.Connect(handed);
        Assert.Equal("old", await first.ReceiveText(3));
        using Socket successor = new(SocketKit.Duplicate(Assert.Single(await old.ExportAsync()).Handle));
        await old.OpenAsync([SocketKit.Plan(later)], []);
        using Socket waiting = await SocketKit.Connect(later);
        await old.StopAcceptingAsync();
        Assert.Equal("old", await waiting.ReceiveText(3));
    }

    [Fact]
    public async Task What_is_no_socket_is_not_adopted_and_keeps_nobody_from_being_bound()
    {
        int port = SocketKit.FreePort();
        using AdoptedSockets adopted = new();
        SocketKey key = SocketKey.Tcp(new IPEndPoint(IPAddress.Loopback, port));
        SafeSocketHandle wrong = NoSocket(), second = NoSocket();
        adopted.Add(key, wrong);
        adopted.Add(key, second);
        Assert.True(second.IsClosed);
        await using ListenerSet set = Set(SocketKit.Greet("hi"), adopted: adopted);
        await set.OpenAsync([SocketKit.Plan(port)], []);
        Assert.Empty(set.Problems);
        Assert.True(wrong.IsClosed);
        using Socket client = await SocketKit.Connect(port);
        Assert.Equal("hi", await client.ReceiveText(2));
    }

    private static SafeSocketHandle NoSocket()
    {
        using Microsoft.Win32.SafeHandles.SafeFileHandle file = File.OpenHandle("/dev/null");
        using SafeSocketHandle handle = new(file.DangerousGetHandle(), ownsHandle: false);
        return SocketKit.Duplicate(handle);
    }
}

/// <summary>The same when the loops accept.</summary>
public sealed class SocketHandoffOnLoopsTests : SocketHandoffTests
{
    private protected override bool Loops => true;
}
