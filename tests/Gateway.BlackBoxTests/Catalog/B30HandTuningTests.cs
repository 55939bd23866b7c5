using System.Text.Json;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B30. Goal: what the operator writes under <c>services</c> holds for that service, or for it in one environment, over tags and
/// Meta, live by reload, and <c>gateway services NAME</c> tells of every value where it comes from. Method: one service in two
/// environments, a timeout that a slow answer meets or not.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B30HandTuningTests
{
    [ConsulFact]
    public async Task File_wins_over_tags_per_service_and_environment_live()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        using NodeServer live = await NodeServer.Start("live");
        using NodeServer test = await NodeServer.Start("test");
        int port = Ports.Production(), staging = 10_000 + port;
        string listen = $"internal-listen-http-{port}";
        await consul.Register(live.AsService("tuned", "production", listen, "gateway-timeouts.response=30s", "balance-leastconn"));
        await consul.Register(test.AsService("tuned", "staging", listen) with
        {
            Meta = new Dictionary<string, string> { ["gateway_check_http"] = "/ping" },
        });
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(consul));
        await Platform.Serves(port, "live");
        await Platform.Serves(staging, "test");
        Assert.Equal(200, (await Wire.Get(port, "/slow?ms=1500")).Status);
        Assert.Equal(("30s", "tag gateway-timeouts.response=30s (test-node/tuned-live)"), await Setting(gateway, "tuned@production", "timeouts.response"));
        Assert.Equal(("leastconn", "tag balance-leastconn (test-node/tuned-live)"), await Setting(gateway, "tuned@production", "balance"));
        Assert.Equal(("/ping", "meta gateway_check_http=/ping (test-node/tuned-test)"), await Setting(gateway, "tuned@staging", "check.http"));
        Assert.Equal(("1m", "default"), await Setting(gateway, "tuned@staging", "timeouts.response"));

        gateway.Configure(Platform.Configuration(consul, """
            services:
              tuned: { timeouts: { response: 500ms } }
              tuned@staging: { timeouts: { response: 20s }, check: { http: /healthcheck, interval: 300ms } }
            """));
        CommandResult reloaded = await gateway.Command("reload");
        Assert.True(reloaded.Exit == 0, reloaded.All);
        await Eventually.True(async () => (await Wire.Get(port, "/slow?ms=1500")) is { Status: 504, Reason: "timeout-response" }, "the file's timeout holds");
        Assert.Equal(200, (await Wire.Get(staging, "/slow?ms=1500")).Status);
        (string value, string from) = await Setting(gateway, "tuned@production", "timeouts.response");
        Assert.Equal("500ms", value);
        Assert.Contains("gateway.yaml:", from, StringComparison.Ordinal);
        Assert.Equal("20s", (await Setting(gateway, "tuned@staging", "timeouts.response")).Value);
        Assert.Equal("leastconn", (await Setting(gateway, "tuned@production", "balance")).Value);

        await test.Ask("/fail");
        await Platform.Answers(staging, 503);   // by /healthcheck each 300 ms now

        // The table says the same to people.
        CommandResult table = await gateway.Command("services", "tuned");
        Assert.Contains("gateway.yaml:", table.Out, StringComparison.Ordinal);
        Assert.Contains("tag balance-leastconn", table.Out, StringComparison.Ordinal);
        CommandResult none = await gateway.Command("services", "nobody");
        Assert.Equal(1, none.Exit);

        gateway.Configure(Platform.Configuration(consul));
        Assert.Equal(0, (await gateway.Command("reload")).Exit);
        await Eventually.True(async () => (await Wire.Get(port, "/slow?ms=1500")).Status == 200, "the tag's timeout holds again");
    }

    private static async Task<(string Value, string From)> Setting(GatewayProcess gateway, string service, string key)
    {
        JsonElement services = await gateway.CommandJson("services", service);
        JsonElement cluster = Assert.Single(Assert.Single(services.EnumerateArray()).GetProperty("clusters").EnumerateArray());
        JsonElement setting = Assert.Single(cluster.GetProperty("settings").EnumerateArray(), s => s.GetProperty("key").GetString() == key);
        return (setting.GetProperty("value").GetString()!, setting.GetProperty("from").GetString()!);
    }
}
