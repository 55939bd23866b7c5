using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Pains;

/// <summary>
/// P3, an error while one service is fetched takes that service away. Goal: it keeps its last good instances and is named; the
/// others are followed as ever; once it can be read again, what it missed arrives. Method: a real Consul with something before it
/// that fails the questions about one of two services, by status and by resetting.
/// </summary>
[Trait("Needs", "consul")]
public sealed class P03OneServiceFailsTests
{
    [ConsulTheory]
    [InlineData(500)]
    [InlineData(404)]
    [InlineData(429)]
    public async Task Service_that_cannot_be_read_is_served_and_others_are_followed(int status)
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        using ConsulBetween between = new(consul);
        using NodeServer one = await NodeServer.Start("one");
        using NodeServer two = await NodeServer.Start("two");
        int orders = Ports.Production(), users = Ports.Production(), later = Ports.Production();
        await consul.Register(one.AsService("orders", "production", $"internal-listen-http-{orders}"));
        await consul.Register(one.AsService("users", "production", $"internal-listen-http-{users}"));
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(between.Address));
        await Platform.Serves(orders, "one");
        await Platform.Serves(users, "one");
        LoadClient load = new LoadClient().Http(orders, keepAlive: 1, fresh: 1).Http(users, keepAlive: 1, fresh: 1);

        // 1. orders cannot be read; it also changes, which nobody here can know.
        between.Script = path => path.StartsWith("/v1/health/service/orders", StringComparison.Ordinal)
            ? new Interference { Status = status, Body = "rpc error" }
            : null;
        between.Break();
        await gateway.Problem("orders", $"{status}");
        await consul.Register(two.AsService("orders", "production", $"internal-listen-http-{orders}"));

        // 2. The others go on: another instance, another service.
        await consul.Register(two.AsService("users", "production", $"internal-listen-http-{users}"));
        await Platform.Serves(users, "two");
        await consul.Register(two.AsService("later", "production", $"internal-listen-http-{later}"));
        await Platform.Serves(later, "two");
        Assert.Equal(["one"], (await Platform.Spread(orders, 10)).Keys);

        // 3. It can be read again.
        between.Script = static _ => null;
        await Platform.Serves(orders, "two", seconds: 30);
        await Eventually.True(async () => (await gateway.Problems()).Length == 0, "no problem is left");
        LoadReport report = await load.Stop();
        Assert.True(report.Failures == 0 && report.Renewals == 0, report.ToString());
    }
}
