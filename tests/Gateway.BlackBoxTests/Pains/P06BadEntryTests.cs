using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Pains;

/// <summary>
/// P6, one bad tag or KV line freezes every update. Goal: with every kind of bad entry standing, changes of all other services, of
/// the bad one's good half and of the good key apply as ever, and each bad entry is a problem until it is mended. Method: a real
/// catalog and KV with garbage in them; changes of every kind behind it. (Each mistake by itself is in <c>BadCatalogTests</c>.)
/// </summary>
[Trait("Needs", "consul")]
public sealed class P06BadEntryTests
{
    [ConsulFact]
    public async Task Updates_flow_past_every_bad_entry_and_mending_ends_the_problem()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        using NodeServer one = await NodeServer.Start("one");
        using NodeServer two = await NodeServer.Start("two");
        int port = Ports.Production(), bad = Ports.Production(), later = Ports.Production();
        await consul.PutKey("service/haproxy/maxconn", "300");
        await consul.Register(one.AsService("good", "production", $"internal-listen-http-{port}"));
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(consul));
        await Platform.Serves(port, "one");

        // 1. Garbage of every kind, all standing at once.
        string[] garbage =
        [
            "internal-listen-http-99999", "internal-listen-http-", "balance-fastest", "gateway-check.intervall=1s", "external-host-*.*",
            "gateway-weight=many", "gateway-timeouts.response=5 parsecs",
        ];
        await consul.Register(one.AsService("bad", ["production", $"internal-listen-http-{bad}", .. garbage]));
        await consul.Register(one.AsService("unclear", "prodution", $"internal-listen-http-{bad}"));
        await consul.Register(new Registration("portless", "portless-1", 0, "production", $"internal-listen-http-{bad}"));
        await consul.PutKey("service/haproxy/maxconn", "a lot");
        foreach (string tag in garbage)
        {
            await gateway.Problem("bad", tag);
        }

        await gateway.Problem("unclear");
        await gateway.Problem("portless");
        await gateway.Problem("limit-invalid", "300");
        await Platform.Serves(bad, "one");

        // 2. Behind it: a new instance, a removed one, a new service, a moved port, another limit; and the bad one's own good half.
        await consul.Register(two.AsService("good", "production", $"internal-listen-http-{port}"));
        await Platform.Serves(port, "two");
        await consul.Deregister("good-one");
        await Eventually.True(async () => (await Platform.Spread(port, 6)).Keys.SequenceEqual(["two"]), "only two answers");
        await consul.Register(one.AsService("later", "production", $"internal-listen-http-{later}"));
        await Platform.Serves(later, "one");
        await consul.Register(two.AsService("bad", ["production", $"internal-listen-http-{bad}", .. garbage]));
        await Platform.Serves(bad, "two");
        await consul.PutKey("service/haproxy/maxconn", "200");
        await Eventually.True(
            async () => (await Wire.Get(gateway.AdminPort, "/api/v1/status")).Json.RootElement.GetProperty("maxConnections").GetInt32() == 200,
            "the good key counts");

        // 3. Mended.
        await consul.Register(one.AsService("bad", "production", $"internal-listen-http-{bad}"));
        await consul.Register(two.AsService("bad", "production", $"internal-listen-http-{bad}"));
        await consul.Deregister("unclear-one");
        await consul.Deregister("portless-1");
        await Eventually.True(
            async () => (await gateway.Problems()).Length == 0, "no problem is left", now: () => gateway.Output);
    }
}
