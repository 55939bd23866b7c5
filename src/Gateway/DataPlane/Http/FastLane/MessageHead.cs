using System.Diagnostics;

namespace Gateway.DataPlane.Http.FastLane;

/// <summary>
/// What request and response heads have in common: finding the end, lines, framing, persistence. In: bytes of a connection;
/// out: a whole head that obeys RFC 9112 to the letter, or a fault. Invariants: the verdict does not depend on how the bytes
/// arrive; no byte is looked at more than a few times, however slowly they drip; nothing is allocated; no reference to the
/// bytes is kept.
/// </summary>
/// <remarks>
/// One object serves a loop: it holds a head only until the next one is parsed. Strictness is the point: every leniency known to
/// have been exploited lets two parties see different messages in the same bytes.
/// </remarks>
internal abstract class MessageHead
{
    /// <summary>Bytes of a head at most, empty line included.</summary>
    public const int BytesMax = 64 * 1024;

    /// <summary>Header lines at most.</summary>
    public const int LinesMax = 1000;

    /// <summary>
    /// Words in Connection at most. Each is compared with each line, so a head full of them would hold the loop up for longer
    /// than a thousand requests; real ones have three.
    /// </summary>
    public const int ConnectionWordsMax = 64;

    private readonly HeaderLine[] _lines = new HeaderLine[LinesMax];
    private readonly Part[] _connections = new Part[ConnectionWordsMax];
    private int _connectionCount;
    private int _lineCount;
    private Part _startLine;

    /// <summary>Bytes of the whole head, with the empty line at its end and empty lines before it.</summary>
    public int Length { get; private set; }

    /// <summary>Header lines in order.</summary>
    public ReadOnlySpan<HeaderLine> Lines => _lines.AsSpan(0, _lineCount);

    /// <summary>Digit behind HTTP/1: 0 or 1. A higher one (responses only) counts as 1.</summary>
    public int MinorVersion { get; protected set; }

    /// <summary>Whether the connection may serve further messages, by this head alone.</summary>
    public bool KeepAlive { get; protected set; }

    /// <summary>Connection names headers, which end here, besides those that do anyway.</summary>
    public bool ConnectionNames { get; private set; }

    /// <summary>How the body is delimited.</summary>
    public BodyKind Body { get; protected set; }

    /// <summary>Content-Length as sent, or -1. It frames a body only where <see cref="Body"/> says so: HEAD and 304.</summary>
    public long ContentLength { get; private set; }

    /// <summary>Names of trailers are announced.</summary>
    public bool AnnouncesTrailers { get; private set; }

    /// <summary>Which rule is broken; None unless refused.</summary>
    public HeadFault Fault { get; private set; }

    /// <summary>What the client is told if refused; null otherwise.</summary>
    public abstract Reason? Refusal { get; }

    /// <summary>Connection has the word upgrade, and Upgrade is websocket and nothing else.</summary>
    protected bool UpgradesToWebSocket { get; private set; }

    /// <summary>Transfer-Encoding is there, and it is exactly one <c>chunked</c>.</summary>
    protected bool IsChunked { get; private set; }

    /// <summary>Lines of Host.</summary>
    protected int HostCount { get; private set; }

    /// <summary>Value of Host.</summary>
    protected Part HostValue { get; private set; }

    /// <summary>Expect has 100-continue.</summary>
    protected bool HasContinue { get; private set; }

    /// <summary>TE has trailers.</summary>
    protected bool HasTrailersTe { get; private set; }

    /// <summary>First value of a header, or nothing; null where there is no such line.</summary>
    public Part? Find(KnownHeader header)
    {
        foreach (ref readonly HeaderLine line in Lines)
        {
            if (line.Known == header)
            {
                return line.Value;
            }
        }

        return null;
    }

    /// <summary>Whether a line goes on to the next hop, as far as hop-by-hop rules decide.</summary>
    public bool GoesOn(in HeaderLine line, ReadOnlySpan<byte> raw)
    {
        if (HeaderRules.EndsHere(line.Known) || line.Known == KnownHeader.ContentLength)
        {
            return false;
        }

        return !ConnectionNames || !IsNamed(line, raw);
    }

    /// <summary>Reads the start line, from <see cref="StartLine"/>.</summary>
    protected abstract HeadFault ReadStart(ReadOnlySpan<byte> bytes);

    /// <summary>Finds the end, then reads; common to both kinds of head.</summary>
    /// <param name="bytes">What has arrived of it, from its first byte.</param>
    /// <param name="scanned">How much of that an earlier call has seen.</param>
    /// <param name="start">Where the start line begins.</param>
    protected ParseStatus ParseLines(ReadOnlySpan<byte> bytes, int scanned, int start)
    {
        // 1. To the end. Bytes seen before are not looked at again, except line ends: the head's end may straddle.
        int from = Math.Clamp(scanned, start, bytes.Length);
        while (from > start && bytes[from - 1] is (byte)'\r' or (byte)'\n')
        {
            from--;
        }

        ParseStatus status = Scan(bytes, start, from);
        if (status == ParseStatus.Complete && from > start)
        {
            // The lines of what earlier calls have seen were not kept: other connections' heads came between.
            status = Scan(bytes, start, start);
        }

        if (status != ParseStatus.Complete)
        {
            return status;
        }

        // 2. What it says.
        if (_lineCount > LinesMax)
        {
            _lineCount = LinesMax;
            return Refuse(HeadFault.TooManyLines);
        }

        HeadFault fault = ReadStart(bytes);
        fault = fault == HeadFault.None ? ReadLines(bytes) : fault;
        return fault == HeadFault.None ? ParseStatus.Complete : Refuse(fault);
    }

    /// <summary>Notes a fault.</summary>
    protected ParseStatus Refuse(HeadFault fault)
    {
        Debug.Assert(fault != HeadFault.None);
        (Fault, KeepAlive, Body) = (fault, false, BodyKind.None);
        return ParseStatus.Refused;
    }

    /// <summary>Forgets the head before.</summary>
    protected void Reset()
    {
        (_lineCount, _connectionCount, _startLine, Length) = (0, 0, default, 0);
        (MinorVersion, Body, ContentLength, Fault) = (1, BodyKind.None, -1, HeadFault.None);
        (HostCount, HostValue) = (0, default);
        (KeepAlive, ConnectionNames, AnnouncesTrailers) = (false, false, false);
        (UpgradesToWebSocket, IsChunked, HasContinue, HasTrailersTe) = (false, false, false, false);
    }

    /// <summary>The start line as a stretch of the bytes.</summary>
    protected Part StartLine => _startLine;

    private ParseStatus Scan(ReadOnlySpan<byte> bytes, int start, int from)
    {
        ReadOnlySpan<byte> head = bytes[..Math.Min(bytes.Length, start + BytesMax)];
        int lineStart = start;
        int at = from;
        _lineCount = -1;
        while (true)
        {
            // Tabs apart, the only control bytes of a head are the CR and LF of its line ends. RFC 9112 §2.2 lets a recipient
            // take a bare LF for a line end; we do not, nor a bare CR for a space: both have hidden requests from somebody.
            int hit = at < head.Length ? head[at..].IndexOfAny(Grammar.Controls) : -1;
            if (hit < 0)
            {
                break;
            }

            at += hit;
            if (head[at] != '\r')
            {
                return Refuse(HeadFault.ControlByte);
            }

            if (at + 1 == head.Length)
            {
                break;
            }

            if (head[at + 1] != '\n')
            {
                return Refuse(HeadFault.ControlByte);
            }

            if (at == lineStart)
            {
                if (at == start)
                {
                    return Refuse(HeadFault.StartLine);
                }

                Length = at + 2;
                return ParseStatus.Complete;
            }

            at += 2;
            if (_lineCount < 0)
            {
                _startLine = new Part(lineStart, at - 2 - lineStart);
            }
            else if (_lineCount < LinesMax)
            {
                _lines[_lineCount] = new HeaderLine(new Part(lineStart, at - lineStart), 0, default, KnownHeader.Other);
            }

            _lineCount++;
            lineStart = at;
        }

        _lineCount = 0;
        return head.Length == start + BytesMax ? Refuse(HeadFault.TooLarge) : ParseStatus.Incomplete;
    }

    private HeadFault ReadLines(ReadOnlySpan<byte> bytes)
    {
        bool closes = false;
        bool keeps = false;
        bool upgrade = false;
        bool webSocket = false;
        int upgrades = 0;
        int encodings = 0;
        int words = 0;
        foreach (ref HeaderLine line in _lines.AsSpan(0, _lineCount))
        {
            // RFC 9112 §5: field-name ":" OWS field-value OWS. The first byte that is no token must be the colon: no white space
            // before it, no name missing, no fold (§5.2: a line that begins with white space).
            ReadOnlySpan<byte> text = bytes.Slice(line.Line.Start, line.Line.Length - 2);
            int colon = text.IndexOfAnyExcept(Grammar.Token);
            if (colon <= 0 || text[colon] != ':')
            {
                return HeadFault.Line;
            }

            int from = colon + 1;
            while (from < text.Length && text[from] is (byte)' ' or (byte)'\t')
            {
                from++;
            }

            int to = text.Length;
            while (to > from && text[to - 1] is (byte)' ' or (byte)'\t')
            {
                to--;
            }

            KnownHeader known = KnownHeaders.Of(text[..colon]);
            line = new HeaderLine(line.Line, colon, new Part(line.Line.Start + from, to - from), known);
            if (known is KnownHeader.Other)
            {
                continue;
            }

            ReadOnlySpan<byte> value = text[from..to];
            switch (known)
            {
                case KnownHeader.Host:
                    (HostCount, HostValue) = (HostCount + 1, line.Value);
                    break;
                case KnownHeader.ContentLength:
                    // RFC 9112 §6.3 allows equal ones to be taken as one; whoever sends two cannot be trusted to mean one.
                    if (ContentLength >= 0 || !Grammar.TryLength(value, out long length))
                    {
                        return HeadFault.ContentLength;
                    }

                    ContentLength = length;
                    break;
                case KnownHeader.TransferEncoding:
                    // Only chunked ends here and is written anew; other codings' bytes without their name would be spoiled.
                    if (++encodings > 1 || !KnownHeaders.Equal(value, "chunked"u8))
                    {
                        return HeadFault.TransferEncoding;
                    }

                    IsChunked = true;
                    break;
                case KnownHeader.Connection:
                    if (!ReadConnection(value, ref words, ref closes, ref keeps, ref upgrade))
                    {
                        return HeadFault.ConnectionNames;
                    }

                    _connections[_connectionCount++] = line.Value;
                    break;
                case KnownHeader.Upgrade:
                    webSocket = ++upgrades == 1 && KnownHeaders.Equal(value, "websocket"u8);
                    break;
                case KnownHeader.Expect:
                    HasContinue |= KnownHeaders.Equal(value, "100-continue"u8);
                    break;
                case KnownHeader.Te:
                    HasTrailersTe |= HeaderRules.Lists(value, "trailers"u8);
                    break;
                case KnownHeader.Trailer:
                    AnnouncesTrailers = true;
                    break;
            }
        }

        // RFC 9112 §9.3; close wins.
        KeepAlive = !closes && (keeps || MinorVersion > 0);
        UpgradesToWebSocket = upgrade && webSocket;
        return HeadFault.None;
    }

    private bool ReadConnection(ReadOnlySpan<byte> value, ref int words, ref bool closes, ref bool keeps, ref bool upgrade)
    {
        foreach (Range part in value.Split((byte)','))
        {
            ReadOnlySpan<byte> word = KnownHeaders.Trim(value[part]);
            if (++words > ConnectionWordsMax)
            {
                return false;
            }

            if (KnownHeaders.Equal(word, "close"u8))
            {
                closes = true;
            }
            else if (KnownHeaders.Equal(word, "keep-alive"u8))
            {
                keeps = true;
            }
            else if (KnownHeaders.Equal(word, "upgrade"u8))
            {
                upgrade = true;
            }
            else
            {
                ConnectionNames |= !word.IsEmpty && !HeaderRules.EndsHere(KnownHeaders.Of(word));
            }
        }

        return true;
    }

    private bool IsNamed(in HeaderLine line, ReadOnlySpan<byte> raw)
    {
        ReadOnlySpan<byte> name = line.Name.Of(raw);
        foreach (Part connection in _connections.AsSpan(0, _connectionCount))
        {
            if (HeaderRules.IsNamedBy(connection.Of(raw), name, line.Known))
            {
                return true;
            }
        }

        return false;
    }
}
