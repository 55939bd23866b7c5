using Gateway.DataPlane.Http;
using Gateway.DataPlane.Http.FastLane;

namespace Gateway.Tests.DataPlane.Http.FastLane;

/// <summary>What a client may send, and what is refused before anybody believes a byte of it.</summary>
public sealed class RequestHeadTests
{
    private const string Host = "Host: a\r\n";

    /// <summary>Head, fault, status.</summary>
    public static TheoryData<string, string, int> Bad { get; } = Build();

    /// <summary>Heads that are accepted; also each followed by bytes of the next one.</summary>
    public static TheoryData<string> Good { get; } =
    [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "get!#$%&'*+-.^_`|~ /a?b HTTP/1.1\r\nHost:\r\n\r\n",
        "POST /x HTTP/1.1\r\nhOST: a:80\r\ncontent-LENGTH:\t 5 \t\r\n\r\nhello",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0000000000000000000000000009\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:  CHUNKED \r\n\r\n0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://b.example:8080 HTTP/1.1\r\nHost: B.example:8080\r\n\r\n",
        "GET HTTPS://b/x?y HTTP/1.1\r\nHost: b\r\n\r\n",
        "GET http://[::1]:80?y HTTP/1.1\r\nHost: [::1]\r\n\r\n",
        "GET /%zz{}|\\^`\"<>[] HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Tab:a\tb\r\nX-Obs:\u00e4\u0080\u00ff\r\nX-Empty:\r\nX-Blank: \t \r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: , close,,\tX-A ,keep-alive\r\nX-A: 1\r\n\r\n",
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
    ];

    private static TheoryData<string, string, int> Build()
    {
        TheoryData<string, string, int> data = [];

        // Line ends and control bytes.
        foreach (string head in (string[])
        [
            "GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\rX", "GET / HTTP/1.1\rHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX\0: 1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: \u001b[31m\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: \u007f\r\n\r\n", "GET /\u007f HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u000bchunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\u000b: chunked\r\n\r\n",
            "\u0016\u0003\u0001\u0002\0\u0001", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "\0GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        ])
        {
            data.Add(head, nameof(HeadFault.ControlByte), 400);
        }

        // The request line.
        foreach (string line in (string[])
        [
            "GET / ", "GET /", "GET", " GET / HTTP/1.1", "GET  HTTP/1.1", "GET /  HTTP/1.1 ", "G(T / HTTP/1.1", "GET\t/ HTTP/1.1",
            "GET / HTTP/1.1 ", "GET /\tHTTP/1.1", "GET / http/1.1", "GET / HTTP", "G\u00e4T / HTTP/1.1", "GET /x HTTX/1.1",
            "GET / HTTP/1.1x", "GET / HTTP/1.10", "GET / HTTP/01.1", ": / HTTP/1.1",
        ])
        {
            data.Add($"{line}\r\n{Host}\r\n", nameof(HeadFault.StartLine), 400);
        }

        data.Add("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", nameof(HeadFault.StartLine), 400);
        foreach (string version in (string[])["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/1.x", "HTTP/1,1", "HTTP/3.0"])
        {
            data.Add($"GET / {version}\r\n{Host}\r\n", nameof(HeadFault.Version), 400);
        }

        foreach (string target in (string[])
        [
            " /", "/ /", "/a b", "/\u00fcmlaut", "/a\tb", "a", "index.html", "**", "*/", "a:80", "ftp://a/", "ws://a/", "http:/a",
            "http:a",
            "://a/", "/x#f", "http://a/#", "\\", "?x",
        ])
        {
            data.Add($"GET {target} HTTP/1.1\r\n{Host}\r\n", nameof(HeadFault.Target), 400);
        }

        data.Add($"CONNECT a:443 HTTP/1.1\r\n{Host}\r\n", nameof(HeadFault.Connect), 400);
        data.Add($"CONNECT / HTTP/1.1\r\n{Host}\r\n", nameof(HeadFault.Connect), 400);

        // Header lines.
        foreach (string line in (string[])
        [
            "X : 1", " X: 1", "\tX: 1", "X", "X 1", ": 1", ":", "X\u00e4: 1", "X(: 1", "X@: 1", "X\t: 1", "X-A: 1\r\n folded",
            "X-A: 1\r\n\tfolded", "X-A: 1\r\n ", "\"X\": 1", "X=1", "[]: 1", "Transfer-Encoding : chunked", "Content-Length : 5",
            " Transfer-Encoding: chunked", "X: 1\r\n Transfer-Encoding: chunked", "Transfer\u00adEncoding: chunked", "X{}: 1",
            "GET / HTTP/1.1",
        ])
        {
            data.Add($"GET / HTTP/1.1\r\n{Host}{line}\r\n\r\n", nameof(HeadFault.Line), 400);
            data.Add($"GET / HTTP/1.1\r\n{line}\r\n{Host}\r\n", nameof(HeadFault.Line), 400);
        }

        // Framing.
        foreach (string line in (string[])
        [
            "Content-Length:", "Content-Length: +5", "Content-Length: -1", "Content-Length: 5, 5", "Content-Length: 5,",
            "Content-Length: 0x5",
            "Content-Length: 5 5", "Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5\r\ncontent-length: 6",
            "Content-Length: 1e3",
            "Content-Length: 9223372036854775808", "Content-Length: 18446744073709551621",
            "Content-Length: 99999999999999999999999999",
            "Content-Length: \u00b2", "Content-Length: 5;", "Content-Length: \"5\"", "Content-Length: 1_000",
            "Content-Length: five",
            "Content-Length: 000000000000000000000000000000000",
        ])
        {
            data.Add($"POST / HTTP/1.1\r\n{Host}{line}\r\n\r\n", nameof(HeadFault.ContentLength), 400);
        }

        foreach (string line in (string[])
        [
            "Transfer-Encoding:", "Transfer-Encoding: gzip", "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked, gzip",
            "Transfer-Encoding: chunked,", "Transfer-Encoding: ,chunked", "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunkedx", "Transfer-Encoding: \"chunked\"", "Transfer-Encoding: 'chunked'",
            "Transfer-Encoding: chunked;",
            "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: identity",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chun ked", "Transfer-Encoding: \u00a0chunked", "Transfer-Encoding: chunked\u0085",
            "Transfer-Encoding: : chunked", "Transfer-Encoding: cow\r\nContent-Length: 5",
            "Transfer-Encoding:\r\nContent-Length: 5",
        ])
        {
            data.Add($"POST / HTTP/1.1\r\n{Host}{line}\r\n\r\n", nameof(HeadFault.TransferEncoding), 400);
        }

        data.Add($"POST / HTTP/1.0\r\n{Host}Transfer-Encoding: chunked\r\n\r\n", nameof(HeadFault.TransferEncoding), 400);
        data.Add($"POST / HTTP/1.1\r\n{Host}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
            nameof(HeadFault.BothFramings), 400);
        data.Add($"POST / HTTP/1.1\r\n{Host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            nameof(HeadFault.BothFramings), 400);
        data.Add($"GET / HTTP/1.1\r\n{Host}Content-Length: 5\r\ntransfer-encoding:chunked\r\n\r\n",
            nameof(HeadFault.BothFramings), 400);
        data.Add($"POST / HTTP/1.0\r\n{Host}\r\n", nameof(HeadFault.LengthRequired), 400);
        data.Add($"PUT / HTTP/1.0\r\n{Host}\r\n", nameof(HeadFault.LengthRequired), 400);

        // Host and authority.
        data.Add("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", nameof(HeadFault.Host), 400);
        data.Add("GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", nameof(HeadFault.Host), 400);
        data.Add($"GET /a%00b HTTP/1.1\r\n{Host}\r\n", nameof(HeadFault.Target), 400);
        data.Add("GET / HTTP/1.1\r\n\r\n", nameof(HeadFault.Host), 400);
        data.Add("GET http://a/ HTTP/1.1\r\n\r\n", nameof(HeadFault.Host), 400);
        data.Add("GET http://a/ HTTP/1.1\r\nHost: @\r\n\r\n", nameof(HeadFault.Host), 400);
        data.Add("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", nameof(HeadFault.Host), 400);
        data.Add("GET / HTTP/1.1\r\nHost: a\r\nhost:\r\n\r\n", nameof(HeadFault.Host), 400);
        data.Add("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", nameof(HeadFault.Host), 400);
        foreach (string host in (string[])
        [
            "u@a", "u:p@a", "a b", "a/b", "a?b", "a#b", "a\\b", "\u00e4", "a\tb", "a:", "a:b", "a:80:80", "a:-1", "a:65536",
            "a:+80", "a: 80",
            "a:800000", ":80", "[::1", "::1", "[]", "[::1]x", "[::1]:", "[::1]:x", "[::1%25eth0]", "[g::1]", "[1.2.3.4]",
            "[::1]]", "[[::1]]",
            "[v1.a]", "a%", "a%4", "a%gg", "a[b", "\"a\"", "<a>", "a^", "a`b", "a{b", "a|b", "http://a", "[1:2:3]",
        ])
        {
            data.Add($"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n", nameof(HeadFault.Host), 400);
        }

        foreach (string authority in (string[])["", "u@a", "u:p@a", ":80", "a:", "a:x", "[::1", "a\\b", "a%", "@", "a:80@b"])
        {
            data.Add($"GET http://{authority}/ HTTP/1.1\r\nHost: a\r\n\r\n", nameof(HeadFault.Host), 400);
        }

        data.Add($"GET / HTTP/1.1\r\n{Host}Connection: {string.Join(',', Enumerable.Repeat("x", 65))}\r\n\r\n",
            nameof(HeadFault.ConnectionNames), 400);
        data.Add($"GET / HTTP/1.1\r\n{Host}{string.Concat(Enumerable.Repeat("Connection:\r\n", 65))}\r\n",
            nameof(HeadFault.ConnectionNames), 400);
        return data;
    }

    [Theory]
    [MemberData(nameof(Bad))]
    public void Bad_head_is_refused_however_it_arrives(string text, string fault, int status)
    {
        (RequestHead head, ParseStatus parsed) = Heads.Request(text);
        Assert.Equal(ParseStatus.Refused, parsed);
        Assert.Equal(fault, head.Fault.ToString());
        Assert.Equal(("bad-request", status), (head.Refusal!.Code, head.Refusal.Status));
        Assert.False(head.KeepAlive);
        AssertSameInPortions(text);
    }

    [Theory]
    [MemberData(nameof(Good))]
    public void Good_head_is_accepted_however_it_arrives(string text)
    {
        (RequestHead head, ParseStatus parsed) = Heads.Request(text);
        Assert.Equal((ParseStatus.Complete, HeadFault.None), (parsed, head.Fault));
        Assert.Null(head.Refusal);
        AssertSameInPortions(text);
        AssertSameInPortions(text + "GET /next HTTP/1.1\nbad");
    }

    [Fact]
    public void Everything_a_caller_needs_is_there()
    {
        const string Text = "\r\nPOST http://b.example:81/p/q?x=/?y HTTP/1.1\r\nHost: b.example:81\r\nConnection: X-A, keep-alive\r\nTE: gzip, Trailers\r\n"
            + "Trailer: X-T\r\nExpect: 100-Continue\r\nContent-Length:  17 \r\nCDN-Loop: gw, other; a=gw\r\ncdn-loop: GW;x\r\n\r\nbody";
        byte[] raw = Heads.Bytes(Text);
        (RequestHead head, _) = Heads.Request(Text);
        Assert.Equal(Text.Length - 4, head.Length);
        Assert.Equal(("POST", MethodKind.Post, 1), (Heads.Text(head.Method.Of(raw)), head.MethodKind, head.MinorVersion));
        Assert.Equal(("http://b.example:81/p/q?x=/?y", TargetForm.Absolute), (Heads.Text(head.Target.Of(raw)), head.Form));
        Assert.Equal(("/p/q?x=/?y", "/p/q"), (Heads.Text(head.PathAndQuery(raw)), Heads.Text(head.Path(raw))));
        Assert.Equal("b.example:81", Heads.Text(head.Host.Of(raw)));
        Assert.Equal((BodyKind.Length, 17L), (head.Body, head.ContentLength));
        Assert.True(head.KeepAlive && head.ConnectionNames && head.ExpectsContinue && head.AcceptsTrailers && head.AnnouncesTrailers);
        Assert.False(head.WantsWebSocket);
        Assert.Equal(2, head.CountOwnId(raw, "gw"u8));
        Assert.Equal("17", Heads.Text(head.Find(KnownHeader.ContentLength)!.Value.Of(raw)));
        Assert.Null(head.Find(KnownHeader.Cookie));
    }

    [Theory]
    [InlineData("1.1", "", true)]
    [InlineData("1.1", "Connection: close\r\n", false)]
    [InlineData("1.1", "Connection: x, CLOSE\r\n", false)]
    [InlineData("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false)]
    [InlineData("1.1", "Connection: closed\r\n", true)]
    [InlineData("1.0", "", false)]
    [InlineData("1.0", "Connection: Keep-Alive\r\n", true)]
    [InlineData("1.0", "Connection: x, keep-alive\r\n", true)]
    [InlineData("1.0", "Connection: keep-alive, close\r\n", false)]
    public void Connection_persists_by_version_and_word(string version, string lines, bool persists) =>
        Assert.Equal(persists, Heads.Request($"GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n").Head.KeepAlive);

    [Theory]
    [InlineData("Connection: keep-alive\r\n", false)]
    [InlineData("Connection: close, Upgrade,, keep-alive\r\n", false)]
    [InlineData("Connection: TE, HTTP2-Settings, Keep-Alive\r\n", false)]
    [InlineData("Connection: keep-alive, X-A\r\n", true)]
    [InlineData("Connection: close\r\nConnection: Cookie\r\n", true)]
    public void Connection_that_names_headers_is_noted(string lines, bool names) =>
        Assert.Equal(names, Heads.Request($"GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").Head.ConnectionNames);

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", true)]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nConnection: a, upgrade\r\nUpgrade: WEBSOCKET\r\nContent-Length: 0\r\n\r\n", true)]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", false)]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n", false)]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n\r\n", false)]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", false)]
    [InlineData("GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", false)]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", false)]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\n", false)]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n", false)]
    public void Web_socket_is_asked_for_in_one_way(string text, bool wants) =>
        Assert.Equal(wants, Heads.Request(text).Head.WantsWebSocket);

    [Theory]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", true)]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n", true)]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n", false)]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", false)]
    [InlineData("POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", false)]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\n", false)]
    public void Continue_is_awaited_only_with_a_body_and_in_1_1(string text, bool expects) =>
        Assert.Equal(expects, Heads.Request(text).Head.ExpectsContinue);

    [Theory]
    [InlineData("a")]
    [InlineData("a.example.")]
    [InlineData("A-b_c~d!e$f&g'h(i)j*k+l,m;n=o")]
    [InlineData("1.2.3.4:65535")]
    [InlineData("a:0")]
    [InlineData("a%20b%C3:1")]
    [InlineData("%41")]
    [InlineData("[::1]")]
    [InlineData("[2001:db8::1]:443")]
    [InlineData("[::ffff:1.2.3.4]")]
    public void Valid_host_is_taken(string host)
    {
        string text = $"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n";
        (RequestHead head, ParseStatus status) = Heads.Request(text);
        Assert.Equal((ParseStatus.Complete, host), (status, Heads.Text(head.Host.Of(Heads.Bytes(text)))));
        Assert.Equal(ParseStatus.Complete, Heads.Request($"GET http://{host} HTTP/1.1\r\nHost: {host}\r\n\r\n").Status);
    }

    [Fact]
    public void Head_is_bounded_in_bytes_and_lines()
    {
        string Sized(int bytes)
        {
            const string Begin = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
            return Begin + new string('x', bytes - Begin.Length - 4) + "\r\n\r\n";
        }

        string Lined(int lines) => "GET / HTTP/1.1\r\nHost: a\r\n" + string.Concat(Enumerable.Repeat("X:\r\n",
            lines - 1)) + "\r\n";

        Assert.Equal(ParseStatus.Complete, Heads.Request(Sized(MessageHead.BytesMax)).Status);
        Assert.Equal(ParseStatus.Complete, Heads.Request("\r\n" + Sized(MessageHead.BytesMax)).Status);
        Assert.Equal(ParseStatus.Complete, Heads.Request(Lined(MessageHead.LinesMax)).Status);
        (string, HeadFault)[] bad =
        [
            (Sized(MessageHead.BytesMax + 1), HeadFault.TooLarge),
            (Sized(MessageHead.BytesMax * 3), HeadFault.TooLarge),
            ("GET /" + new string('a', MessageHead.BytesMax), HeadFault.TooLarge),
            (new string('a', MessageHead.BytesMax), HeadFault.TooLarge),
            (Lined(MessageHead.LinesMax + 1), HeadFault.TooManyLines),
            (Lined(5000), HeadFault.TooManyLines),
        ];
        foreach ((string text, HeadFault fault) in bad)
        {
            (RequestHead head, ParseStatus status) = Heads.Request(text);
            Assert.Equal((ParseStatus.Refused, fault, 431), (status, head.Fault, head.Refusal!.Status));
            foreach (int portion in (int[])[1000, 4096, 65535])
            {
                Assert.Equal(Heads.Describe(head, status, Heads.Bytes(text)), Heads.RequestInPortions(Heads.Bytes(text),
                    () => portion));
            }
        }
    }

    [Fact]
    public void Dripping_costs_in_proportion()
    {
        // Counted, not timed: the scan starts where it stopped, so a poisoned byte that was seen already is not met again.
        byte[] raw = Heads.Bytes("GET / HTTP/1.1\r\nHost: a\r\nX: " + new string('x', 1000));
        RequestHead head = new();
        Assert.Equal(ParseStatus.Incomplete, head.Parse(raw));
        byte[] poisoned = [.. raw, (byte)'y'];
        poisoned[100] = 0;
        Assert.Equal(ParseStatus.Incomplete, head.Parse(poisoned, raw.Length));
        Assert.Equal(ParseStatus.Refused, head.Parse(poisoned));
    }

    [Fact]
    public void Nothing_is_left_of_the_head_before()
    {
        RequestHead head = new();
        byte[] rich = Heads.Bytes("POST http://b/ HTTP/1.1\r\nHost: b\r\nConnection: close, x, upgrade\r\nUpgrade: websocket\r\nTE: trailers\r\n"
            + "Trailer: t\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n");
        byte[] plain = Heads.Bytes("GET / HTTP/1.1\r\nHost: c\r\n\r\n");
        RequestHead fresh = new();
        string expected = Heads.Describe(fresh, fresh.Parse(plain), plain);
        Assert.Equal(ParseStatus.Complete, head.Parse(rich));
        Assert.Equal(expected, Heads.Describe(head, head.Parse(plain), plain));
        foreach (ITheoryDataRow row in Bad)
        {
            Assert.Equal(ParseStatus.Refused, head.Parse(Heads.Bytes((string)row.GetData()[0]!)));
            Assert.Equal(expected, Heads.Describe(head, head.Parse(plain), plain));
        }
    }

    private static void AssertSameInPortions(string text)
    {
        byte[] raw = Heads.Bytes(text);
        RequestHead head = new();
        string whole = Heads.Describe(head, head.Parse(raw), raw);

        // 1. Byte by byte, every prefix; 2. in two portions, every border.
        Assert.Equal(whole, Heads.RequestInPortions(raw, static () => 1));
        for (int split = 1; split < raw.Length; split++)
        {
            int next = split;
            Assert.Equal(whole, Heads.RequestInPortions(raw, () => Interlocked.Exchange(ref next, raw.Length)));
        }
    }
}
