using System.Buffers;
using System.Text;

namespace Gateway.DataPlane.Http.FastLane;

/// <summary>
/// <see cref="Forwarding"/> on bytes: the same lines in the same order, without allocating for a peer that is not believed. A
/// test holds the two together.
/// </summary>
internal static class EdgeForwarding
{
    /// <summary>Adds the lines.</summary>
    public static void Add(RequestHead head, ReadOnlySpan<byte> raw, in OutgoingRequest facts, ref SpanWriter writer)
    {
        bool believed = facts.Believed is not null;
        ReadOnlySpan<byte> scheme = facts.IsTls ? "https"u8 : "http"u8;
        ReadOnlySpan<byte> host = head.Host.Of(raw);
        writer.AddLine("X-Forwarded-For: "u8, facts.Client);
        if (!Has(believed, head, raw, "X-Forwarded-Proto"u8))
        {
            writer.AddLine("X-Forwarded-Proto: "u8, scheme);
        }

        if (!host.IsEmpty && !Has(believed, head, raw, "X-Forwarded-Host"u8))
        {
            writer.AddLine("X-Forwarded-Host: "u8, host);
        }

        if (!Has(believed, head, raw, "X-Forwarded-Port"u8))
        {
            writer.Add("X-Forwarded-Port: "u8);
            writer.AddNumber(facts.Port);
            writer.Add("\r\n"u8);
        }

        if (facts.Believed is not { } trusted)
        {
            writer.AddLine("X-Real-IP: "u8, facts.Client);
        }
        else if (!Has(believed: true, head, raw, "X-Real-IP"u8))
        {
            writer.Add("X-Real-IP: "u8);
            writer.AddText(ClientOf(trusted, head, raw, facts.Client));
            writer.Add("\r\n"u8);
        }

        AddElement(facts.Client, host, scheme, ref writer);
    }

    // RFC 7239 §4: one element; §6: an IPv6 address stands in brackets and quotes, as does a host with a port.
    private static void AddElement(
        ReadOnlySpan<byte> client, ReadOnlySpan<byte> host, ReadOnlySpan<byte> scheme, ref SpanWriter writer)
    {
        bool isIpv6 = client.Contains((byte)':');
        writer.Add("Forwarded: for="u8);
        writer.Add(isIpv6 ? "\"["u8 : default);
        writer.Add(client);
        writer.Add(isIpv6 ? "]\""u8 : default);
        if (!host.IsEmpty)
        {
            // A valid host has neither quotes nor backslashes to escape.
            bool quoted = host.ContainsAnyExcept(Grammar.Token);
            writer.Add(";host="u8);
            writer.Add(quoted ? "\""u8 : default);
            writer.Add(host);
            writer.Add(quoted ? "\""u8 : default);
        }

        writer.AddLine(";proto="u8, scheme);
    }

    private static bool Has(bool believed, RequestHead head, ReadOnlySpan<byte> raw, ReadOnlySpan<byte> name)
    {
        if (believed)
        {
            foreach (ref readonly HeaderLine line in head.Lines)
            {
                if (line.Known == KnownHeader.Forwarding && KnownHeaders.Equal(line.Name.Of(raw), name))
                {
                    return true;
                }
            }
        }

        return false;
    }

    private static string ClientOf(TrustedNetworks trusted, RequestHead head, ReadOnlySpan<byte> raw, ReadOnlySpan<byte> peer)
    {
        List<string> values = [];
        foreach (ref readonly HeaderLine line in head.Lines)
        {
            if (line.Known == KnownHeader.ForwardedFor)
            {
                values.Add(Encoding.Latin1.GetString(line.Value.Of(raw)));
            }
        }

        return trusted.ClientOf(values, Encoding.Latin1.GetString(peer));
    }
}
