using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;

namespace Gateway.DataPlane.Http.Tls;

/// <summary>One certificate with its key and chain, ready for handshakes. Immutable.</summary>
internal sealed class ServerCertificate
{
    /// <summary>Prepares a certificate.</summary>
    /// <param name="file">Name of its file.</param>
    /// <param name="leaf">The certificate with its private key.</param>
    /// <param name="others">What else stands in the file: the intermediates, in any order.</param>
    public ServerCertificate(string file, X509Certificate2 leaf, X509Certificate2Collection others)
    {
        File = file;
        Names = NamesOf(leaf);
        NotBefore = new DateTimeOffset(leaf.NotBefore.ToUniversalTime(), TimeSpan.Zero);
        NotAfter = new DateTimeOffset(leaf.NotAfter.ToUniversalTime(), TimeSpan.Zero);

        // Offline: a chain is what the file holds; nothing is fetched from the network in the middle of a handshake. One context
        // per certificate, because OpenSSL's sessions hang on it: with a new one each time nothing could ever be resumed.
        Options = new SslServerAuthenticationOptions
        {
            ServerCertificateContext = SslStreamCertificateContext.Create(leaf, others, offline: true),
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
            ApplicationProtocols = [SslApplicationProtocol.Http2, SslApplicationProtocol.Http11],
            AllowRenegotiation = false,
            ClientCertificateRequired = false,
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
        };
    }

    /// <summary>Name of its file, as metrics and problems name it.</summary>
    public string File { get; }

    /// <summary>DNS names it is for, lower case, <c>*.</c> in front of wildcards.</summary>
    public IReadOnlyList<string> Names { get; }

    /// <summary>Begin of its validity.</summary>
    public DateTimeOffset NotBefore { get; }

    /// <summary>End of its validity.</summary>
    public DateTimeOffset NotAfter { get; }

    /// <summary>What a handshake with it uses.</summary>
    public SslServerAuthenticationOptions Options { get; }

    /// <summary>Whether it is for a host, given in lower case without port and trailing dot.</summary>
    public bool Covers(ReadOnlySpan<char> host)
    {
        int dot = host.IndexOf('.');
        foreach (string name in Names)
        {
            // RFC 6125 §6.4.3: the asterisk stands for exactly one label.
            if (name.StartsWith("*.", StringComparison.Ordinal)
                ? dot > 0 && host[dot..].SequenceEqual(name.AsSpan(1))
                : host.SequenceEqual(name))
            {
                return true;
            }
        }

        return false;
    }

    // RFC 6125 §6.4.4: the common name counts only where there is no DNS name beside it.
    private static string[] NamesOf(X509Certificate2 leaf)
    {
        string[] names =
        [
            .. leaf.Extensions.OfType<X509SubjectAlternativeNameExtension>()
                .SelectMany(e => e.EnumerateDnsNames())
                .Select(n => n.TrimEnd('.').ToLowerInvariant())
                .Where(n => n.Length > 0)
                .Distinct(StringComparer.Ordinal),
        ];
        string common = leaf.GetNameInfo(X509NameType.SimpleName, forIssuer: false).ToLowerInvariant();
        return names.Length > 0 || common.Length == 0 ? names : [common];
    }
}
