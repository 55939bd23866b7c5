using System.Net;
using System.Text.Json;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Edge;

/// <summary>
/// B21. Goal: the certificate for the name is served with its whole chain, clients without SNI get the default one, nothing older
/// than TLS 1.2 is spoken, and certificates change live without a failed request. Method: openssl s_client; a load over HTTP/1.1 and
/// HTTP/2 while the files change, well and badly.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B21CertificateTests(EdgePlatform edge) : IClassFixture<EdgePlatform>
{
    [ConsulFact]
    public async Task The_certificate_for_the_name_comes_with_its_chain()
    {
        string wild = await edge.Handshake("-servername", "Some.Domain.com", "-showcerts");
        Assert.Contains("Verify return code: 0 (ok)", wild, StringComparison.Ordinal);
        Assert.Contains("s:CN = domain", wild, StringComparison.Ordinal);
        Assert.Contains("s:CN = test intermediate", wild, StringComparison.Ordinal);
        Assert.DoesNotContain("s:CN = test root", wild, StringComparison.Ordinal);
        Assert.Contains("TLSv1.3", wild, StringComparison.Ordinal);
        Assert.Contains("CN = shop", await edge.Handshake("-servername", "shop.example"), StringComparison.Ordinal);

        // No SNI, and a name nobody knows: the first by file name.
        Assert.Contains("subject=CN = domain", await edge.Handshake("-noservername"), StringComparison.Ordinal);
        Assert.Contains("subject=CN = domain", await edge.Handshake("-servername", "unknown.invalid"), StringComparison.Ordinal);

        Assert.Contains("TLSv1.2", await edge.Handshake("-tls1_2", "-servername", "shop.example"), StringComparison.Ordinal);
        Assert.Contains("ALPN protocol: h2", await edge.Handshake("-alpn", "h2,http/1.1", "-servername", "shop.example"), StringComparison.Ordinal);
        Assert.Contains("alert protocol version", await edge.Handshake("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), StringComparison.Ordinal);
    }

    [ConsulFact]
    public async Task Strict_sni_refuses_unknown_names_and_a_named_default_serves_without_sni()
    {
        edge.Gateway.Configure(edge.Configuration("strictSni: on\n  defaultCertificate: shop.crt"));
        Assert.Equal(0, (await edge.Gateway.Command("reload")).Exit);
        Assert.Contains("unrecognized name", await edge.Handshake("-servername", "unknown.invalid"), StringComparison.Ordinal);
        Assert.Contains("subject=CN = shop", await edge.Handshake("-noservername"), StringComparison.Ordinal);
        Assert.Contains("subject=CN = domain", await edge.Handshake("-servername", "x.domain.com"), StringComparison.Ordinal);
        edge.Gateway.Configure(edge.Configuration());
        Assert.Equal(0, (await edge.Gateway.Command("reload")).Exit);
        Assert.Contains("subject=CN = domain", await edge.Handshake("-noservername"), StringComparison.Ordinal);
    }

    [ConsulFact]
    public async Task Certificates_change_live_without_a_failed_request_and_a_bad_pair_keeps_the_old_one()
    {
        await edge.Serve("b21", "one", "production", "external-host-b21.domain.com", "external-host-live.example");
        await edge.Serves("live.example", "one");
        string crt = Path.Combine(edge.Certificates, "live.crt");
        string key = Path.Combine(edge.Certificates, "live.key");
        (string certificate, string chain, string secret) = edge.Authority.Server("live 0", 90, "live.example");
        await File.WriteAllTextAsync(key, secret);
        await File.WriteAllTextAsync(crt, certificate + chain);
        await Shown("live 0");

        // 1. Under load: kept connections of both versions, and a new handshake for every request.
        using CancellationTokenSource stop = new();
        int requests = 0;
        Task[] load =
        [
            Load(HttpVersion.Version11, keep: true), Load(HttpVersion.Version20, keep: true),
            Load(HttpVersion.Version11, keep: false), Load(HttpVersion.Version20, keep: false),
        ];

        // 2. Ten renewals, certificate first and key first in turn: in between the pair does not fit.
        for (int i = 1; i <= 10; i++)
        {
            (certificate, chain, secret) = edge.Authority.Server($"live {i}", i == 10 ? 5 : 90, "live.example");
            await File.WriteAllTextAsync(i % 2 == 0 ? crt : key, i % 2 == 0 ? certificate + chain : secret);
            await Task.Delay(20);
            await File.WriteAllTextAsync(i % 2 == 0 ? key : crt, i % 2 == 0 ? secret : certificate + chain);
            await Shown($"live {i}");
        }

        // 3. Its end is near: a problem and a metric.
        JsonElement expires = await edge.Gateway.Problem("certificate-expires", crt);
        Assert.Contains("replace", GatewayProcess.Plain(expires), StringComparison.Ordinal);
        Assert.Contains("gateway_certificate_expiry_timestamp_seconds{name=\"live.crt\"}", await edge.Gateway.Metrics(), StringComparison.Ordinal);

        // 4. Half a certificate, a strange key, nothing at all: the old one serves, and it is said with file and reason.
        await File.WriteAllTextAsync(crt, certificate[..200]);
        await edge.Gateway.Problem("certificate-unusable", crt, "goes on serving");
        await File.WriteAllTextAsync(crt, certificate + chain);
        await File.WriteAllTextAsync(key, edge.Authority.Server("strange", 90, "live.example").Key);
        await edge.Gateway.Problem("certificate-unusable", crt, "belongs to none");
        File.Delete(key);
        await edge.Gateway.Problem("certificate-unusable", crt, "no live.key");
        await Shown("live 10");
        CommandResult check = await GatewayProcess.Run(["check", "--config", edge.Gateway.ConfigFile]);
        Assert.Equal(1, check.Exit);
        Assert.Contains("no live.key", check.Out, StringComparison.Ordinal);

        // 5. Gone altogether: the default serves, and the problem is gone.
        File.Delete(crt);
        await Eventually.True(async () => (await edge.Handshake("-servername", "live.example")).Contains("subject=CN = domain", StringComparison.Ordinal), "the removed certificate serves no more");
        await Eventually.True(async () => (await edge.Gateway.Problems()).Length == 0, "no problem is left");
        await stop.CancelAsync();
        await Task.WhenAll(load);
        Assert.True(requests > 100, $"{requests} requests");

        async Task Load(Version version, bool keep)
        {
            HttpClient client = edge.Client();
            while (!stop.IsCancellationRequested)
            {
                EdgeAnswer answer = await edge.Get(client, tls: true, "b21.domain.com", version: version);
                Assert.Equal(200, answer.Answer.Status);
                Interlocked.Increment(ref requests);
                if (!keep)
                {
                    client.Dispose();
                    client = edge.Client();
                }

                await Task.Delay(10);
            }

            client.Dispose();
        }

        Task Shown(string name) => Eventually.True(
            async () => (await edge.Handshake("-servername", "live.example")).Contains($"subject=CN = {name}\n", StringComparison.Ordinal),
            $"live.example shows the certificate '{name}'");
    }
}
