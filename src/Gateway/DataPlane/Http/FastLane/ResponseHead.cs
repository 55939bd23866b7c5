namespace Gateway.DataPlane.Http.FastLane;

/// <summary>
/// The head of a response, from an instance that may be broken or hostile. See <see cref="MessageHead"/> for what holds. Framing
/// depends on the request it answers (RFC 9112 §6.3).
/// </summary>
internal sealed class ResponseHead : MessageHead
{
    /// <summary>Three digits, 100 to 599.</summary>
    public int Status { get; private set; }

    /// <summary>Reason phrase as sent, possibly empty.</summary>
    public Part Phrase { get; private set; }

    /// <summary>An interim response (1xx but 101): another head follows.</summary>
    public bool IsInterim => Status is >= 100 and < 200 and not 101;

    /// <summary>101: what follows is no HTTP any more.</summary>
    public bool IsTunnel => Status == 101;

    /// <inheritdoc/>
    public override Reason? Refusal => Fault == HeadFault.None ? null : Reason.BadResponse;

    /// <summary>Parses.</summary>
    /// <param name="bytes">All that has arrived of it, from its first byte.</param>
    /// <param name="scanned">How much of that an earlier call for the same head has seen; 0 is always right.</param>
    /// <param name="method">Method of the request it answers.</param>
    /// <param name="webSocketOffered">The request asked for a WebSocket; only then may the answer be 101.</param>
    public ParseStatus Parse(ReadOnlySpan<byte> bytes, int scanned, MethodKind method, bool webSocketOffered = false)
    {
        Reset();
        (Status, Phrase) = (0, default);
        ParseStatus status = ParseLines(bytes, scanned, start: 0);
        if (status != ParseStatus.Complete)
        {
            return status;
        }

        HeadFault fault = Judge(method, webSocketOffered);
        return fault == HeadFault.None ? ParseStatus.Complete : Refuse(fault);
    }

    /// <summary>How the body goes on to a client. Its kind is kept, except that one that ends with the connection is sent in
    /// chunks where the client knows them, so that its connection lives on, and chunks are undone where it does not.</summary>
    public BodyKind BodyFor(int clientMinorVersion) => Body switch
    {
        BodyKind.Chunked or BodyKind.UntilClose => clientMinorVersion == 0 ? BodyKind.UntilClose : BodyKind.Chunked,
        _ => Body,
    };

    /// <inheritdoc/>
    protected override HeadFault ReadStart(ReadOnlySpan<byte> bytes)
    {
        // RFC 9112 §4: HTTP-version SP status-code SP [ reason-phrase ]. Servers exist that leave the second space out when they
        // have no phrase.
        ReadOnlySpan<byte> line = StartLine.Of(bytes);
        if (line.Length < 12 || !line.StartsWith("HTTP/1."u8) || !char.IsAsciiDigit((char)line[7]) || line[8] != ' ')
        {
            return line.StartsWith("HTTP/"u8) ? HeadFault.Version : HeadFault.StartLine;
        }

        int hundreds = line[9] - '0';
        if (hundreds is < 1 or > 5 || !char.IsAsciiDigit((char)line[10]) || !char.IsAsciiDigit((char)line[11])
            || (line.Length > 12 && line[12] != ' '))
        {
            return HeadFault.Status;
        }

        MinorVersion = line[7] == '0' ? 0 : 1;
        Status = (hundreds * 100) + ((line[10] - '0') * 10) + (line[11] - '0');
        Phrase = line.Length > 13 ? new Part(StartLine.Start + 13, line.Length - 13) : default;
        return HeadFault.None;
    }

    private HeadFault Judge(MethodKind method, bool webSocketOffered)
    {
        if (IsChunked && ContentLength >= 0)
        {
            return HeadFault.BothFramings;
        }

        if (Status == 101)
        {
            // Nobody switches protocols who was not asked to: a tunnel would carry another client's requests.
            KeepAlive = false;
            return webSocketOffered && UpgradesToWebSocket ? HeadFault.None : HeadFault.Upgrade;
        }

        // RFC 9112 §6.3, in its order.
        if (method == MethodKind.Head || Status is < 200 or 204 or 304)
        {
            // §6.1: no framing belongs into these. An instance that sends one may send the body too: its connection ends here.
            KeepAlive &= Status is not (< 200 or 204) || (!IsChunked && ContentLength <= 0);
        }
        else if (IsChunked)
        {
            // §6.1: chunks in HTTP/1.0 are believed once.
            Body = BodyKind.Chunked;
            KeepAlive &= MinorVersion == 1;
        }
        else if (ContentLength >= 0)
        {
            Body = BodyKind.Length;
        }
        else
        {
            Body = BodyKind.UntilClose;
            KeepAlive = false;
        }

        return HeadFault.None;
    }
}
