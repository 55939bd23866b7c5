using System.Security.Cryptography.X509Certificates;
using Gateway.DataPlane.Http.Tls;

namespace Gateway.Tests.DataPlane.Http.Tls;

public sealed class CertificateTableTests : IDisposable
{
    private readonly TestCertificates _ca = new();

    [Theory]
    [InlineData("www.example.com", "exact.pem")]
    [InlineData("WWW.Example.COM.", "exact.pem")]
    [InlineData("api.example.com", "wild.pem")]
    [InlineData("a.b.example.com", null)]
    [InlineData("example.com", null)]
    [InlineData("evil-example.com", null)]
    [InlineData("xn--mnchen-3ya.example.org", "idn.pem")]
    [InlineData("münchen.example.org", "idn.pem")]
    [InlineData("shared.example.net", "exact.pem")]
    [InlineData("*.example.com", "wild.pem")]
    [InlineData("", null)]
    [InlineData(".", null)]
    public void Exact_names_come_before_wildcards_of_one_label(string name, string? file)
    {
        ServerCertificate exact = Make("exact.pem", "www.example.com", "shared.example.net");
        ServerCertificate idn = Make("idn.pem", "xn--mnchen-3ya.example.org");
        ServerCertificate wild = Make("wild.pem", "*.example.com", "shared.example.net");
        Assert.Equal(file, new CertificateTable([exact, idn, wild], exact).Find(name)?.File);
    }

    [Theory]
    [InlineData("www.example.com", true)]
    [InlineData("api.example.org", true)]
    [InlineData("a.api.example.org", false)]
    [InlineData("example.org", false)]
    [InlineData(".example.org", false)]
    [InlineData("", false)]
    public void A_certificate_covers_its_names_only(string host, bool covered) =>
        Assert.Equal(covered, Make("a.pem", "www.example.com", "*.example.org").Covers(host));

    public void Dispose() => _ca.Dispose();

    private ServerCertificate Make(string file, params string[] names)
    {
        X509Certificate2 leaf = _ca.Leaf(names[0], names);
        return new ServerCertificate(file, leaf, [_ca.Intermediate]);
    }
}
