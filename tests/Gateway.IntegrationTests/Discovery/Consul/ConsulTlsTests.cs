using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Gateway.Discovery.Consul;

namespace Gateway.IntegrationTests.Discovery.Consul;

/// <summary>TLS to the real Consul, which asks for our certificate.</summary>
[Trait("Needs", "consul")]
public sealed class ConsulTlsTests : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("gateway-consul-tls-");

    [Fact]
    public async Task Pinned_authority_and_own_certificate_are_used_and_another_authority_is_refused()
    {
        using RSA caKey = RSA.Create(2048);
        CertificateRequest caRequest = new("CN=test ca", caKey, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        caRequest.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        using X509Certificate2 ca = caRequest.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(2));
        string caFile = Write("ca.pem", ca.ExportCertificatePem());
        (string certificate, string key) = Issue(ca, "server");
        (string ownCertificate, string ownKey) = Issue(ca, "client");
        int port = FreePort();
        await using ConsulAgent consul = await ConsulAgent.StartAsync(
            $"-hcl=ports {{ https = {port} }} ca_file = \"{caFile}\" cert_file = \"{certificate}\" key_file = \"{key}\" "
            + "verify_incoming_https = true");
        await consul.RegisterAsync(new { Name = "web", Port = 1, Tags = new[] { "routed" } });
        Uri address = new($"https://127.0.0.1:{port}");

        await using Watching good = new(
            address, null, o => o with { TlsCa = caFile, TlsCertificate = ownCertificate, TlsKey = ownKey });
        await using Watching withoutAuthority = new(address, null, o => o with { TlsCertificate = ownCertificate, TlsKey = ownKey });
        await using Watching withoutCertificate = new(address, null, o => o with { TlsCa = caFile });

        await good.Until("the catalog", () => good.Names.Count == 1);
        await consul.RegisterAsync(new { Name = "web", Port = 2, Tags = new[] { "routed" } });
        await good.Until("a change", () => good.Instances("web") is [{ Port: 2 }]);
        await withoutAuthority.Until("a problem", () => withoutAuthority.HasProblem("consul-unreachable"));
        await withoutCertificate.Until("a problem", () => withoutCertificate.HasProblem("consul-unreachable"));
        Assert.Empty(withoutAuthority.Reports);
        Assert.Empty(withoutCertificate.Reports);
    }

    public void Dispose() => _directory.Delete(recursive: true);

    private (string Certificate, string Key) Issue(X509Certificate2 ca, string name)
    {
        using RSA key = RSA.Create(2048);
        CertificateRequest request = new($"CN={name}", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        SubjectAlternativeNameBuilder names = new();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        using X509Certificate2 issued = request.Create(
            ca, DateTimeOffset.UtcNow.AddHours(-12), DateTimeOffset.UtcNow.AddDays(1), Guid.NewGuid().ToByteArray());
        return (Write($"{name}.pem", issued.ExportCertificatePem()), Write($"{name}.key", key.ExportPkcs8PrivateKeyPem()));
    }

    private string Write(string name, string text)
    {
        string path = Path.Combine(_directory.FullName, name);
        File.WriteAllText(path, text);
        return path;
    }

    private static int FreePort()
    {
        using Socket socket = new(SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }
}
