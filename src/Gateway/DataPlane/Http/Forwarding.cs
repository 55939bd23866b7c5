using System.Globalization;
using System.Numerics;

namespace Gateway.DataPlane.Http;

/// <summary>What the edge knows of a request by itself.</summary>
/// <param name="Client">The peer's address without port.</param>
/// <param name="Scheme"><c>http</c> or <c>https</c>.</param>
/// <param name="Host">Host as received; empty where there was none.</param>
/// <param name="Port">The listener's port.</param>
internal readonly record struct ForwardingFacts(string Client, string Scheme, string Host, int Port);

/// <summary>
/// Forwarding headers on the edge: what an untrusted peer sends of them ends here and is replaced, what a trusted proxy sends is
/// extended. Plain values in and out, as in <see cref="HeaderRules"/>.
/// </summary>
internal static class Forwarding
{
    /// <summary>RFC 7239.</summary>
    public const string Forwarded = "Forwarded";

    /// <summary>Scheme the client used.</summary>
    public const string Proto = "X-Forwarded-Proto";

    /// <summary>Host the client asked for.</summary>
    public const string Host = "X-Forwarded-Host";

    /// <summary>Port the client connected to.</summary>
    public const string Port = "X-Forwarded-Port";

    /// <summary>The client's address.</summary>
    public const string RealIp = "X-Real-IP";

    /// <summary>
    /// Whether a header speaks about the way a request came: Forwarded, X-Real-IP and every X-Forwarded-*. An underscore counts
    /// as a hyphen: CGI, WSGI and their like read X_Forwarded_For and X-Forwarded-For as one.
    /// </summary>
    public static bool Concerns<TChar>(ReadOnlySpan<TChar> name)
        where TChar : unmanaged, IBinaryInteger<TChar> =>
        name.Length switch
        {
            9 => Begins(name, "forwarded"u8) || Begins(name, "x-real-ip"u8),
            > 12 => Begins(name, "x-forwarded-"u8),
            _ => false,
        };

    /// <summary>As <see cref="Concerns{TChar}"/>, on characters.</summary>
    public static bool Concerns(ReadOnlySpan<char> name) => Concerns<char>(name);

    /// <summary>
    /// What a request is sent on with, in order. A peer that is not trusted gets all of it anew; behind a trusted one the lists
    /// grow at their end, and single values that are there stand.
    /// </summary>
    /// <param name="facts">What we know.</param>
    /// <param name="trusted">Null: the peer is not trusted, and what it sent is gone already; else whom to believe.</param>
    /// <param name="has">The values of a header as they go on; looked at for a trusted peer only.</param>
    /// <param name="add">Adds a line behind what is there.</param>
    public static void Add(
        in ForwardingFacts facts, TrustedNetworks? trusted, Func<string, IReadOnlyList<string?>> has, Action<string, string> add)
    {
        string client = trusted is null ? facts.Client : trusted.ClientOf(has(HeaderRules.ForwardedFor), facts.Client);
        add(HeaderRules.ForwardedFor, facts.Client);
        Once(Proto, facts.Scheme);
        Once(Host, facts.Host);
        Once(Port, facts.Port.ToString(CultureInfo.InvariantCulture));
        Once(RealIp, client);
        add(Forwarded, Element(facts));

        void Once(string name, string value)
        {
            if (value.Length > 0 && (trusted is null || has(name).Count == 0))
            {
                add(name, value);
            }
        }
    }

    /// <summary>RFC 7239 §4: one element; §6: an IPv6 address stands in brackets and quotes, as does a host with a port.</summary>
    public static string Element(in ForwardingFacts facts)
    {
        string client = facts.Client.Contains(':', StringComparison.Ordinal) ? $"\"[{facts.Client}]\"" : facts.Client;
        string host = facts.Host.Length == 0 ? "" : $";host={(IsToken(facts.Host) ? facts.Host : Quoted(facts.Host))}";
        return $"for={client}{host};proto={facts.Scheme}";
    }

    private static bool IsToken(string text)
    {
        foreach (char c in text)
        {
            if (!char.IsAsciiLetterOrDigit(c) && !"!#$%&'*+-.^_`|~".Contains(c, StringComparison.Ordinal))
            {
                return false;
            }
        }

        return true;
    }

    private static string Quoted(string text) =>
        $"\"{text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}\"";

    private static bool Begins<TChar>(ReadOnlySpan<TChar> name, ReadOnlySpan<byte> with)
        where TChar : unmanaged, IBinaryInteger<TChar>
    {
        for (int i = 0; i < with.Length; i++)
        {
            int c = int.CreateTruncating(name[i]);
            c = c == '_' ? '-' : c is >= 'A' and <= 'Z' ? c | 0x20 : c;
            if (c != with[i])
            {
                return false;
            }
        }

        return true;
    }
}
