using System.Text.Json;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Traffic;

/// <summary>
/// Goal: gRPC passes through an ordinary HTTP port: unary, both streamings, interleaved messages, trailers, and errors with
/// their details. Method: Node's grpc-js on both sides, prior-knowledge HTTP/2 in and out.
/// </summary>
[Trait("Needs", "consul")]
public sealed class GrpcTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Every_kind_of_call_passes()
    {
        JsonElement outcome = await Calls("grpc", "gateway-check=tcp");
        Assert.Equal("hello", outcome.GetProperty("unary").GetProperty("answer").GetProperty("said").GetString());
        Assert.Equal("kept", outcome.GetProperty("unary").GetProperty("answer").GetProperty("metadata")[0].GetString());
        Assert.Equal("from grpc", outcome.GetProperty("unary").GetProperty("trailers").GetProperty("x-trailer").GetString());
        Assert.Equal(100, outcome.GetProperty("serverStream").GetProperty("count").GetInt32());
        Assert.True(outcome.GetProperty("serverStream").GetProperty("inOrder").GetBoolean());
        Assert.Equal(1275, outcome.GetProperty("clientStream").GetProperty("answer").GetProperty("total").GetInt32());
        Assert.Equal(10, outcome.GetProperty("bidi").GetProperty("count").GetInt32());
        Assert.Equal(9, outcome.GetProperty("fail").GetProperty("code").GetInt32());
        Assert.Equal("the kettle is cold: ünïcode", outcome.GetProperty("fail").GetProperty("details").GetString());
        Assert.Equal("shelf 42", outcome.GetProperty("fail").GetProperty("metadata").GetProperty("x-error-detail").GetString());
    }

    [ConsulFact]
    public async Task Default_check_finds_a_grpc_server_healthy()
    {
        JsonElement outcome = await Calls("grpc-auto");
        Assert.Equal("hello", outcome.GetProperty("unary").GetProperty("answer").GetProperty("said").GetString());
    }

    [ConsulFact]
    public async Task Without_an_instance_the_answer_is_a_grpc_status()
    {
        Assert.SkipUnless(NodeServer.HasPackages, "npm ci was not run in tests/fixtures (tests/run.sh does)");
        int port = Ports.Production();
        await platform.Consul.Register(
            new Registration("grpc-none", "dead", Ports.Any(), "production", $"internal-listen-http-{port}", "gateway-protocol=h2c"));
        await Platform.Answers(port, 503);
        JsonElement outcome = await Client(port, deadline: 5);
        Assert.Equal(14, outcome.GetProperty("fail").GetProperty("code").GetInt32());   // UNAVAILABLE
    }

    private async Task<JsonElement> Calls(string service, params string[] more)
    {
        Assert.SkipUnless(NodeServer.HasPackages, "npm ci was not run in tests/fixtures (tests/run.sh does)");
        int port = Ports.Production();
        NodeServer server = platform.Keep(await NodeServer.StartGrpc(service));
        await platform.Consul.Register(server.AsService(
            service, ["production", $"internal-listen-http-{port}", "gateway-protocol=h2c", .. more]));
        JsonElement outcome = default;
        await Eventually.True(
            async () =>
            {
                outcome = await Client(port, deadline: 5);
                return outcome.GetProperty("unary").TryGetProperty("answer", out _) ? true : throw new IOException(outcome.GetRawText());
            },
            "a unary call is answered",
            seconds: 40);
        return outcome;
    }

    private static async Task<JsonElement> Client(int port, int deadline)
    {
        CommandResult result = await ChildProcess.Run(
            Repository.Which("node")!,
            [Path.Combine(Repository.Fixtures, "grpc", "client.js"), $"127.0.0.1:{port}"],
            new Dictionary<string, string?> { ["DEADLINE"] = deadline.ToString() },
            seconds: 60);
        Assert.True(result.Exit == 0, result.All);
        return JsonDocument.Parse(result.Out).RootElement;
    }
}
