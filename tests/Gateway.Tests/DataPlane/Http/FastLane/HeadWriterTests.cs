using Gateway.DataPlane.Http;
using Gateway.DataPlane.Http.FastLane;

namespace Gateway.Tests.DataPlane.Http.FastLane;

/// <summary>What goes on, byte for byte.</summary>
public sealed class HeadWriterTests
{
    private static OutgoingRequest Internal => new()
    {
        Client = "192.0.2.1"u8,
        LoopId = "gw"u8,
        FallbackHost = "10.0.0.1:80"u8,
        ForwardedFor = true,
    };

    [Fact]
    public void Order_case_and_duplicates_are_kept_and_ours_follows()
    {
        const string Kept = "get /%7e//a?b HTTP/1.1\r\nX-one:  1 \r\nhOST: a:80\r\nX-Forwarded-For: 10.0.0.1\r\nX-One:2\r\n";
        const string Rest = "x-one:\t3\r\nCDN-Loop: other; v=1\r\nX-V: \u00c4\u0080\r\n";
        Assert.Equal(
            Kept + Rest + "X-Forwarded-For: 192.0.2.1\r\nCDN-Loop: gw\r\n\r\n",
            Written(Kept + "Connection: keep-alive\r\n" + Rest + "\r\n", Internal));
    }

    [Fact]
    public void Hop_by_hop_headers_and_what_connection_names_end_here() => Assert.Equal(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: x\r\nX-Gateway-A: 1\r\nX-Request-Id: 7\r\nX-Kept: 1\r\nTrailer: t\r\n"
        + "X-Forwarded-For: 192.0.2.1\r\nCDN-Loop: gw\r\n\r\n",
        Written(
            "GET / HTTP/1.1\r\nConnection: keep-alive, X-Secret, Host\r\nHost: a\r\nKeep-Alive: 5\r\nx-secret: 1\r\nTE: trailers\r\nUpgrade: h2c\r\n"
            + "HTTP2-Settings: AA\r\nProxy-Connection: x\r\nProxy-Authenticate: x\r\nProxy-Authorization: x\r\nX-Forwarded-Proto: x\r\n"
            + "connection: X-Forwarded-Proto, X-Forwarded-For ,CDN-Loop, X-Other,X-Gateway-A, x-request-id\r\nX-Gateway-A: 1\r\nX-Request-Id: 7\r\nX-Other: 2\r\nX-Kept: 1\r\n"
            + "Trailer: t\r\n\r\n", Internal));

    [Theory]
    [InlineData("Content-Length: 007", "Content-Length: 7")]
    [InlineData("Content-Length:0", "Content-Length: 0")]
    [InlineData("Transfer-Encoding: CHUNKED", "Transfer-Encoding: chunked")]
    [InlineData("Content-Length: 5\r\nConnection: Content-Length", "Content-Length: 5")]
    [InlineData("Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding", "Transfer-Encoding: chunked")]
    public void Framing_is_written_anew_at_the_end(string lines, string framing) => Assert.Equal(
        $"POST / HTTP/1.1\r\nHost: a\r\nX: 1\r\n{framing}\r\n\r\n",
        Written($"POST / HTTP/1.1\r\n{lines}\r\nHost: a\r\nX: 1\r\n\r\n", default));

    [Theory]
    [InlineData("GET http://b:81/x?y HTTP/1.1\r\nX: 1\r\nHost: B:81\r\nY: 2\r\n\r\n", "GET /x?y HTTP/1.1\r\nHost: b:81\r\nX: 1\r\nY: 2\r\n\r\n")]
    [InlineData("GET http://b HTTP/1.0\r\nX: 1\r\n\r\n", "GET / HTTP/1.1\r\nHost: b\r\nX: 1\r\n\r\n")]
    [InlineData("GET https://b?y HTTP/1.1\r\nHost: b\r\n\r\n", "GET /?y HTTP/1.1\r\nHost: b\r\n\r\n")]
    [InlineData("GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: 10.0.0.1:80\r\n\r\n")]
    [InlineData("GET / HTTP/1.0\r\nHost:\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\n\r\n")]
    [InlineData("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")]
    public void Instance_gets_origin_form_and_one_host(string text, string expected) =>
        Assert.Equal(expected, Written(text, new OutgoingRequest { FallbackHost = "10.0.0.1:80"u8 }));

    [Fact]
    public void Web_socket_handshake_is_written_anew() => Assert.Equal(
        "GET /chat HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        Written("GET /chat HTTP/1.1\r\nHost: a\r\nupgrade: WebSocket\r\nConnection: x, upgrade\r\nSec-WebSocket-Key: x\r\n\r\n",
            default));

    [Fact]
    public void Continue_is_asked_for_only_while_the_client_waits()
    {
        const string Text = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
        Assert.Contains("\r\nExpect: 100-continue\r\n", Written(Text, default), StringComparison.Ordinal);
        Assert.DoesNotContain("Expect", Written(Text, new OutgoingRequest { BodyIsComing = true }), StringComparison.Ordinal);
        Assert.DoesNotContain("Expect", Written(Text.Replace("5", "0", StringComparison.Ordinal), default),
            StringComparison.Ordinal);
        Assert.DoesNotContain("Expect", Written(Text.Replace("1.1", "1.0", StringComparison.Ordinal), default),
            StringComparison.Ordinal);
        Assert.Contains(
            "\r\nExpect: other\r\n", Written(Text.Replace("100-continue", "other", StringComparison.Ordinal),
            new OutgoingRequest { BodyIsComing = true }),
            StringComparison.Ordinal);
    }

    [Fact]
    public void Instance_is_told_when_its_connection_ends() =>
        Assert.Equal("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", Written("GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            new OutgoingRequest { Close = true }));

    [Theory]
    [InlineData("Shop.example", "203.0.113.7", "")]
    [InlineData("a.example:8443", "2001:db8::1", "")]
    [InlineData("[::1]:80", "203.0.113.7", "X-Forwarded-For: 6.6.6.6, 198.51.100.9\r\nX-Forwarded-For: 10.1.2.3\r\nX-Forwarded-Proto: gopher\r\n")]
    [InlineData("", "203.0.113.7", "X-Forwarded-Host: b\r\nForwarded: for=x\r\nX-Forwarded-Prefix: /p\r\n")]
    [InlineData("a", "203.0.113.7", "X-Real-IP: 1.1.1.1\r\nX-Forwarded-Port: 1\r\nX_Forwarded_For: 9\r\n")]
    [InlineData("a!b", "203.0.113.7", "x-forwarded-for: garbage\r\n")]
    public void Edge_says_what_the_kestrel_lane_says(string host, string client, string lines)
    {
        TrustedNetworks trusted = new(["203.0.113.0/24", "10.0.0.0/8"]);
        string text = $"GET / HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n";
        foreach (TrustedNetworks? believed in (TrustedNetworks?[])[null, trusted])
        {
            List<string> expected = [$"Host: {host}"];
            Dictionary<string, List<string>> present = new(StringComparer.OrdinalIgnoreCase);
            foreach (string line in lines.Split("\r\n", StringSplitOptions.RemoveEmptyEntries))
            {
                string name = line[..line.IndexOf(':', StringComparison.Ordinal)];
                if (believed is not null || !Forwarding.Concerns(name))
                {
                    expected.Add(line);
                    present.TryAdd(name, []);
                    present[name].Add(line[(name.Length + 2)..]);
                }
            }

            Forwarding.Add(
                new ForwardingFacts(client, "https", host, 443), believed, name => present.TryGetValue(name,
                    out List<string>? values) ? values : [],
                (name, value) => expected.Add($"{name}: {value}"));
            expected.Add("CDN-Loop: gw");
            string written = Written(text, new OutgoingRequest
            {
                Client = Heads.Bytes(client),
                LoopId = "gw"u8,
                ForwardedFor = true,
                IsEdge = true,
                IsTls = true,
                Port = 443,
                Believed = believed,
            });
            Assert.Equal($"GET / HTTP/1.1\r\n{string.Join("\r\n", expected)}\r\n\r\n", written);
        }
    }

    [Fact]
    public void Untrusted_peer_says_nothing_on_the_edge_even_where_nothing_is_added() => Assert.Equal(
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        Written("GET / HTTP/1.1\r\nX-Forwarded-For: 1\r\nHost: a\r\nForwarded: x\r\nX_REAL_IP: 1\r\n\r\n",
            new OutgoingRequest { IsEdge = true }));

    [Theory]
    [InlineData("HTTP/1.0 200 Tr\u00e8s bien\r\nserver: x\r\nConnection: keep-alive, X-A\r\nX-A: 1\r\nKeep-Alive: 5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\ncontent-length: 05\r\n\r\n",
        1, true, "HTTP/1.1 200 Tr\u00e8s bien\r\nserver: x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 5\r\n\r\n")]
    [InlineData("HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", 1, false, "HTTP/1.1 404 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\nTrailer: X\r\n\r\n", 1, true, "HTTP/1.1 200 OK\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, true, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\n\r\n", 1, true, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\n\r\n", 0, true, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", 0, true, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n")]
    [InlineData("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 1, true, "HTTP/1.1 204 No Content\r\n\r\n")]
    [InlineData("HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 7\r\n\r\n", 1, true, "HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 7\r\n\r\n")]
    [InlineData("HTTP/1.1 103 Early Hints\r\nLink: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\n", 1, false, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nProxy-Authenticate: x\r\nContent-Length: 1\r\nConnection: Content-Length\r\n\r\n", 1, true, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")]
    public void Response_goes_on_with_framing_anew(string text, int clientMinor, bool keepAlive, string expected)
    {
        (ResponseHead head, ParseStatus status) = Heads.Response(text);
        Assert.Equal(ParseStatus.Complete, status);
        Assert.Equal(expected, Heads.Write(head, text, new OutgoingResponse
        {
            ClientMinorVersion = clientMinor,
            KeepAlive = keepAlive
        }));
    }

    [Fact]
    public void Answer_to_head_keeps_its_length()
    {
        const string Text = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX: 1\r\n\r\n";
        Assert.Equal(
            "HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 10\r\n\r\n",
            Heads.Write(Heads.Response(Text, MethodKind.Head).Head, Text, new OutgoingResponse
            {
                ClientMinorVersion = 1,
                KeepAlive = true
            }));
    }

    [Fact]
    public void Tunnel_is_answered_anew()
    {
        const string Text = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nX: 1\r\nConnection: upgrade, x\r\n\r\n";
        Assert.Equal(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            Heads.Write(Heads.Response(Text, webSocketOffered: true).Head, Text,
                new OutgoingResponse { ClientMinorVersion = 1 }));
    }

    [Fact]
    public void Edge_headers_stand_over_the_services_word()
    {
        EdgeHeader[] sets = [new("X-Frame-Options", "DENY"), new("Strict-Transport-Security", "max-age=1")];
        const string Text = "HTTP/1.1 200 OK\r\nx-frame-options: ALLOW\r\nX: 1\r\nX-Frame-Options: A\r\nContent-Length: 0\r\n\r\n";
        Assert.Equal(
            "HTTP/1.1 200 OK\r\nX: 1\r\nX-Frame-Options: DENY\r\nStrict-Transport-Security: max-age=1\r\nContent-Length: 0\r\n\r\n",
            Heads.Write(Heads.Response(Text).Head, Text, new OutgoingResponse
            {
                ClientMinorVersion = 1,
                KeepAlive = true,
                Sets = sets
            }));
        const string Interim = "HTTP/1.1 103 Early Hints\r\n\r\n";
        Assert.Equal(Interim, Heads.Write(Heads.Response(Interim).Head, Interim, new OutgoingResponse
        {
            ClientMinorVersion = 1,
            Sets = sets
        }));
    }

    [Fact]
    public void What_does_not_fit_is_said_and_nothing_is_written_behind_the_room()
    {
        const string Text = "POST http://b/x HTTP/1.1\r\nHost: b\r\nX: 1\r\nContent-Length: 5\r\nForwarded: x\r\n\r\n";
        byte[] raw = Heads.Bytes(Text);
        RequestHead head = Heads.Request(Text).Head;
        OutgoingRequest facts = new() { Client = "::1"u8, LoopId = "gw"u8, ForwardedFor = true, IsEdge = true, Port = 80 };
        int whole = RequestHeadWriter.Write(head, raw, facts, new byte[1000]);
        for (int room = 0; room <= whole; room++)
        {
            byte[] to = new byte[whole + 1];
            Assert.Equal(room == whole ? whole : -1, RequestHeadWriter.Write(head, raw, facts, to.AsSpan(0, room)));
            Assert.All(to[room..], static b => Assert.Equal(0, b));
        }
    }

    [Theory]
    [InlineData(1, "1\r\n")]
    [InlineData(255, "ff\r\n")]
    [InlineData(long.MaxValue, "7fffffffffffffff\r\n")]
    public void Chunk_sizes_are_hexadecimal(long size, string expected)
    {
        byte[] to = new byte[ChunkWriter.SizeLineBytesMax];
        Assert.Equal(expected, Heads.Text(to.AsSpan(0, ChunkWriter.WriteSize(size, to))));
        Assert.Equal(-1, ChunkWriter.WriteSize(size, to.AsSpan(0, expected.Length - 1)));
        Assert.Equal(-1, ChunkWriter.WriteSize(size, []));
    }

    [Fact]
    public void Last_chunk_is_never_written_by_mistake()
    {
        Assert.Throws<ArgumentOutOfRangeException>(static () => ChunkWriter.WriteSize(0, new byte[10]));
        byte[] to = new byte[20];
        Assert.Equal("0\r\nX: 1\r\n\r\n", Heads.Text(to.AsSpan(0, ChunkWriter.WriteEnd("X: 1\r\n"u8, to))));
        Assert.Equal(-1, ChunkWriter.WriteEnd("X: 1\r\n"u8, to.AsSpan(0, 10)));
        Assert.Equal("0\r\n\r\n", Heads.Text(ChunkWriter.End));
    }

    private static string Written(string text, in OutgoingRequest facts)
    {
        (RequestHead head, ParseStatus status) = Heads.Request(text);
        Assert.Equal(ParseStatus.Complete, status);
        return Heads.Write(head, text, facts);
    }
}
