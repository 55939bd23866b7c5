using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B9. Goal: the tag on the instance, not the service, decides the environment. Method: instances of one service with mixed,
/// several, missing and misspelt tags.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B09EnvironmentTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Instance_tag_decides_whatever_its_case()
    {
        int port = Ports.Production();
        string listen = $"internal-listen-http-{port}";
        await platform.Serve("b09", "upper", "PRODUCTION", listen);
        await platform.Serve("b09", "both", "production", "staging", listen);
        await platform.Serve("b09", "stage", "Staging", listen);
        await Eventually.True(
            async () => (await Platform.Spread(port, 8)).Keys.Order().SequenceEqual(["both", "upper"])
                && (await Platform.Spread(10_000 + port, 8)).Keys.Order().SequenceEqual(["both", "stage"]),
            "production has upper and both, staging has both and stage");
    }

    [ConsulFact]
    public async Task Without_any_environment_tag_the_default_counts()
    {
        int port = Ports.Production();
        await platform.Serve("b09-plain", "plain", $"internal-listen-http-{port}");
        await Platform.Serves(port, "plain");
        await Platform.Answers(10_000 + port, 503);
    }

    [ConsulFact]
    public async Task Near_miss_is_left_out_and_named()
    {
        int port = Ports.Production();
        string listen = $"internal-listen-http-{port}";
        await platform.Serve("b09-typo", "good", "production", listen);
        await platform.Serve("b09-typo", "typo", "stagging", listen);
        await Platform.Serves(port, "good");
        await platform.Gateway.Problem("b09-typo", "stagging");
        Assert.Equal(["good"], (await Platform.Spread(port, 20)).Keys);
        await Platform.Answers(10_000 + port, 503);
    }

    [ConsulFact]
    public async Task Untagged_beside_tagged_is_left_out_and_named()
    {
        int port = Ports.Production();
        string listen = $"internal-listen-http-{port}";
        await platform.Serve("b09-mixed", "tagged", "staging", listen);
        await platform.Serve("b09-mixed", "untagged", listen);
        await Platform.Serves(10_000 + port, "tagged");
        await platform.Gateway.Problem("b09-mixed-untagged");
        await Platform.Answers(port, 503);
    }
}
