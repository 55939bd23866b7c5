using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Gateway.DataPlane.Http.Tls;

/// <summary>One certificate of a directory as it lies there: a <c>.pem</c>, or a <c>.crt</c> with its <c>.key</c>.</summary>
/// <param name="File">Name of the file with the certificate.</param>
/// <param name="Chain">Its text.</param>
/// <param name="Key">Text that holds the key: the same, or that of the <c>.key</c>.</param>
/// <param name="Fault">Why it cannot even be read; null: it can.</param>
internal sealed record CertificateText(string File, string Chain, string Key, string? Fault)
{
    /// <summary>Changes with the content.</summary>
    public string Digest { get; } = Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes($"{Fault}\0{Chain}\0{Key}")));
}

/// <summary>A directory of certificates → what lies there, and from that certificates. Keeps nothing.</summary>
internal static class CertificateFiles
{
    private const int BytesMax = 1024 * 1024;

    /// <summary>Everything that is meant as a certificate, by file name (ordinal). Other names are ignored, dot files too.</summary>
    /// <exception cref="IOException">The directory cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The same.</exception>
    public static IReadOnlyList<CertificateText> List(string directory)
    {
        SortedSet<string> names = new(
            Directory.EnumerateFiles(directory).Select(f => Path.GetFileName(f)).Where(n => n[0] != '.'), StringComparer.Ordinal);
        List<CertificateText> found = [];
        foreach (string name in names)
        {
            string stem = Path.GetFileNameWithoutExtension(name);
            switch (Path.GetExtension(name))
            {
                case ".pem":
                    (string text, string? fault) = Read(directory, name);
                    found.Add(new CertificateText(name, text, text, fault));
                    break;
                case ".crt":
                    string keyName = stem + ".key";
                    (string chain, string? chainFault) = Read(directory, name);
                    (string key, string? keyFault) = names.Contains(keyName) ? Read(directory, keyName) : ("", $"there is no {keyName} beside it");
                    found.Add(new CertificateText(name, chain, key, chainFault ?? keyFault));
                    break;
                case ".key" when !names.Contains(stem + ".crt") && !names.Contains(stem + ".pem"):
                    found.Add(new CertificateText(stem + ".crt", "", "", $"there is no such file beside {name}"));
                    break;
                default:
                    break;
            }
        }

        found.Sort(static (a, b) => string.CompareOrdinal(a.File, b.File));
        return found;
    }

    /// <summary>Makes a certificate of it, or says in a few words why not.</summary>
    public static (ServerCertificate? Certificate, string? Fault) Load(CertificateText text)
    {
        if (text.Fault is not null)
        {
            return (null, text.Fault);
        }

        List<string> blocks = Blocks(text.Chain, static label => label is "CERTIFICATE" or "X509 CERTIFICATE" or "TRUSTED CERTIFICATE");
        if (blocks.Count == 0)
        {
            return (null, "it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)");
        }

        List<string> keys = Blocks(text.Key, static label => label.EndsWith("PRIVATE KEY", StringComparison.Ordinal));
        if (keys.Count != 1)
        {
            return (null, keys.Count == 0 ? "there is no private key with it" : "there is more than one private key with it");
        }

        if (keys[0].Contains("ENCRYPTED", StringComparison.Ordinal))
        {
            return (null, "its private key is encrypted; store it without a passphrase");
        }

        // The certificate that the key belongs to is the server's, wherever it stands; the others are its chain.
        X509Certificate2? leaf = null;
        X509Certificate2Collection others = [];
        string fault = "";
        foreach (string block in blocks)
        {
            try
            {
                others.ImportFromPem(block);
                if (leaf is null)
                {
                    leaf = X509Certificate2.CreateFromPem(block, keys[0]);
                    others.RemoveAt(others.Count - 1);
                }
            }
            catch (Exception e) when (e is CryptographicException or ArgumentException)
            {
                fault = e.Message;
            }
        }

        if (leaf is null || others.Count + 1 < blocks.Count)
        {
            return (null, leaf is null && others.Count == blocks.Count
                ? "its private key belongs to none of its certificates"
                : $"it cannot be read: {fault}");
        }

        try
        {
            return (new ServerCertificate(text.File, leaf, others), null);
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException or NotSupportedException)
        {
            return (null, $"it cannot be used: {e.Message}");
        }
    }

    /// <summary>Why a directory or file cannot be read, in a few words.</summary>
    public static string Reason(Exception e) => e switch
    {
        FileNotFoundException or DirectoryNotFoundException => "there is no such directory",
        UnauthorizedAccessException => $"user {Environment.UserName} may not read it",
        _ => e.Message,
    };

    private static (string Text, string? Fault) Read(string directory, string name)
    {
        try
        {
            using FileStream file = new(Path.Combine(directory, name), FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            if (file.Length > BytesMax)
            {
                return ("", $"{name} has more than 1 MiB");
            }

            using StreamReader reader = new(file, Encoding.Latin1);
            return (reader.ReadToEnd(), null);
        }
        catch (FileNotFoundException)
        {
            return ("", $"{name} is gone");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return ("", $"{name}: {Reason(e)}");
        }
    }

    private static List<string> Blocks(string text, Predicate<string> wanted)
    {
        List<string> blocks = [];
        ReadOnlySpan<char> rest = text;
        while (PemEncoding.TryFind(rest, out PemFields fields))
        {
            if (wanted(rest[fields.Label].ToString()))
            {
                blocks.Add(rest[fields.Location].ToString());
            }

            rest = rest[fields.Location.End..];
        }

        return blocks;
    }
}
