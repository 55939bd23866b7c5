using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Gateway.Configuration;

/// <summary>Files that the configuration names: each check returns what is wrong and what to do, or null.</summary>
internal static class NamedFiles
{
    /// <summary>The token must be readable before anything is bound; an empty file would ask Consul as nobody.</summary>
    public static string? TokenProblem(string path)
    {
        (string? text, string? problem) = Read(path);
        return problem ?? (string.IsNullOrWhiteSpace(text) ? $"'{path}' is empty; write the token into it, or null here for none" : null);
    }

    /// <summary>At least one certificate in PEM form.</summary>
    public static string? AuthoritiesProblem(string path)
    {
        (string? text, string? problem) = Read(path);
        if (problem is not null)
        {
            return problem;
        }

        try
        {
            X509Certificate2Collection authorities = [];
            authorities.ImportFromPem(text);
            foreach (X509Certificate2 authority in authorities)
            {
                authority.Dispose();
            }

            return authorities.Count > 0 ? null : $"'{path}' holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)";
        }
        catch (CryptographicException e)
        {
            return $"'{path}' holds a certificate that cannot be read: {e.Message}";
        }
    }

    /// <summary>A certificate with its key, in one file or two.</summary>
    public static string? CertificateProblem(string path, string? keyPath)
    {
        (string? text, string? problem) = Read(path);
        (string? key, string? keyProblem) = keyPath is null ? (text, null) : Read(keyPath);
        if (problem is not null || keyProblem is not null)
        {
            return problem ?? $"its key: {keyProblem}";
        }

        try
        {
            using X509Certificate2 certificate = X509Certificate2.CreateFromPem(text, key);
            return null;
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            return $"'{path}' and its key ('{keyPath ?? path}') are not a certificate with its key in PEM form: {e.Message}";
        }
    }

    /// <summary>Why a file cannot be read, in a few words.</summary>
    public static string Reason(Exception e) => e switch
    {
        FileNotFoundException or DirectoryNotFoundException => "no such file",
        UnauthorizedAccessException when e.Message.Contains("denied", StringComparison.OrdinalIgnoreCase) => "permission denied",
        _ => e.Message,
    };

    private static (string? Text, string? Problem) Read(string path)
    {
        try
        {
            return Directory.Exists(path)
                ? (null, $"'{path}' is a directory, not a file")
                : (File.ReadAllText(path), null);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return (null, $"'{path}' cannot be read by user {Environment.UserName}: {Reason(e)}");
        }
    }
}
