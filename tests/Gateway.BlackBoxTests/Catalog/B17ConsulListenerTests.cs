using System.Globalization;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B17, T19. Goal: Consul's API on a port of the file is Consul's API: blocking queries last as long as <c>timeouts.response</c>
/// says, paths, bodies, statuses and <c>X-Consul-*</c> headers are untouched (a missing index makes service-wrapper restart its
/// service), and nothing is added to requests. Method: the same questions past Gateway and through it.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B17ConsulListenerTests
{
    [ConsulFact]
    public async Task Answers_are_those_of_consul_byte_for_byte()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        int port = Ports.Any();
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(consul, Static(port, consul.HttpPort, "15m")));
        await Eventually.True(() => Wire.Accepts(port), "the port opens");
        await consul.PutKey("app/production/test-server/GREETING", "hello");

        foreach ((string path, int status) in new[]
        {
            ("/v1/kv/app/production/test-server/?recurse", 200),
            ("/v1/kv/app/production/nothing/?recurse", 404),
            ("/v1/kv/app/production/test-server/GREETING?raw", 200),
            ("/v1/kv/app/production/?keys&separator=/", 200),
            ("/v1/kv/app//production/?keys&separator=/", 301),
            ("/v1/catalog/services", 200),
            ("/v1/nonsense", 404),
        })
        {
            WireAnswer direct = await Wire.Get(consul.HttpPort, path);
            WireAnswer through = await Wire.Get(port, path);
            Assert.Equal((status, status), (direct.Status, through.Status));
            Assert.Equal(direct.Body, through.Body);
            Assert.Equal(Named(direct), Named(through));
        }

        // Case too, because it is parsed by line-based tools; and no interim answer before it.
        Assert.Contains((await Wire.Get(port, "/v1/kv/none")).Headers, h => h.Key == "X-Consul-Index");

        static IEnumerable<string> Named(WireAnswer answer) => answer.Headers
            .Where(h => h.Key.StartsWith("X-", StringComparison.OrdinalIgnoreCase) && h.Key != "X-Consul-LastContact")
            .Select(h => $"{h.Key}: {h.Value}").Append(answer.Header("Content-Type") ?? "no type").Append(answer.Header("Location") ?? "no location").Order(StringComparer.Ordinal);
    }

    [ConsulFact]
    public async Task Blocking_queries_last_as_long_as_the_timeout_says_and_wake_at_once()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        int patient = Ports.Any(), impatient = Ports.Any();
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(
            consul, Static(patient, consul.HttpPort, "15m") + $"\n  hasty: {Entry(impatient, consul.HttpPort, "1s")}"));
        await Eventually.True(async () => await Wire.Accepts(patient) && await Wire.Accepts(impatient), "the ports open");
        await consul.PutKey("app/x/a", "1");
        ulong index = Index(await Wire.Get(patient, "/v1/kv/app/x/?recurse"));

        // Nobody changes it: after the wait the same index comes, with the same answer. A shorter timeout would cut it off.
        Task<WireAnswer> waited = Wire.Get(patient, $"/v1/kv/app/x/?recurse&wait=4s&index={index}");
        WireAnswer cut = await Wire.Get(impatient, $"/v1/kv/app/x/?recurse&wait=4s&index={index}");
        Assert.Equal((504, "timeout-response"), (cut.Status, cut.Reason));
        Assert.Equal((200, index), ((await waited).Status, Index(await waited)));

        Task<WireAnswer> woken = Wire.Get(patient, $"/v1/kv/app/x/?recurse&wait=60s&index={index}");
        await consul.PutKey("app/x/a", "2");
        Assert.Equal(200, (await woken).Status);
        Assert.True(Index(await woken) > index);
    }

    [Fact]
    public async Task Requests_reach_the_server_as_they_were_sent()
    {
        using NodeServer server = await NodeServer.Start("echo");
        int port = Ports.Any();
        using GatewayProcess gateway = GatewayProcess.Start(
            "catalog: { consul: { address: \"http://127.0.0.1:9\" } }\n" + Static(port, server.Port, "15m"));
        await Platform.Serves(port, "echo");

        foreach (string path in new[]
        {
            "/v1/kv/app/x/?recurse", "/v1/kv/app//x/?recurse&wait=60s&index=17", "/v1/kv/a%2Fb/%7e%C3%BC?raw=", "/v1/kv/..%2fx?a=b&&c", "/v2/apps//a/b/restart?force",
        })
        {
            WireAnswer answer = await Wire.Get(port, path, host: "localhost:8500");
            Assert.Equal(path, answer.Json.RootElement.GetProperty("url").GetString());
            Assert.Equal(["localhost:8500"], answer.Received("Host"));
            Assert.Empty(answer.Received("X-Forwarded-For").Concat(answer.Received("CDN-Loop")).Concat(answer.Received("Via")));
        }
    }

    private static string Static(int port, int to, string response) => $"static:\n  consul: {Entry(port, to, response)}";

    private static string Entry(int port, int to, string response) =>
        $"{{ port: {port}, servers: [\"127.0.0.1:{to}\"], check: none, forwardedFor: off, timeouts: {{ response: {response} }} }}";

    private static ulong Index(WireAnswer answer) => ulong.Parse(answer.Header("X-Consul-Index")!, CultureInfo.InvariantCulture);
}
