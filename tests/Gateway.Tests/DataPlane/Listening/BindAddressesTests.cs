using System.Net;
using Gateway.DataPlane.Listening;

namespace Gateway.Tests.DataPlane.Listening;

public sealed class BindAddressesTests
{
    private static readonly IPAddress Bridge = IPAddress.Parse("172.17.0.1");
    private static readonly IPAddress LinkLocal = IPAddress.Parse("fe80::1%3");

    [Fact]
    public void Literals_stand_for_themselves_in_their_order()
    {
        BindAddresses found = Resolve(["127.0.0.1", "::1", "127.0.0.1"]);
        Assert.Equal([IPAddress.Loopback, IPAddress.IPv6Loopback], found.Addresses);
        Assert.False(found.NamesInterfaces);
        Assert.Empty(found.MissingInterfaces);
    }

    [Fact]
    public void A_name_stands_for_every_address_of_its_interface_once()
    {
        BindAddresses found = Resolve(["127.0.0.1", "docker0", "172.17.0.1"]);
        Assert.Equal([IPAddress.Loopback, Bridge, LinkLocal], found.Addresses);
        Assert.True(found.NamesInterfaces);
    }

    [Fact]
    public void A_name_without_addresses_is_missing_and_the_rest_stands()
    {
        BindAddresses found = Resolve(["cni0", "127.0.0.1"]);
        Assert.Equal(["cni0"], found.MissingInterfaces);
        Assert.Equal([IPAddress.Loopback], found.Addresses);
    }

    private static BindAddresses Resolve(string[] entries) => BindAddresses.Resolve(
        new ListeningOptions { Addresses = [.. entries] }, name => name == "docker0" ? [Bridge, LinkLocal] : []);
}
