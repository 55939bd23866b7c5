using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B13. Goal: an instance is reached at Service.Address, and at Node.Address where the service has none. Method: the same port
/// on several loopback addresses, each with a server that says who it is, and catalog entries of both shapes.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B13InstanceAddressTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Service_address_wins_and_node_address_stands_in()
    {
        int backend = Ports.Any();
        platform.Keep(await NodeServer.Start("node-address", address: "127.0.0.1", port: backend));
        platform.Keep(await NodeServer.Start("service-address", address: "127.0.0.3", port: backend));

        int byService = Ports.Production();
        await platform.Consul.Register(new Registration("b13-service", "b13-service-1", backend, "production", $"internal-listen-http-{byService}")
        {
            Address = "127.0.0.3",
        });
        int byNode = Ports.Production();
        await platform.Consul.Register(new Registration("b13-node", "b13-node-1", backend, "production", $"internal-listen-http-{byNode}")
        {
            Address = null,
        });
        await Platform.Serves(byService, "service-address");
        await Platform.Serves(byNode, "node-address");
    }

    [ConsulFact]
    public async Task Entry_of_a_foreign_node_falls_back_to_that_nodes_address()
    {
        int port = Ports.Production();
        NodeServer server = platform.Keep(await NodeServer.Start("foreign", address: "127.0.0.4"));
        await platform.Consul.RegisterInCatalog(new
        {
            Node = "foreign-node",
            Address = "127.0.0.4",
            Service = new { ID = "f-1", Service = "b13-foreign", Tags = new[] { "production", $"internal-listen-http-{port}" }, server.Port },
        });
        await Platform.Serves(port, "foreign");
    }

    [ConsulFact]
    public async Task Same_id_on_two_nodes_is_two_instances()
    {
        int port = Ports.Production();
        foreach ((string node, string address) in new[] { ("node-x", "127.0.0.5"), ("node-y", "127.0.0.6") })
        {
            NodeServer server = platform.Keep(await NodeServer.Start(node, address: address));
            await platform.Consul.RegisterInCatalog(new
            {
                Node = node,
                Address = address,
                Service = new { ID = "same", Service = "b13-same", Tags = new[] { "production", $"internal-listen-http-{port}" }, server.Port },
            });
        }

        await Eventually.True(
            async () => (await Platform.Spread(port, 6)).Keys.Order().SequenceEqual(["node-x", "node-y"]), "both nodes answer");
    }
}
