using System.Net;
using System.Net.Sockets;
using Gateway.DataPlane.Listening;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.IntegrationTests.DataPlane.Listening;

public class DescriptorLimitTests : ListeningTests
{
    [Fact]
    public void The_limit_is_read_and_leaves_a_reserve()
    {
        int limit = DescriptorLimit.Read();
        Assert.InRange(limit, 64, int.MaxValue);
        Assert.Equal((936, 968), (DescriptorLimit.MarkOfPlan(1000), DescriptorLimit.MarkOfOwn(1000)));
        Assert.Equal((32, 48), (DescriptorLimit.MarkOfPlan(64), DescriptorLimit.MarkOfOwn(64)));
    }

    [Fact]
    public async Task The_last_descriptors_are_never_given_to_clients()
    {
        int starving = 0, starved = 0, dispatched = 0;
        SocketKey key = SocketKey.Tcp(new IPEndPoint(IPAddress.Loopback, 0));
        AcceptContext context = Context(
            (_, socket) =>
            {
                socket.Dispose();
                Interlocked.Increment(ref dispatched);
            },
            null, TimeProvider.System, NullLogger.Instance, 0,
            begins =>
            {
                Interlocked.Add(ref starving, begins ? 1 : -1);
                Interlocked.Add(ref starved, begins ? 1 : 0);
            });
        ListeningSocket socket = ListeningSocket.Open(key, null, new ListenerState(SocketKit.Plan(1)), context);
        using Socket client = await SocketKit.Connect(socket.EndPoint.Port);

        // Every number is above this mark, and far above: so it is closed, not held, and the port says that it starves.
        Assert.Equal("", await client.ReceiveToEnd());
        await SocketKit.Until(() => Volatile.Read(ref starved) == 1, "the port starved");
        await socket.CloseAsync(acceptQueued: true).InTime();
        Assert.Equal((0, 0), (dispatched, starving));
    }
}

/// <summary>The same when the loops accept.</summary>
public sealed class DescriptorLimitOnLoopsTests : DescriptorLimitTests
{
    private protected override bool Loops => true;
}
