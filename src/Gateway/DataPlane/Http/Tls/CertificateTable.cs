using System.Collections.Frozen;
using System.Globalization;

namespace Gateway.DataPlane.Http.Tls;

/// <summary>Server name → certificate. Immutable: a change makes another table, and a handshake keeps the one it began with.</summary>
internal sealed class CertificateTable
{
    /// <summary>A table without certificates.</summary>
    public static readonly CertificateTable Empty = new([], null);

    private readonly FrozenDictionary<string, ServerCertificate> _byName;

    /// <summary>Makes a table.</summary>
    /// <param name="certificates">Sorted by file name: of two for one name the first serves.</param>
    /// <param name="default">Serves no and unknown names.</param>
    public CertificateTable(IReadOnlyList<ServerCertificate> certificates, ServerCertificate? @default)
    {
        Dictionary<string, ServerCertificate> byName = new(StringComparer.Ordinal);
        foreach (ServerCertificate certificate in certificates)
        {
            foreach (string name in certificate.Names)
            {
                byName.TryAdd(name, certificate);
            }
        }

        _byName = byName.ToFrozenDictionary(StringComparer.Ordinal);
        All = certificates;
        Default = @default;
    }

    /// <summary>Every certificate by file name.</summary>
    public IReadOnlyList<ServerCertificate> All { get; }

    /// <summary>Serves no and unknown names; null: there is no certificate at all.</summary>
    public ServerCertificate? Default { get; }

    /// <summary>The certificate for a name, an exact one before a wildcard; null: none covers it.</summary>
    /// <param name="name">As the client sent it in SNI or Host, without port.</param>
    public ServerCertificate? Find(string name)
    {
        string host = Normalize(name);
        if (_byName.TryGetValue(host, out ServerCertificate? exact))
        {
            return exact;
        }

        int dot = host.IndexOf('.', StringComparison.Ordinal);
        return dot > 0 ? _byName.GetValueOrDefault(string.Concat("*", host.AsSpan(dot))) : null;
    }

    /// <summary>Lower case without trailing dot, in ASCII.</summary>
    public static string Normalize(string name)
    {
        string host = name.TrimEnd('.').ToLowerInvariant();
        if (System.Text.Ascii.IsValid(host))
        {
            return host;
        }

        // SslStream shows SNI decoded (RFC 5890), certificates hold the wire's form.
        try
        {
            return new IdnMapping().GetAscii(host);
        }
        catch (ArgumentException)
        {
            return host;
        }
    }
}
