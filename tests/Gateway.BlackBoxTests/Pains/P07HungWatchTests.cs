using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Pains;

/// <summary>
/// P7, updates silently stop because a watch hangs. Goal: a question to Consul that is never answered, on a connection that stays
/// open, ends by our own deadline and is asked anew; until then the age of the catalog grows, for all to see. Method: something
/// before a real Consul swallows the answers that are awaited at one moment; a change is made that those answers would have told.
/// </summary>
[Trait("Needs", "consul")]
public sealed class P07HungWatchTests
{
    [ConsulFact]
    public async Task Watches_that_are_never_answered_are_asked_anew_and_miss_nothing()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        using ConsulBetween between = new(consul);
        using NodeServer one = await NodeServer.Start("one");
        using NodeServer two = await NodeServer.Start("two");
        int port = Ports.Production(), later = Ports.Production();
        await consul.Register(one.AsService("hung", "production", $"internal-listen-http-{port}"));

        // The shortest wait: a deadline of 1 s × 17/16 + 15 s.
        using GatewayProcess gateway = await GatewayProcess.StartReady(
            Platform.Configuration(between.Address).Replace($"\"{between.Address}\"", $"\"{between.Address}\", wait: 1s", StringComparison.Ordinal));
        await Platform.Serves(port, "one");
        await Eventually.True(() => between.Asked.Any(static path => path.Contains("index=", StringComparison.Ordinal)
            && path.StartsWith("/v1/health/service/hung", StringComparison.Ordinal)), "the watches wait");

        between.Deafen();
        await consul.Register(two.AsService("hung", "production", $"internal-listen-http-{port}"));
        await consul.Register(two.AsService("later", "production", $"internal-listen-http-{later}"));
        await Eventually.True(async () => await gateway.Metric("gateway_catalog_age_seconds") > 5, "the age of the catalog tells of it");
        Assert.Equal("one", (await Wire.Get(port)).ServedBy);

        await Platform.Serves(port, "two", seconds: 30);
        await Platform.Serves(later, "two", seconds: 30);
        await Eventually.True(async () => await gateway.Metric("gateway_catalog_age_seconds") < 5, "the catalog is young again");
        await Eventually.True(async () => (await gateway.Problems()).Length == 0, "no problem is left");
    }
}
