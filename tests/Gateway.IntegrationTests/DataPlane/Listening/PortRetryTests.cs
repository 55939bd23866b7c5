using System.Net;
using System.Net.Sockets;
using Gateway.DataPlane.Listening;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.IntegrationTests.DataPlane.Listening;

public sealed class PortRetryTests
{
    /// <summary>HAProxy leaves a host's ports at an hour of the operator's; half a minute without anybody there is an outage.</summary>
    [Fact]
    public void A_port_that_another_program_holds_is_tried_every_five_seconds_at_least()
    {
        using Socket holder = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        holder.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        holder.Listen();
        AcceptContext context = new(
            (_, socket) => socket.Dispose(), null, TimeProvider.System, NullLogger.Instance, DescriptorMark: 0, _ => { }, (_, _) => { });
        PortAddress address = new(
            new OpenPort(new ListenerState(SocketKit.Plan(1)), context), SocketKey.Tcp((IPEndPoint)holder.LocalEndPoint!));

        TimeSpan now = TimeSpan.Zero;
        for (int i = 0; i < 10; i++)
        {
            Assert.False(address.TryBind(null, now));
            Assert.Equal(PortAddress.InUse, address.Failure);
            Assert.InRange(address.Due - now, TimeSpan.FromSeconds(0.5), TimeSpan.FromSeconds(6.25));
            now = address.Due;
        }

        Assert.Contains("every 5 s", address.ToProblem().Now, StringComparison.Ordinal);
    }
}
