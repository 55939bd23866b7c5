using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Gateway.DataPlane.Http.Tls;

namespace Gateway.Tests.DataPlane.Http.Tls;

public sealed class CertificateFilesTests : IDisposable
{
    private readonly TestCertificates _ca = new();
    private readonly string _folder = Directory.CreateTempSubdirectory("gw-certs-").FullName;

    public static TheoryData<string> Orders => ["leaf chain key", "key leaf chain", "chain key leaf", "key chain leaf"];

    [Theory]
    [MemberData(nameof(Orders))]
    public void Chain_and_key_stand_in_any_order(string order)
    {
        using X509Certificate2 leaf = _ca.Leaf("a", ["a.example"]);
        (string certificate, string key) = TestCertificates.Pem(leaf);
        string text = string.Concat(order.Split(' ').Select(part => part switch
        {
            "leaf" => certificate,
            "key" => key,
            _ => _ca.Intermediate.ExportCertificatePem() + "\n",
        }));
        ServerCertificate loaded = Load("a.pem", text);
        Assert.Equal(["a.example"], loaded.Names);
        Assert.Equal(leaf.Thumbprint, loaded.Options.ServerCertificateContext!.TargetCertificate.Thumbprint);
        Assert.Equal([_ca.Intermediate.Thumbprint], loaded.Options.ServerCertificateContext.IntermediateCertificates.Select(c => c.Thumbprint));
    }

    [Fact]
    public void Certificate_and_key_may_be_two_files_and_the_key_an_rsa_one()
    {
        using X509Certificate2 leaf = _ca.Leaf("b", [], rsa: true);
        (string certificate, _) = TestCertificates.Pem(leaf);
        using RSA key = leaf.GetRSAPrivateKey()!;
        Write("b.crt", certificate + _ca.Intermediate.ExportCertificatePem());
        Write("b.key", key.ExportRSAPrivateKeyPem());
        CertificateText text = Assert.Single(CertificateFiles.List(_folder));
        (ServerCertificate? loaded, string? fault) = CertificateFiles.Load(text);
        Assert.Null(fault);
        Assert.Equal("b.crt", loaded!.File);

        // No DNS name beside it: the common name counts.
        Assert.Equal(["b"], loaded.Names);
    }

    [Fact]
    public void Other_names_and_dot_files_are_ignored()
    {
        foreach (string name in new[] { "README", "a.pem.bak", ".hidden.pem", "a.csr", "a.PEM~" })
        {
            Write(name, "x");
        }

        Directory.CreateDirectory(Path.Combine(_folder, "folder.pem"));
        Assert.Empty(CertificateFiles.List(_folder));
    }

    [Fact]
    public void What_is_wrong_with_a_file_is_said()
    {
        using X509Certificate2 leaf = _ca.Leaf("a", ["a.example"]);
        using X509Certificate2 other = _ca.Leaf("o", ["o.example"]);
        (string certificate, string key) = TestCertificates.Pem(leaf);
        (_, string otherKey) = TestCertificates.Pem(other);
        using ECDsa ecdsa = leaf.GetECDsaPrivateKey()!;
        string encrypted = ecdsa.ExportEncryptedPkcs8PrivateKeyPem("secret", new PbeParameters(PbeEncryptionAlgorithm.Aes256Cbc, HashAlgorithmName.SHA256, 1000));
        Assert.Contains("no private key", Fault("a.pem", certificate), StringComparison.Ordinal);
        Assert.Contains("no certificate", Fault("a.pem", key), StringComparison.Ordinal);
        Assert.Contains("no certificate", Fault("a.pem", ""), StringComparison.Ordinal);
        Assert.Contains("belongs to none", Fault("a.pem", certificate + otherKey), StringComparison.Ordinal);
        Assert.Contains("more than one", Fault("a.pem", certificate + key + otherKey), StringComparison.Ordinal);
        Assert.Contains("encrypted", Fault("a.pem", certificate + encrypted), StringComparison.Ordinal);
        Assert.Contains("cannot be read", Fault("a.pem", key + certificate.Replace("MII", "AAA", StringComparison.Ordinal)), StringComparison.Ordinal);
        Assert.Contains("no certificate", Fault("a.pem", key + certificate[..^40]), StringComparison.Ordinal);
        File.Delete(Path.Combine(_folder, "a.pem"));
        Assert.Contains("no c.key", Fault("c.crt", certificate), StringComparison.Ordinal);
        File.Delete(Path.Combine(_folder, "c.crt"));
        Assert.Contains("beside d.key", Fault("d.key", key), StringComparison.Ordinal);
    }

    public void Dispose()
    {
        Directory.Delete(_folder, recursive: true);
        _ca.Dispose();
    }

    private void Write(string name, string text) => File.WriteAllText(Path.Combine(_folder, name), text);

    private ServerCertificate Load(string name, string text)
    {
        Write(name, text);
        (ServerCertificate? loaded, string? fault) = CertificateFiles.Load(Assert.Single(CertificateFiles.List(_folder)));
        Assert.Null(fault);
        return loaded!;
    }

    private string Fault(string name, string text)
    {
        Write(name, text);
        (ServerCertificate? loaded, string? fault) = CertificateFiles.Load(Assert.Single(CertificateFiles.List(_folder)));
        Assert.Null(loaded);
        return fault!;
    }
}
