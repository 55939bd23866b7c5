using System.Net;
using System.Net.Sockets;
using Gateway.DataPlane.Health;

namespace Gateway.IntegrationTests.DataPlane.Health;

/// <summary>The kernel does by chance, once in 14,000 connects to a free port of its range, what is done here on purpose.</summary>
public sealed class SelfConnectionTests
{
    [Fact]
    public void A_socket_connected_to_itself_is_known_as_such_and_no_other()
    {
        using Socket self = Bound();
        self.Connect(self.LocalEndPoint!);
        Assert.True(SelfConnection.Is(self, self.LocalEndPoint!));

        using Socket listener = Bound();
        listener.Listen(1);
        using Socket other = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        other.Connect(listener.LocalEndPoint!);
        Assert.False(SelfConnection.Is(other, listener.LocalEndPoint!));

        using Socket dual = new(SocketType.Stream, ProtocolType.Tcp);
        dual.Bind(new IPEndPoint(IPAddress.Loopback.MapToIPv6(), 0));
        dual.Connect(dual.LocalEndPoint!);
        Assert.True(SelfConnection.Is(dual, dual.LocalEndPoint!));
    }

    private static Socket Bound()
    {
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return socket;
    }
}
