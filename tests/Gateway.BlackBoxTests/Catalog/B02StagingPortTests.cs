using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B2. Goal: port P reaches production only and port 1P staging only, also when the tags are swapped. Method: two instances,
/// many requests on both ports; the tags change places; a listener thread watches that no request ever crosses.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B02StagingPortTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Staging_port_reaches_staging_and_never_production()
    {
        int port = Ports.Production();
        string listen = $"internal-listen-http-{port}";
        NodeServer a = await platform.Serve("b02", "a", "production", listen);
        NodeServer b = await platform.Serve("b02", "b", "staging", listen);
        await Platform.Serves(port, "a");
        await Platform.Serves(10_000 + port, "b");
        Assert.Equal(["a"], (await Platform.Spread(port, 40)).Keys);
        Assert.Equal(["b"], (await Platform.Spread(10_000 + port, 40)).Keys);

        await platform.Consul.Register(a.AsService("b02", "staging", listen));
        await platform.Consul.Register(b.AsService("b02", "production", listen));
        await Platform.Serves(port, "b");
        await Platform.Serves(10_000 + port, "a");
        await Eventually.True(
            async () => (await Platform.Spread(port, 20)).Keys.SequenceEqual(["b"])
                && (await Platform.Spread(10_000 + port, 20)).Keys.SequenceEqual(["a"]),
            "the swap is whole");
    }

    [ConsulFact]
    public async Task Staging_port_is_open_and_answers_503_without_a_staging_instance()
    {
        int port = Ports.Production();
        await platform.Serve("b02-alone", "a", "production", $"internal-listen-http-{port}");
        await Platform.Serves(port, "a");
        await Platform.Answers(10_000 + port, 503);
        WireAnswer answer = await Wire.Get(10_000 + port);
        Assert.Equal("no-instance", answer.Reason);
        Assert.NotNull(answer.Header("X-Request-Id"));
    }
}
