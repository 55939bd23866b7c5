using System.Net;
using Gateway.DataPlane.Listening;

namespace Gateway.Tests.DataPlane.Listening;

public sealed class PortOwnersTests
{
    [Fact]
    public void A_line_of_proc_net_tcp_is_read()
    {
        Assert.Equal(
            (new IPEndPoint(IPAddress.Loopback, 3000), true, 4711UL),
            PortOwners.Parse("   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0"));
    }

    [Fact]
    public void A_line_of_proc_net_tcp6_is_read()
    {
        Assert.Equal(
            (new IPEndPoint(IPAddress.IPv6Loopback, 80), false, 12UL),
            PortOwners.Parse("   1: 00000000000000000000000001000000:0050 00000000000000000000000001000000:A1B2 01 00000000:00000000 00:00000000 00000000     0        0 12 1"));
    }

    [Fact]
    public void The_heading_is_skipped() => Assert.Null(PortOwners.Parse(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"));
}
