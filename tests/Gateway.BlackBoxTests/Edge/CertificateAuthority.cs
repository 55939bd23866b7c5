using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Gateway.BlackBoxTests.Edge;

/// <summary>A root, an intermediate and server certificates of it, as PEM.</summary>
internal sealed class CertificateAuthority : IDisposable
{
    private static readonly DateTimeOffset From = DateTimeOffset.UtcNow.AddDays(-1);
    private readonly X509Certificate2 intermediate;

    public CertificateAuthority()
    {
        Root = Authority("test root", null);
        intermediate = Authority("test intermediate", Root);
    }

    public X509Certificate2 Root { get; }

    /// <summary>A server certificate, its intermediate and its key, each as PEM.</summary>
    public (string Certificate, string Chain, string Key) Server(string commonName, int days, params string[] names)
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = new($"CN={commonName}", key, HashAlgorithmName.SHA256);
        SubjectAlternativeNameBuilder alternative = new();
        foreach (string name in names)
        {
            alternative.AddDnsName(name);
        }

        request.CertificateExtensions.Add(alternative.Build());
        using X509Certificate2 signed = request.Create(intermediate, From, From.AddDays(days + 1), RandomNumberGenerator.GetBytes(8));
        return (signed.ExportCertificatePem() + "\n", intermediate.ExportCertificatePem() + "\n", key.ExportPkcs8PrivateKeyPem() + "\n");
    }

    /// <summary>One file with all of it.</summary>
    public string Bundle(string commonName, params string[] names)
    {
        (string certificate, string chain, string key) = Server(commonName, 90, names);
        return key + chain + certificate;
    }

    public void Dispose()
    {
        Root.Dispose();
        intermediate.Dispose();
    }

    private static X509Certificate2 Authority(string name, X509Certificate2? issuer)
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = new($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        if (issuer is null)
        {
            return request.CreateSelfSigned(From, From.AddYears(2));
        }

        using X509Certificate2 signed = request.Create(issuer, From, From.AddYears(1), RandomNumberGenerator.GetBytes(8));
        return signed.CopyWithPrivateKey(key);
    }
}
