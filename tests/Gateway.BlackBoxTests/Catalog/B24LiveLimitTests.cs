using System.Text.Json;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B24. Goal: the number in Consul's <c>service/haproxy/maxconn</c> is the limit of connections, live and without a reload; what
/// is above it waits and does not fail; a key that goes away or turns to garbage keeps the last good number and is a problem.
/// Method: three times as many clients as the limit allows, and the key in all its states.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B24LiveLimitTests
{
    private const string Key = "service/haproxy/maxconn";

    [ConsulFact]
    public async Task Limit_is_live_and_excess_connections_wait()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        using NodeServer server = await NodeServer.Start("one");
        int port = Ports.Production();
        await consul.Register(server.AsService("limited", "production", $"internal-listen-http-{port}", "gateway-check=none"));
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(consul, "limits: { maxConnections: 500 }"));
        await Platform.Serves(port, "one");

        // 1. A key that never existed: the file's value, and no problem.
        (int limit, string from) = await Limit(gateway);
        Assert.Equal(500, limit);
        Assert.Contains("gateway.yaml:", from, StringComparison.Ordinal);
        Assert.DoesNotContain(await gateway.Problems(), p => GatewayProcess.Plain(p).Contains("limit", StringComparison.Ordinal));

        // 2. It comes: live. Thrice as many clients all get their answer, never more than the limit at a time.
        await consul.PutKey(Key, "10");
        await Eventually.True(async () => await Limit(gateway) == (10, $"key {Key}"), "the key's number is in force");
        Task<WireAnswer>[] answers = [.. Enumerable.Range(0, 30).Select(_ => Wire.Get(port, "/slow?ms=400"))];
        int most = 0;
        while (!Task.WhenAll(answers).IsCompleted)
        {
            JsonElement status = (await Wire.Get(gateway.AdminPort, "/api/v1/status")).Json.RootElement;
            most = Math.Max(most, status.GetProperty("httpConnections").GetInt32());
        }

        Assert.All(await Task.WhenAll(answers), a => Assert.Equal(200, a.Status));
        Assert.InRange(most, 2, 10);

        // 3. Garbage and absence keep the last good number.
        foreach (string garbage in new[] { "abc", "", "0", "-3" })
        {
            await consul.PutKey(Key, garbage);
            await gateway.Problem("limit-invalid", Key, garbage, "10");
            Assert.Equal(10, (await Limit(gateway)).Value);
        }

        using (HttpClient http = new())
        {
            (await http.DeleteAsync(new Uri($"{consul.Address}/v1/kv/{Key}"))).EnsureSuccessStatusCode();
        }

        await gateway.Problem("limit-invalid", "the key is gone");
        Assert.Equal(10, (await Limit(gateway)).Value);

        // 4. Raised again while clients wait: they come in at once.
        Task<WireAnswer>[] waiting = [.. Enumerable.Range(0, 30).Select(_ => Wire.Get(port, "/slow?ms=1500"))];
        await consul.PutKey(Key, "100\n");
        await Eventually.True(async () => await Limit(gateway) == (100, $"key {Key}"), "the new number is in force");
        Assert.All(await Task.WhenAll(waiting), a => Assert.Equal(200, a.Status));
        Assert.DoesNotContain(await gateway.Problems(), p => GatewayProcess.Plain(p).Contains("limit-invalid", StringComparison.Ordinal));
    }

    [ConsulFact]
    public async Task Outage_of_consul_and_a_reload_keep_the_number_and_null_switches_it_off()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        await consul.PutKey(Key, "77");
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(consul));
        await Eventually.True(async () => await Limit(gateway) == (77, $"key {Key}"), "the key's number is in force");
        consul.Kill();
        await gateway.Problem("consul-unreachable");
        gateway.Configure(Platform.Configuration(consul, "limits: { maxConnections: 400 }"));
        Assert.Equal(0, (await gateway.Command("reload")).Exit);
        Assert.Equal((77, $"key {Key}"), await Limit(gateway));

        gateway.Configure(Platform.Configuration(consul, "limits: { maxConnections: 400, maxConnectionsKey: null }"));
        Assert.Equal(0, (await gateway.Command("reload")).Exit);
        Assert.Equal(400, (await Limit(gateway)).Value);

        await consul.Restart();
        gateway.Configure(Platform.Configuration(consul, "limits: { maxConnections: 400, maxConnectionsKey: limits/other }"));
        await consul.PutKey("limits/other", "55");
        Assert.Equal(0, (await gateway.Command("reload")).Exit);
        await Eventually.True(async () => await Limit(gateway) == (55, "key limits/other"), "the other key's number is in force");
    }

    private static async Task<(int Value, string From)> Limit(GatewayProcess gateway)
    {
        JsonElement status = (await Wire.Get(gateway.AdminPort, "/api/v1/status")).Json.RootElement;
        return (status.GetProperty("maxConnections").GetInt32(), status.GetProperty("maxConnectionsFrom").GetString()!);
    }
}
