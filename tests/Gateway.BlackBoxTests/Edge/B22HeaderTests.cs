using System.Net;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Edge;

/// <summary>
/// B22. Goal: three headers on every HTTPS answer, ours included, over what the service says, and none on HTTP; forwarding headers
/// replaced for strangers and extended for trusted proxies. Method: an instance that sets its own, failures of each kind.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B22HeaderTests(EdgePlatform edge) : IClassFixture<EdgePlatform>
{
    private static readonly (string Name, string Value)[] Three =
    [
        ("Strict-Transport-Security", "max-age=31536000; preload"), ("X-Frame-Options", "DENY"), ("X-Content-Type-Options", "nosniff"),
    ];

    [ConsulFact]
    public async Task Three_headers_stand_on_every_https_answer_and_on_no_http_answer()
    {
        await edge.Serve("b22", "one", "production", "external-host-b22.domain.com");
        await edge.Serves("b22.domain.com", "one");
        foreach ((string host, string path, int status) in ((string, string, int)[])
            [("b22.domain.com", "/headers-own", 200), ("staging-b22.domain.com", "/", 503), ("not-b22.domain.com", "/", 404)])
        {
            foreach (Version version in (Version[])[HttpVersion.Version11, HttpVersion.Version20])
            {
                WireAnswer answer = (await edge.Get(tls: true, host, path, version)).Answer;
                Assert.Equal(status, answer.Status);
                foreach ((string name, string value) in Three)
                {
                    Assert.Equal([value], answer.Headers.Where(h => h.Key.Equals(name, StringComparison.OrdinalIgnoreCase)).Select(h => h.Value));
                }
            }

            WireAnswer plain = (await edge.Get(tls: false, host, path)).Answer;
            Assert.Equal(status, plain.Status);
            Assert.Null(plain.Header("Strict-Transport-Security"));
            Assert.Null(plain.Header("X-Content-Type-Options"));
            Assert.Equal(status == 200 ? "SAMEORIGIN" : null, plain.Header("X-Frame-Options"));
        }

        // What the parser refuses has them too.
        CommandResult bad = await ChildProcess.Run(
            "bash",
            ["-c", $"printf 'GET / HTTP/1.1\\r\\nHost: a\\r\\nHost: b\\r\\n\\r\\n' | timeout 5 openssl s_client -quiet -noservername -connect 127.0.0.1:{edge.Https} 2>/dev/null"]);
        Assert.Contains("HTTP/1.1 400", bad.Out, StringComparison.Ordinal);
        Assert.Contains("X-Gateway-Reason: bad-request", bad.Out, StringComparison.Ordinal);
        Assert.Contains("X-Frame-Options: DENY", bad.Out, StringComparison.Ordinal);
    }

    [ConsulFact]
    public async Task Forwarding_headers_are_replaced_for_strangers_and_extended_for_trusted_proxies()
    {
        await edge.Serve("b22-f", "one", "production", "external-host-f.domain.com");
        await edge.Serves("f.domain.com", "one");
        string[] forged =
        [
            "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: gopher", "X-Forwarded-Host: evil.example", "X-Forwarded-Port: 1",
            "X-Real-IP: 6.6.6.6", "Forwarded: for=6.6.6.6;proto=gopher", "X_Forwarded_For: 6.6.6.6", "X-Forwarded-Prefix: /evil",
            "Connection: X-Forwarded-For, X-Real-IP",
        ];
        WireAnswer answer = (await edge.Get(tls: true, "f.domain.com", headers: forged)).Answer;
        Assert.Equal(
            ["127.0.0.1", "https", "f.domain.com", edge.Https.ToString(), "127.0.0.1", "for=127.0.0.1;host=f.domain.com;proto=https"],
            ((string[])["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Real-IP", "Forwarded"])
                .Select(name => string.Join(", ", answer.Received(name))));
        Assert.Empty(answer.Received("X_Forwarded_For"));
        Assert.Empty(answer.Received("X-Forwarded-Prefix"));
        Assert.Equal(["http"], (await edge.Get(tls: false, "f.domain.com", headers: forged)).Answer.Received("X-Forwarded-Proto"));

        edge.Gateway.Configure(edge.Configuration(more: "trustedProxies: [127.0.0.0/8]\n"));
        Assert.Equal(0, (await edge.Gateway.Command("reload")).Exit);
        answer = (await edge.Get(tls: true, "f.domain.com", headers: ["X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: http", "Forwarded: for=203.0.113.7"])).Answer;
        Assert.Equal("203.0.113.7, 127.0.0.1", string.Join(", ", answer.Received("X-Forwarded-For")));
        Assert.Equal(["http"], answer.Received("X-Forwarded-Proto"));
        Assert.Equal(["203.0.113.7"], answer.Received("X-Real-IP"));
        Assert.Equal("for=203.0.113.7, for=127.0.0.1;host=f.domain.com;proto=https", string.Join(", ", answer.Received("Forwarded")));
        edge.Gateway.Configure(edge.Configuration());
        Assert.Equal(0, (await edge.Gateway.Command("reload")).Exit);
    }
}
