namespace Gateway.DataPlane.Http.FastLane;

/// <summary>What is known of a request besides its head. Texts as bytes: made once per connection or process, not per
/// request.</summary>
internal readonly ref struct OutgoingRequest
{
    /// <summary>The client's address (<see cref="HeaderRules.ClientAddress"/>); empty where it has none.</summary>
    public ReadOnlySpan<byte> Client { get; init; }

    /// <summary>Our id for CDN-Loop.</summary>
    public ReadOnlySpan<byte> LoopId { get; init; }

    /// <summary>The instance's address and port: Host where the request has none, as HTTP/1.0 allows and HTTP/1.1 does
    /// not.</summary>
    public ReadOnlySpan<byte> FallbackHost { get; init; }

    /// <summary>The cluster's <c>forwardedFor</c>: off adds nothing.</summary>
    public bool ForwardedFor { get; init; }

    /// <summary>Came in on the edge: forwarding headers are replaced, or extended behind a believed proxy.</summary>
    public bool IsEdge { get; init; }

    /// <summary>Edge: came in over TLS.</summary>
    public bool IsTls { get; init; }

    /// <summary>Edge: the listener's port.</summary>
    public int Port { get; init; }

    /// <summary>Edge: the trusted networks where the peer is one of them; null: its forwarding headers end here.</summary>
    public TrustedNetworks? Believed { get; init; }

    /// <summary>
    /// The client does not wait any more: the body is here, or 100 Continue has been sent. Expect: 100-continue then ends here;
    /// otherwise it goes on, and the instance's 100 goes back (RFC 9110 §10.1.1).
    /// </summary>
    public bool BodyIsComing { get; init; }

    /// <summary>The instance's connection is not to serve another request.</summary>
    public bool Close { get; init; }
}

/// <summary>
/// Writes the head of a request client → instance. In: a parsed head, its bytes, what we know; out: a head in HTTP/1.1 with
/// order, case and duplicates kept and framing anew. Decides as <c>KestrelLane.ForwardTransformer</c> does; one suite compares
/// the two.
/// </summary>
internal static class RequestHeadWriter
{
    /// <summary>Writes; returns the bytes written, or -1 where they do not fit.</summary>
    public static int Write(RequestHead head, ReadOnlySpan<byte> raw, in OutgoingRequest facts, Span<byte> to)
    {
        SpanWriter writer = new(to);

        // 1. Request line. RFC 9112 §3.2.2: absolute form is for proxies; the instance gets origin form.
        writer.Add(head.Method.Of(raw));
        writer.Add((byte)' ');
        if (head.Form == TargetForm.Asterisk)
        {
            writer.Add((byte)'*');
        }
        else
        {
            writer.Add(head.LacksSlash(raw) ? "/"u8 : default);
            writer.Add(head.PathAndQuery(raw));
        }

        writer.Add(" HTTP/1.1\r\n"u8);

        // 2. Host first where it is not the client's line.
        bool ownHost = head.Form == TargetForm.Absolute || !head.HasHost;
        if (ownHost)
        {
            writer.AddLine("Host: "u8, head.Form == TargetForm.Absolute ? head.Host.Of(raw) : facts.FallbackHost);
        }

        // 3. Lines that go on, in runs.
        bool replaced = facts.IsEdge && facts.Believed is null;
        bool dropContinue = facts.BodyIsComing || !head.ExpectsContinue;
        ReadOnlySpan<HeaderLine> lines = head.Lines;
        int from = 0;
        int end = 0;
        foreach (ref readonly HeaderLine line in lines)
        {
            bool goes = line.Known switch
            {
                KnownHeader.Other => !head.ConnectionNames || head.GoesOn(line, raw),
                KnownHeader.Host => !ownHost,
                KnownHeader.ForwardedFor or KnownHeader.Forwarding => !replaced,
                KnownHeader.Expect => !(dropContinue && KnownHeaders.Equal(line.Value.Of(raw), "100-continue"u8))
                    && head.GoesOn(line, raw),
                _ => head.GoesOn(line, raw),
            };
            if (!goes)
            {
                continue;
            }

            if (line.Line.Start != end)
            {
                writer.Add(raw[from..end]);
                from = line.Line.Start;
            }

            end = line.Line.End;
        }

        writer.Add(raw[from..end]);

        // 4. What Gateway adds, behind what was there, as lines of their own.
        if (facts.ForwardedFor)
        {
            if (facts.Client.IsEmpty)
            {
                // A unix socket has no address.
            }
            else if (facts.IsEdge)
            {
                EdgeForwarding.Add(head, raw, facts, ref writer);
            }
            else
            {
                writer.AddLine("X-Forwarded-For: "u8, facts.Client);
            }

            writer.AddLine("CDN-Loop: "u8, facts.LoopId);
        }

        // 5. Framing and connection, anew.
        if (head.WantsWebSocket)
        {
            writer.Add("Connection: Upgrade\r\nUpgrade: websocket\r\n"u8);
        }
        else if (facts.Close)
        {
            writer.Add("Connection: close\r\n"u8);
        }

        if (head.Body == BodyKind.Length)
        {
            writer.Add("Content-Length: "u8);
            writer.AddNumber(head.ContentLength);
            writer.Add("\r\n"u8);
        }
        else if (head.Body == BodyKind.Chunked)
        {
            writer.Add("Transfer-Encoding: chunked\r\n"u8);
        }

        writer.Add("\r\n"u8);
        return writer.Written;
    }
}
