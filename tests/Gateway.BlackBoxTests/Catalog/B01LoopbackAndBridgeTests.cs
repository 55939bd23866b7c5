using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B1. Goal: a service's well-known port reaches it from every program on the host and from containers, which know the host by
/// its bridge address. Method: loopback v4 and v6, a second loopback address, and a bridge interface that is made after the start.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B01LoopbackAndBridgeTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Service_is_reached_on_loopback_v4_v6_and_a_further_address()
    {
        int port = Ports.Production();
        await platform.Serve("b01", "one", "production", $"internal-listen-http-{port}");
        await Platform.Serves(port, "one");
        await Platform.Serves(port, "one", address: "::1");
        await Platform.Serves(port, "one", address: "127.0.0.2");
    }

    [ConsulFact]
    public async Task Address_that_is_not_configured_is_not_bound()
    {
        int port = Ports.Production();
        await platform.Serve("b01-closed", "one", "production", $"internal-listen-http-{port}");
        await Platform.Serves(port, "one");
        Assert.False(await Wire.Accepts(port, "127.0.0.9"), "bound beyond internal.addresses");
    }

    [ConsulFact]
    public async Task Bridge_that_appears_later_is_bound_then()
    {
        string bridge = $"gwt{Random.Shared.Next(10_000, 99_999)}";
        string address = $"10.213.{Random.Shared.Next(1, 250)}.1";
        string? ip = Repository.Which("ip");
        if (ip is null || (await Ip(ip, "link", "add", bridge, "type", "bridge")).Exit != 0)
        {
            Assert.Skip("no right to make a bridge interface here (needs ip and CAP_NET_ADMIN)");
        }

        try
        {
            await Ip(ip, "link", "del", bridge);
            using GatewayProcess gateway = await GatewayProcess.StartReady(
                $$"""
                catalog: { consul: { address: "{{platform.Consul.Address}}" } }
                internal: { addresses: [127.0.0.1, {{bridge}}] }
                """);
            int port = Ports.Production();
            await platform.Serve("b01-bridge", "one", "production", $"internal-listen-http-{port}");
            await Platform.Serves(port, "one");

            Assert.Equal(0, (await Ip(ip, "link", "add", bridge, "type", "bridge")).Exit);
            Assert.Equal(0, (await Ip(ip, "addr", "add", $"{address}/24", "dev", bridge)).Exit);
            Assert.Equal(0, (await Ip(ip, "link", "set", bridge, "up")).Exit);
            await Platform.Serves(port, "one", address: address, seconds: 40);
        }
        finally
        {
            await Ip(ip, "link", "del", bridge);
        }
    }

    private static Task<CommandResult> Ip(string ip, params string[] arguments) => ChildProcess.Run(ip, arguments, seconds: 10);
}
