using System.Buffers.Binary;

namespace Gateway.DataPlane.Http.FastLane;

/// <summary>The head of a request, as a client sent it. See <see cref="MessageHead"/> for what holds.</summary>
internal sealed class RequestHead : MessageHead
{
    // RFC 9112 §2.2: empty lines before a request are ignored, as some clients send one behind a body.
    private const int EmptyLinesMax = 4;

    private Part _pathAndQuery;

    /// <summary>Method, by name.</summary>
    public MethodKind MethodKind { get; private set; }

    /// <summary>Method as sent; names are compared with case.</summary>
    public Part Method { get; private set; }

    /// <summary>Target as sent.</summary>
    public Part Target { get; private set; }

    /// <summary>Form of the target.</summary>
    public TargetForm Form { get; private set; }

    /// <summary>
    /// Host that the request is for, with port, possibly empty: RFC 9112 §3.2.2: the authority of an absolute target stands over
    /// Host.
    /// </summary>
    public Part Host { get; private set; }

    /// <summary>There is a line Host (HTTP/1.0 needs none).</summary>
    public bool HasHost => HostCount > 0;

    /// <summary>A WebSocket is asked for: GET, HTTP/1.1, no body, Connection: upgrade, Upgrade: websocket.</summary>
    public bool WantsWebSocket { get; private set; }

    /// <summary>The client waits for 100 Continue before it sends the body (RFC 9110 §10.1.1). Means nothing in HTTP/1.0 or
    /// without a body.</summary>
    public bool ExpectsContinue { get; private set; }

    /// <summary>TE: trailers.</summary>
    public bool AcceptsTrailers => HasTrailersTe;

    /// <inheritdoc/>
    public override Reason? Refusal => Fault == HeadFault.None ? null : Refusals.Of(Fault);

    /// <summary>Parses.</summary>
    /// <param name="bytes">All that has arrived of it, from its first byte.</param>
    /// <param name="scanned">How much of that an earlier call for the same head has seen; 0 is always right.</param>
    public ParseStatus Parse(ReadOnlySpan<byte> bytes, int scanned = 0)
    {
        Reset();
        (Method, MethodKind, Target, Form, Host, _pathAndQuery) =
            (default, MethodKind.Other, default, TargetForm.Origin, default, default);
        (WantsWebSocket, ExpectsContinue) = (false, false);
        int start = 0;
        while (start < EmptyLinesMax * 2 && bytes[start..].StartsWith("\r\n"u8))
        {
            start += 2;
        }

        ParseStatus status = ParseLines(bytes, scanned, start);
        if (status != ParseStatus.Complete)
        {
            return status;
        }

        HeadFault fault = Judge(bytes);
        return fault == HeadFault.None ? ParseStatus.Complete : Refuse(fault);
    }

    /// <summary>Path and query as sent. An absolute target may leave the path out: <see cref="LacksSlash"/>.</summary>
    public ReadOnlySpan<byte> PathAndQuery(ReadOnlySpan<byte> raw) => _pathAndQuery.Of(raw);

    /// <summary>Path without query, for choosing a route.</summary>
    public ReadOnlySpan<byte> Path(ReadOnlySpan<byte> raw)
    {
        ReadOnlySpan<byte> path = _pathAndQuery.Of(raw);
        int query = path.IndexOf((byte)'?');
        path = query < 0 ? path : path[..query];
        return path.IsEmpty && Form == TargetForm.Absolute ? "/"u8 : path;
    }

    /// <summary>A slash goes before <see cref="PathAndQuery"/> when it is sent: <c>http://host</c>, <c>http://host?query</c>.
    /// </summary>
    public bool LacksSlash(ReadOnlySpan<byte> raw) =>
        Form == TargetForm.Absolute && (_pathAndQuery.Length == 0 || raw[_pathAndQuery.Start] != '/');

    /// <summary>How often our own id stands in CDN-Loop (RFC 8586).</summary>
    public int CountOwnId(ReadOnlySpan<byte> raw, ReadOnlySpan<byte> ownId)
    {
        int count = 0;
        foreach (ref readonly HeaderLine line in Lines)
        {
            if (line.Known == KnownHeader.CdnLoop)
            {
                count += HeaderRules.CountOwnId(line.Value.Of(raw), ownId);
            }
        }

        return count;
    }

    /// <inheritdoc/>
    protected override HeadFault ReadStart(ReadOnlySpan<byte> bytes)
    {
        // RFC 9112 §3: method SP request-target SP HTTP-version; single spaces, nothing else.
        ReadOnlySpan<byte> line = StartLine.Of(bytes);
        int space = line.IndexOfAnyExcept(Grammar.Token);
        if (space <= 0 || line[space] != ' ')
        {
            return HeadFault.StartLine;
        }

        const int VersionLength = 8;
        int target = space + 1;
        int end = line.Length - VersionLength - 1;
        if (end <= target || line[end] != ' ')
        {
            return HeadFault.StartLine;
        }

        // HTTP/1.0 and HTTP/1.1 differ in the last byte.
        ulong version = BinaryPrimitives.ReadUInt64BigEndian(line[(end + 1)..]);
        if ((version | 1) != BinaryPrimitives.ReadUInt64BigEndian("HTTP/1.1"u8))
        {
            return line[(end + 1)..].StartsWith("HTTP/"u8) ? HeadFault.Version : HeadFault.StartLine;
        }

        MinorVersion = (int)(version & 1);
        Method = new Part(StartLine.Start, space);
        MethodKind = KindOf(line[..space]);
        Target = new Part(StartLine.Start + target, end - target);
        return MethodKind == MethodKind.Connect ? HeadFault.Connect : ReadTarget(line[target..end]);
    }

    private HeadFault ReadTarget(ReadOnlySpan<byte> target)
    {
        // RFC 3986 has neither spaces nor bytes over 0x7E; a fragment never reaches a server (RFC 9112 §3.2), and one that does
        // has fooled rules about how a path ends (CVE-2023-45539).
        if (target.ContainsAnyExceptInRange((byte)'!', (byte)'~') || target.Contains((byte)'#'))
        {
            return HeadFault.Target;
        }

        // A NUL in a path, once somebody unescapes it, ends the path for some and not for others. Kestrel refuses it too.
        int query = target.IndexOf((byte)'?');
        if ((query < 0 ? target : target[..query]).IndexOf("%00"u8) >= 0)
        {
            return HeadFault.Target;
        }

        if (target[0] == '/')
        {
            (Form, _pathAndQuery) = (TargetForm.Origin, Target);
            return HeadFault.None;
        }

        if (target.Length == 1 && target[0] == '*')
        {
            Form = TargetForm.Asterisk;
            return HeadFault.None;
        }

        int scheme = KnownHeaders.Equal(target[..Math.Min(7, target.Length)], "http://"u8) ? 7
            : KnownHeaders.Equal(target[..Math.Min(8, target.Length)], "https://"u8) ? 8
            : 0;
        if (scheme == 0)
        {
            return HeadFault.Target;
        }

        // The end of the authority. A backslash or an at sign in it fails as a host.
        int path = target[scheme..].IndexOfAny((byte)'/', (byte)'?');
        path = path < 0 ? target.Length : scheme + path;
        if (path == scheme || target[scheme] == ':' || !Grammar.IsHost(target[scheme..path]))
        {
            return HeadFault.Host;
        }

        Form = TargetForm.Absolute;
        Host = new Part(Target.Start + scheme, path - scheme);
        _pathAndQuery = new Part(Target.Start + path, target.Length - path);
        return HeadFault.None;
    }

    private HeadFault Judge(ReadOnlySpan<byte> bytes)
    {
        // RFC 9112 §3.2: exactly one Host in HTTP/1.1; a valid one where there is one, also where an absolute target overrules
        // it.
        if (HostCount > 1 || (HostCount == 0 && MinorVersion == 1) || !Grammar.IsHost(HostValue.Of(bytes)))
        {
            return HeadFault.Host;
        }

        // RFC 9112 §3.2.2 lets an absolute target overrule Host. Where the two disagree somebody on the way has believed the other one, so
        // it is refused, as Kestrel does.
        if (Form == TargetForm.Absolute)
        {
            if (HostCount == 1 && !IsSameAuthority(Host.Of(bytes), HostValue.Of(bytes)))
            {
                return HeadFault.Host;
            }
        }
        else
        {
            Host = HostValue;
        }

        if (IsChunked)
        {
            // RFC 9112 §6.1: HTTP/1.0 knows no transfer codings, and somebody on the way has not looked at it. §6.3: with a
            // length beside it the message may be an attempt at smuggling.
            if (MinorVersion == 0)
            {
                return HeadFault.TransferEncoding;
            }

            if (ContentLength >= 0)
            {
                return HeadFault.BothFramings;
            }

            Body = BodyKind.Chunked;
        }
        else if (ContentLength >= 0)
        {
            Body = BodyKind.Length;
        }
        else if (MinorVersion == 0 && MethodKind is MethodKind.Post or MethodKind.Put)
        {
            // RFC 1945 §8.3: the length is required; without it the body's bytes would be read as the next request.
            return HeadFault.LengthRequired;
        }

        bool empty = Body == BodyKind.None || (Body == BodyKind.Length && ContentLength == 0);
        WantsWebSocket = UpgradesToWebSocket && MinorVersion == 1 && MethodKind == MethodKind.Get && empty;
        ExpectsContinue = HasContinue && MinorVersion == 1 && !empty;
        return HeadFault.None;
    }

    // Without case; a port of 80 may be left out.
    private static bool IsSameAuthority(ReadOnlySpan<byte> a, ReadOnlySpan<byte> b) =>
        KnownHeaders.Equal(WithoutPort80(a), WithoutPort80(b));

    private static ReadOnlySpan<byte> WithoutPort80(ReadOnlySpan<byte> host) => host.EndsWith(":80"u8) ? host[..^3] : host;

    private static MethodKind KindOf(ReadOnlySpan<byte> method) => method.Length switch
    {
        3 => method.SequenceEqual("GET"u8) ? MethodKind.Get : method.SequenceEqual("PUT"u8) ? MethodKind.Put : MethodKind.Other,
        4 => method.SequenceEqual("POST"u8) ? MethodKind.Post
            : method.SequenceEqual("HEAD"u8) ? MethodKind.Head
            : MethodKind.Other,
        5 => method.SequenceEqual("PATCH"u8) ? MethodKind.Patch
            : method.SequenceEqual("TRACE"u8) ? MethodKind.Trace
            : MethodKind.Other,
        6 => method.SequenceEqual("DELETE"u8) ? MethodKind.Delete : MethodKind.Other,
        7 => method.SequenceEqual("OPTIONS"u8) ? MethodKind.Options
            : method.SequenceEqual("CONNECT"u8) ? MethodKind.Connect
            : MethodKind.Other,
        _ => MethodKind.Other,
    };
}
