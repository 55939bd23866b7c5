using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Gateway.Tests.DataPlane.Http.Tls;

/// <summary>Makes certificates: a root, an intermediate and leaves of it.</summary>
internal sealed class TestCertificates : IDisposable
{
    private static readonly DateTimeOffset s_from = DateTimeOffset.UtcNow.AddDays(-1);

    public TestCertificates()
    {
        Root = Authority("root", null);
        Intermediate = Authority("intermediate", Root);
    }

    public X509Certificate2 Root { get; }

    public X509Certificate2 Intermediate { get; }

    /// <summary>A leaf with its key.</summary>
    public X509Certificate2 Leaf(string commonName, string[] names, int days = 90, bool rsa = false)
    {
        using AsymmetricAlgorithm key = rsa ? RSA.Create(2048) : ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = key is RSA r
            ? new CertificateRequest($"CN={commonName}", r, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)
            : new CertificateRequest($"CN={commonName}", (ECDsa)key, HashAlgorithmName.SHA256);
        if (names.Length > 0)
        {
            SubjectAlternativeNameBuilder alternative = new();
            foreach (string name in names)
            {
                alternative.AddDnsName(name);
            }

            request.CertificateExtensions.Add(alternative.Build());
        }

        using ECDsa signer = Intermediate.GetECDsaPrivateKey()!;
        X509Certificate2 leaf = request.Create(
            Intermediate.SubjectName, X509SignatureGenerator.CreateForECDsa(signer), s_from, s_from.AddDays(days + 1), Serial());
        return key is RSA rsaKey ? leaf.CopyWithPrivateKey(rsaKey) : leaf.CopyWithPrivateKey((ECDsa)key);
    }

    /// <summary>Certificate and key as text.</summary>
    public static (string Certificate, string Key) Pem(X509Certificate2 leaf)
    {
        using AsymmetricAlgorithm key = (AsymmetricAlgorithm?)leaf.GetECDsaPrivateKey() ?? leaf.GetRSAPrivateKey()!;
        return (leaf.ExportCertificatePem() + "\n", key.ExportPkcs8PrivateKeyPem() + "\n");
    }

    /// <summary>One file: certificate, intermediate, key.</summary>
    public string Bundle(string commonName, string[] names, int days = 90)
    {
        using X509Certificate2 leaf = Leaf(commonName, names, days);
        (string certificate, string key) = Pem(leaf);
        return certificate + Intermediate.ExportCertificatePem() + "\n" + key;
    }

    public void Dispose()
    {
        Root.Dispose();
        Intermediate.Dispose();
    }

    private static X509Certificate2 Authority(string name, X509Certificate2? issuer)
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = new($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        if (issuer is null)
        {
            return request.CreateSelfSigned(s_from, s_from.AddYears(2));
        }

        using X509Certificate2 signed = request.Create(issuer, s_from, s_from.AddYears(1), Serial());
        return signed.CopyWithPrivateKey(key);
    }

    private static byte[] Serial() => RandomNumberGenerator.GetBytes(8);
}
