using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B31. Goal: a new application needs no change of the balancer. Method: services with names that nobody has configured appear
/// in Consul and are reached; one that asks for no port stays inside; a service that leaves and comes back is reached again.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B31UnknownServiceTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulTheory]
    [InlineData("brand-new")]
    [InlineData("with.dots.in.it")]
    [InlineData("UPPER_lower-9")]
    [InlineData("blanks in the name")]
    [InlineData("имя-по-русски")]
    public async Task Unknown_name_is_served_without_any_configuration(string name)
    {
        int port = Ports.Production();
        await platform.Serve(name, "one", "production", $"internal-listen-http-{port}");
        await Platform.Serves(port, "one", seconds: 10);
        foreach (string id in new[] { "two", "three" })
        {
            await platform.Serve(name, id, "production", $"internal-listen-http-{port}");
        }

        await Eventually.True(async () => (await Platform.Spread(port, 9)).Count == 3, "all three answer", seconds: 10);
    }

    [ConsulFact]
    public async Task Service_that_leaves_and_returns_is_served_again()
    {
        int port = Ports.Production();
        NodeServer server = await platform.Serve("b31-back", "one", "production", $"internal-listen-http-{port}");
        await Platform.Serves(port, "one");
        await platform.Consul.Deregister("b31-back-one");
        await Platform.Closed(port);
        await platform.Consul.Register(server.AsService("b31-back", "production", $"internal-listen-http-{port}"));
        await Platform.Serves(port, "one");
    }
}
