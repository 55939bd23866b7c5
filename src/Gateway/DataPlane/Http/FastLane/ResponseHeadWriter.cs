namespace Gateway.DataPlane.Http.FastLane;

/// <summary>What is known of an answer besides the instance's head.</summary>
internal readonly ref struct OutgoingResponse
{
    /// <summary>The client's version.</summary>
    public int ClientMinorVersion { get; init; }

    /// <summary>
    /// The client's connection serves further requests. Not possible where <see cref="ResponseHead.BodyFor"/> says
    /// <see cref="BodyKind.UntilClose"/>; the caller closes then, and nothing else is said.
    /// </summary>
    public bool KeepAlive { get; init; }

    /// <summary>The time, as Date has it, for answers that have none; empty: nothing is added.</summary>
    public ReadOnlySpan<byte> Date { get; init; }

    /// <summary>Set over what the service says; empty on plaintext.</summary>
    public ReadOnlySpan<EdgeHeader> Sets { get; init; }
}

/// <summary>
/// Writes the head of a response instance → client: the instance's status, phrase and lines, framing and connection anew.
/// Decides as <c>KestrelLane.ForwardTransformer</c> does.
/// </summary>
internal static class ResponseHeadWriter
{
    /// <summary>Writes; returns the bytes written, or -1 where they do not fit.</summary>
    public static int Write(ResponseHead head, ReadOnlySpan<byte> raw, in OutgoingResponse facts, Span<byte> to)
    {
        SpanWriter writer = new(to);

        // 1. Status line, with the version that we speak (RFC 9110 §2.5), also to a client of HTTP/1.0. The space stays without a
        //    phrase (RFC 9112 §4).
        writer.Add("HTTP/1.1 "u8);
        writer.AddNumber(head.Status);
        writer.Add((byte)' ');
        writer.Add(head.Phrase.Of(raw));
        writer.Add("\r\n"u8);

        // 2. Lines that go on, in runs.
        ReadOnlySpan<EdgeHeader> sets = head.IsInterim ? default : facts.Sets;
        int from = 0;
        int end = 0;
        bool dated = facts.Date.IsEmpty;
        foreach (ref readonly HeaderLine line in head.Lines)
        {
            if (!head.GoesOn(line, raw) || (!sets.IsEmpty && IsSet(sets, line.Name.Of(raw))))
            {
                continue;
            }

            dated |= line.Known == KnownHeader.Date;
            if (line.Line.Start != end)
            {
                writer.Add(raw[from..end]);
                from = line.Line.Start;
            }

            end = line.Line.End;
        }

        writer.Add(raw[from..end]);
        foreach (EdgeHeader header in sets)
        {
            writer.AddText(header.Name);
            writer.Add(": "u8);
            writer.AddText(header.Value);
            writer.Add("\r\n"u8);
        }

        // 3. Framing and connection, anew.
        if (head.IsInterim)
        {
            writer.Add("\r\n"u8);
            return writer.Written;
        }

        if (head.IsTunnel)
        {
            writer.Add("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"u8);
            return writer.Written;
        }

        // RFC 9110 §6.6.1: whoever has a clock adds what is missing.
        if (!dated)
        {
            writer.AddLine("Date: "u8, facts.Date);
        }

        BodyKind body = head.BodyFor(facts.ClientMinorVersion);
        if (body == BodyKind.Chunked)
        {
            writer.Add("Transfer-Encoding: chunked\r\n"u8);
        }
        else if (body == BodyKind.Length || (body == BodyKind.None && head.ContentLength >= 0 && head.Status != 204))
        {
            // RFC 9110 §8.6: beside no body, in an answer to HEAD and in 304, it tells what GET would have given.
            writer.Add("Content-Length: "u8);
            writer.AddNumber(head.ContentLength);
            writer.Add("\r\n"u8);
        }

        if (!facts.KeepAlive || body == BodyKind.UntilClose)
        {
            writer.Add("Connection: close\r\n"u8);
        }
        else if (facts.ClientMinorVersion == 0)
        {
            writer.Add("Connection: keep-alive\r\n"u8);
        }

        writer.Add("\r\n"u8);
        return writer.Written;
    }

    private static bool IsSet(ReadOnlySpan<EdgeHeader> sets, ReadOnlySpan<byte> name)
    {
        foreach (EdgeHeader header in sets)
        {
            if (System.Text.Ascii.EqualsIgnoreCase(name, header.Name))
            {
                return true;
            }
        }

        return false;
    }
}
