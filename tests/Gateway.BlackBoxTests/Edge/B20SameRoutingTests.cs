using System.Net;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Edge;

/// <summary>
/// B20. Goal: the same hosts are served over HTTP and HTTPS, without a forced redirect, in HTTP/1.1 and HTTP/2. Method: one
/// service, both ports, IPv4 and IPv6.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B20SameRoutingTests(EdgePlatform edge) : IClassFixture<EdgePlatform>
{
    [ConsulFact]
    public async Task Both_ports_route_alike_and_nobody_is_redirected()
    {
        await edge.Serve("b20", "one", "production", "external-host-b20.domain.com");
        await edge.Serves("b20.domain.com", "one");
        foreach ((bool tls, Version version) in ((bool, Version)[])[(false, HttpVersion.Version11), (true, HttpVersion.Version11), (true, HttpVersion.Version20)])
        {
            EdgeAnswer answer = await edge.Get(tls, "b20.domain.com", "/a?b=c", version);
            Assert.Equal((200, "one", version), (answer.Answer.Status, answer.Answer.ServedBy, answer.Version));
            Assert.Equal(404, (await edge.Get(tls, "b20-not.domain.com", version: version)).Answer.Status);
            Assert.Equal(503, (await edge.Get(tls, "staging-b20.domain.com", version: version)).Answer.Status);
        }

        CommandResult curl = await ChildProcess.Run(
            "curl",
            [
                "-sS", "--noproxy", "*", "--max-time", "10", "--cacert", edge.Root, "--resolve", $"b20.domain.com:{edge.Https}:[::1]",
                "-o", "/dev/null", "-w", "%{http_code} %{http_version} %{num_redirects}", $"https://b20.domain.com:{edge.Https}/",
            ]);
        Assert.Equal("200 2 0", curl.Out.Trim());
    }

    [ConsulFact]
    public async Task A_request_on_a_connection_of_another_certificate_is_421_over_http2_only()
    {
        await edge.Serve("b20-shop", "shop", "production", "external-host-shop.example");
        await edge.Serves("shop.example", "shop");
        Assert.Equal(200, (await edge.Get(tls: true, "shop.example", version: HttpVersion.Version20)).Answer.Status);
        Assert.Equal("421", await OnAnothersConnection("--http2"));
        Assert.Equal("200", await OnAnothersConnection("--http1.1"));

        async Task<string> OnAnothersConnection(string version) => (await ChildProcess.Run(
            "curl",
            [
                "-sS", "--noproxy", "*", "--max-time", "10", version, "--cacert", edge.Root, "--resolve", $"www.domain.com:{edge.Https}:127.0.0.1",
                "-H", "Host: shop.example", "-o", "/dev/null", "-w", "%{http_code}", $"https://www.domain.com:{edge.Https}/",
            ])).Out.Trim();
    }
}
