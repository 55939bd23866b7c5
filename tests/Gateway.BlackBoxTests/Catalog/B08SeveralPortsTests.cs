using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B8, T6, T7. Goal: an application of two ports, which registrators write down as <c>NAME-3000</c> and <c>NAME-3010</c> with
/// the tags of both, answers on each port with the right half; a name that merely ends in a digit keeps its port; one name for
/// both ports is told apart by the port at the end of the ids. Method: the registrations as marathon-registrator writes them.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B08SeveralPortsTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Suffixed_names_take_only_their_own_port()
    {
        int first = Ports.Production();
        int second = Ports.Production();
        string[] tags = ["production", $"internal-listen-http-{first}", $"internal-listen-http-{second}"];
        await platform.Serve($"test-server-{first}", "web", tags);
        await platform.Serve($"test-server-{second}", "admin", tags);
        await Platform.Serves(first, "web");
        await Platform.Serves(second, "admin");
        Assert.Equal(["web"], (await Platform.Spread(first, 20)).Keys);
        Assert.Equal(["admin"], (await Platform.Spread(second, 20)).Keys);
    }

    [ConsulFact]
    public async Task Digit_at_the_end_of_a_name_is_just_a_name()
    {
        int port = Ports.Production();
        await platform.Serve("oauth2", "oauth", "production", $"internal-listen-http-{port}");
        await Platform.Serves(port, "oauth");
    }

    [ConsulFact]
    public async Task One_name_with_two_ports_is_told_apart_by_the_ids()
    {
        int first = Ports.Production();
        int second = Ports.Production();
        string[] tags = ["production", $"internal-listen-http-{first}", $"internal-listen-http-{second}"];
        foreach ((string who, int port) in new[] { ("web", first), ("admin", second) })
        {
            NodeServer server = platform.Keep(await NodeServer.Start(who));
            await platform.Consul.Register(new Registration("b08-named", $"b08-named.task-1:{port}", server.Port, tags));
        }

        await Platform.Serves(first, "web");
        await Platform.Serves(second, "admin");
        await Eventually.True(
            async () => (await Platform.Spread(first, 10)).Keys.SequenceEqual(["web"])
                && (await Platform.Spread(second, 10)).Keys.SequenceEqual(["admin"]),
            "each port has its own half");
    }
}
