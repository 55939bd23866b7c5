using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Traffic;

/// <summary>
/// Goal: an instance that refuses costs no request, whatever its method; one that breaks off after it was asked is answered
/// honestly and a POST is never sent twice. Method: a dead port beside a live server; a server that resets.
/// </summary>
[Trait("Needs", "consul")]
public sealed class RetryTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Refused_connect_moves_on_to_the_next_instance_whatever_the_method()
    {
        int port = Ports.Production();
        string listen = $"internal-listen-http-{port}";
        await platform.Serve("retry", "alive", "production", listen);
        await platform.Consul.Register(new Registration("retry", "dead-1", Ports.Any(), "production", listen));
        await platform.Consul.Register(new Registration("retry", "dead-2", Ports.Any(), "production", listen));
        await Platform.Serves(port, "alive");
        for (int i = 0; i < 30; i++)
        {
            using CancellationTokenSource deadline = new(Eventually.Seconds(20));
            using Wire wire = await Wire.Connect(port, cancel: deadline.Token);
            WireAnswer answer = await wire.Exchange(
                Wire.Request("POST", "/upload", "x", "Content-Length: 2") + "ok", deadline.Token);
            Assert.True(answer.Status == 200, $"{answer.Status} {answer.Reason}");
        }
    }

    [ConsulFact]
    public async Task Reset_after_the_request_is_502_and_a_post_is_not_repeated()
    {
        int port = Ports.Production();
        string listen = $"internal-listen-http-{port}";
        NodeServer a = await platform.Serve("reset", "a", "production", listen);
        NodeServer b = await platform.Serve("reset", "b", "production", listen);
        await Eventually.True(async () => (await Platform.Spread(port, 4)).Count == 2, "both answer");
        using CancellationTokenSource deadline = new(Eventually.Seconds(20));
        using Wire wire = await Wire.Connect(port, cancel: deadline.Token);
        WireAnswer answer = await wire.Exchange(Wire.Request("POST", "/reset", "x", "Content-Length: 0"), deadline.Token);
        Assert.Equal(502, answer.Status);
        Assert.Equal("instance-reset", answer.Reason);
        Assert.Equal(1, await a.Seen("/reset") + await b.Seen("/reset"));
    }

    [ConsulFact]
    public async Task Silent_instance_is_504_after_the_services_own_timeout()
    {
        int port = Ports.Production();
        await platform.Serve("slow", "slow", "production", $"internal-listen-http-{port}", "gateway-timeouts.response=500ms");
        await Platform.Serves(port, "slow");
        WireAnswer answer = await Wire.Get(port, "/slow?ms=8000");
        Assert.Equal(504, answer.Status);
        Assert.Equal("timeout-response", answer.Reason);
    }
}
