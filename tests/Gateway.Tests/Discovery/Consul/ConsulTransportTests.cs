using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Gateway.Discovery.Consul;

namespace Gateway.Tests.Discovery.Consul;

public sealed class ConsulTransportTests : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("gateway-consul-options-");

    [Fact]
    public void Unreadable_files_are_problems_before_anything_is_asked()
    {
        string missing = Path.Combine(_directory.FullName, "missing");

        Assert.Empty(ConsulTransport.Check(new ConsulOptions()));
        Assert.Equal("consul-token-unreadable", Assert.Single(ConsulTransport.Check(new ConsulOptions { TokenFile = missing })).Code);
        Assert.Equal("consul-tls-unusable", Assert.Single(ConsulTransport.Check(new ConsulOptions { TlsCa = missing })).Code);
        Assert.Equal("consul-tls-unusable", Assert.Single(ConsulTransport.Check(new ConsulOptions { TlsCertificate = missing })).Code);
        Assert.Single(ConsulTransport.Check(new ConsulOptions { TlsCa = Write("ca.pem", "no certificate") }));
        Assert.Single(ConsulTransport.Check(new ConsulOptions { TokenFile = Write("empty", " \n") }));
        Assert.Single(ConsulTransport.Check(new ConsulOptions { TokenFile = Write("two", "one\ntwo") }));
    }

    [Fact]
    public void Certificate_with_its_key_in_one_file_or_two_is_taken()
    {
        using RSA key = RSA.Create(2048);
        CertificateRequest request = new("CN=gateway", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        using X509Certificate2 own = request.CreateSelfSigned(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddYears(200));
        string certificate = Write("own.pem", own.ExportCertificatePem());
        string separate = Write("own.key", key.ExportPkcs8PrivateKeyPem());
        string both = Write("both.pem", own.ExportCertificatePem() + "\n" + key.ExportPkcs8PrivateKeyPem());

        Assert.Empty(ConsulTransport.Check(new ConsulOptions { TlsCa = certificate, TlsCertificate = certificate, TlsKey = separate }));
        Assert.Empty(ConsulTransport.Check(new ConsulOptions { TlsCertificate = both }));
        Assert.Single(ConsulTransport.Check(new ConsulOptions { TlsCertificate = certificate }));
    }

    [Fact]
    public void Token_stays_the_last_good_one()
    {
        string file = Write("token", "  secret-1\n");
        ConsulToken token = new(file);
        Assert.Equal("secret-1", token.Current());

        File.Delete(file);
        Assert.Equal("secret-1", token.Current());
        Assert.NotNull(token.Problem);
        Assert.DoesNotContain("secret-1", token.Problem.ToString(), StringComparison.Ordinal);

        Write("token", "secret-22");
        Assert.Equal("secret-22", token.Current());
        Assert.Null(token.Problem);
    }

    public void Dispose() => _directory.Delete(recursive: true);

    private string Write(string name, string text)
    {
        string path = Path.Combine(_directory.FullName, name);
        File.WriteAllText(path, text);
        return path;
    }
}
