using System.Text;

namespace Gateway.IntegrationTests.DataPlane.Http;

/// <summary>Heads and bodies on the wire, both ways.</summary>
public abstract class ForwardingTests(Engine engine) : LaneTests(engine)
{
    [Theory]
    [InlineData("/a%2Fb//c/../d?x=%20&y=[]")]
    [InlineData("/%7e/%7E/./..//")]
    [InlineData("/%C3%A4%e2%82%ac?q=a+b&c=%2B")]
    [InlineData("/?")]
    [InlineData("//evil.example/x")]
    [InlineData("/a;b=c,d/@:!$&'()*+=|\"<>^`{}\\")]
    [InlineData("/%zz/%")]
    public async Task Path_and_query_arrive_byte_for_byte(string target)
    {
        string seen = await SeenAsync($"GET {target} HTTP/1.1\r\nHost: a.example:3000\r\n\r\n");

        Assert.StartsWith($"GET {target} HTTP/1.1\r\n", seen, StringComparison.Ordinal);
        Assert.Equal(["a.example:3000"], RawConnection.Headers(seen, "Host"));
    }

    [Fact]
    public async Task Absolute_form_goes_on_in_origin_form()
    {
        string seen = await SeenAsync("GET http://a.example/x%2Fy?q HTTP/1.1\r\nHost: a.example\r\n\r\n");

        Assert.StartsWith("GET /x%2Fy?q HTTP/1.1\r\n", seen, StringComparison.Ordinal);
        Assert.Equal("a.example", RawConnection.Header(seen, "Host"));
    }

    [Fact]
    public async Task Nothing_is_added_but_the_clients_address_and_our_loop_id()
    {
        string seen = await SeenAsync("GET / HTTP/1.1\r\nHost: a\r\nX-One: 1\r\n\r\n");

        Assert.Equal(
            ["CDN-Loop", "Host", "X-Forwarded-For", "X-One"],
            seen.Split("\r\n").Skip(1).Where(line => line.Length > 0).Select(line => line.Split(':')[0]).Order());
        Assert.Equal("127.0.0.1", RawConnection.Header(seen, "X-Forwarded-For"));
        Assert.Equal(LaneUnderTest.LoopId, RawConnection.Header(seen, "CDN-Loop"));
    }

    [Fact]
    public async Task Chains_are_appended_to_and_other_forwarding_headers_left_alone()
    {
        string seen = await SeenAsync(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\nForwarded: for=x\r\n"
            + "X-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nX-Real-IP: 10.9.9.9\r\nCDN-Loop: other.example; v=1\r\n\r\n");

        Assert.Equal("10.0.0.1, 10.0.0.2, 127.0.0.1", string.Join(", ", RawConnection.Headers(seen, "X-Forwarded-For")));
        Assert.Equal($"other.example; v=1, {LaneUnderTest.LoopId}", string.Join(", ", RawConnection.Headers(seen, "CDN-Loop")));
        Assert.Equal("for=x", RawConnection.Header(seen, "Forwarded"));
        Assert.Equal("https", RawConnection.Header(seen, "X-Forwarded-Proto"));
        Assert.Equal("b", RawConnection.Header(seen, "X-Forwarded-Host"));
        Assert.Equal("10.9.9.9", RawConnection.Header(seen, "X-Real-IP"));
    }

    [Fact]
    public async Task With_forwardedFor_off_nothing_is_added_at_all()
    {
        await using RawInstance instance = RawInstance.Echoing();
        await using LaneUnderTest lane = await StartAsync(
            LaneUnderTest.Cluster(instance.EndPoint) with { ForwardedFor = false });
        using RawConnection client = await lane.ConnectAsync();

        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n");
        (_, string seen) = await client.ReadMessageAsync();

        Assert.Equal(["10.0.0.1"], RawConnection.Headers(seen, "X-Forwarded-For"));
        Assert.Null(RawConnection.Header(seen, "CDN-Loop"));
    }

    [Fact]
    public async Task Values_of_equal_names_keep_their_order_and_bytes()
    {
        string seen = await SeenAsync(
            "GET / HTTP/1.1\r\nHost: a\r\nX-A: 3\r\nX-A: 1\r\nX-B:  pad \r\nX-A: 2\r\nX-Latin: caf\u00e9 \u00ff\r\nX-Empty:\r\n"
            + "Cookie: a=1; b=2\r\nUser-Agent: x (y; z) w/1,2\r\nAccept-Encoding: gzip\r\n\r\n");

        Assert.Equal("3, 1, 2", string.Join(", ", RawConnection.Headers(seen, "X-A")));
        Assert.Equal("pad", RawConnection.Header(seen, "X-B"));
        Assert.Equal("caf\u00e9 \u00ff", RawConnection.Header(seen, "X-Latin"));
        Assert.Equal("", RawConnection.Header(seen, "X-Empty"));
        Assert.Equal("a=1; b=2", RawConnection.Header(seen, "Cookie"));
        Assert.Equal("x (y; z) w/1,2", RawConnection.Header(seen, "User-Agent"));
        Assert.Equal("gzip", RawConnection.Header(seen, "Accept-Encoding"));
    }

    [Fact]
    public async Task Hop_by_hop_headers_end_here_and_Connection_cannot_take_ours_away()
    {
        string seen = await SeenAsync(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Secret, X-Forwarded-For, CDN-Loop, Host\r\nKeep-Alive: 5\r\n"
            + "Proxy-Connection: x\r\nTE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nProxy-Authorization: x\r\n"
            + "X-Secret: 1\r\nX-Forwarded-For: 10.0.0.1\r\nX-Kept: 1\r\n\r\n");

        foreach (string name in new[]
                 { "Connection", "Keep-Alive", "Proxy-Connection", "TE", "Upgrade", "HTTP2-Settings", "Proxy-Authorization", "X-Secret" })
        {
            Assert.True(RawConnection.Header(seen, name) is null, $"{name} in {seen}");
        }

        Assert.Equal("10.0.0.1, 127.0.0.1", string.Join(", ", RawConnection.Headers(seen, "X-Forwarded-For")));
        Assert.Equal(LaneUnderTest.LoopId, RawConnection.Header(seen, "CDN-Loop"));
        Assert.Equal("a", RawConnection.Header(seen, "Host"));
        Assert.Equal("1", RawConnection.Header(seen, "X-Kept"));
    }

    [Fact]
    public async Task Response_heads_come_back_as_they_were_without_what_ends_here()
    {
        await using RawInstance instance = RawInstance.Answering(
            "HTTP/1.1 299 Fine Enough\r\nServer: mine\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nSet-Cookie: a=1\r\nX-B: 2\r\n"
            + "Set-Cookie: b=2\r\nX-Latin: \u00e9\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"
            + "Strict-Transport-Security: x\r\nX-Empty:\r\nContent-Length: 2\r\n\r\nok");
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();

        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        (string head, string body) = await client.ReadMessageAsync();

        Assert.StartsWith("HTTP/1.1 299 Fine Enough\r\n", head, StringComparison.Ordinal);
        Assert.Equal(["mine"], RawConnection.Headers(head, "Server"));
        Assert.Equal(["Tue, 15 Nov 1994 08:12:31 GMT"], RawConnection.Headers(head, "Date"));
        Assert.Equal(["a=1", "b=2"], RawConnection.Headers(head, "Set-Cookie"));
        Assert.Equal("\u00e9", RawConnection.Header(head, "X-Latin"));
        Assert.Equal("", RawConnection.Header(head, "X-Empty"));
        Assert.Equal("x", RawConnection.Header(head, "Strict-Transport-Security"));
        Assert.Null(RawConnection.Header(head, "X-Hop"));
        Assert.Null(RawConnection.Header(head, "Connection"));
        Assert.Null(RawConnection.Header(head, "Keep-Alive"));
        Assert.Equal("ok", body);
    }

    [Fact]
    public async Task No_server_header_is_added()
    {
        await using RawInstance instance = RawInstance.Answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();

        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        (string head, _) = await client.ReadMessageAsync();

        Assert.Null(RawConnection.Header(head, "Server"));
        Assert.Null(RawConnection.Header(head, "X-Gateway-Reason"));
    }

    [Fact]
    public async Task The_kind_of_framing_is_kept_both_ways()
    {
        string known = await SeenAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: x/y\r\nContent-Length: 5\r\n\r\nhello");
        string chunked = await SeenAsync("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        string none = await SeenAsync("GET / HTTP/1.1\r\nHost: a\r\nContent-Type: x/y\r\n\r\n");

        Assert.Equal("5", RawConnection.Header(known, "Content-Length"));
        Assert.Equal("x/y", RawConnection.Header(known, "Content-Type"));
        Assert.EndsWith("\r\n\r\nhello", known, StringComparison.Ordinal);
        Assert.Equal("chunked", RawConnection.Header(chunked, "Transfer-Encoding"));
        Assert.Null(RawConnection.Header(chunked, "Content-Length"));
        Assert.EndsWith("\r\n\r\n5\r\nhello\r\n0\r\n\r\n", chunked, StringComparison.Ordinal);
        Assert.Equal("x/y", RawConnection.Header(none, "Content-Type"));
        Assert.Null(RawConnection.Header(none, "Transfer-Encoding"));

        await using RawInstance instance = RawInstance.Answering(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        (string head, string body) = await client.ReadMessageAsync();
        Assert.Equal(["chunked"], RawConnection.Headers(head, "Transfer-Encoding"));
        Assert.Equal("3\r\nabc\r\n0\r\n\r\n", body);
    }

    [Fact]
    public async Task Trailers_of_a_response_come_through_on_HTTP_1()
    {
        await using RawInstance instance = RawInstance.Answering(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\nX-Sum: 7\r\n\r\n");
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();

        for (int i = 0; i < 2; i++)
        {
            await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            (string head, string body) = await client.ReadMessageAsync();
            Assert.Equal(["chunked"], RawConnection.Headers(head, "Transfer-Encoding"));
            Assert.Equal("3\r\nabc\r\n0\r\nX-Sum: 6\r\nX-Sum: 7\r\n\r\n", body.TrimStart('0'));
        }
    }

    [Theory]
    [InlineData("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", "1234")]
    [InlineData("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", null)]
    [InlineData("GET", "HTTP/1.1 204 No Content\r\n\r\n", null)]
    [InlineData("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", null)]
    [InlineData("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 77\r\n\r\n", "77")]
    public async Task Answers_without_a_body_leave_the_connection_in_step(string method, string response, string? length)
    {
        await using RawInstance instance = RawInstance.Answering(response);
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();

        for (int i = 0; i < 3; i++)
        {
            await client.SendAsync($"{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
            (string head, _) = await client.ReadMessageAsync(bodyless: true);
            Assert.StartsWith(response.Split("\r\n")[0], head, StringComparison.Ordinal);
            Assert.Equal(length, RawConnection.Header(head, "Content-Length"));
        }
    }

    [Fact]
    public async Task An_HTTP_1_0_client_gets_its_answer_and_the_end()
    {
        await using RawInstance instance = RawInstance.Answering(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();

        await client.SendAsync("GET / HTTP/1.0\r\n\r\n");
        string all = await client.ReadToEndAsync();

        Assert.EndsWith("\r\n\r\nabc", all, StringComparison.Ordinal);
        Assert.Null(RawConnection.Header(all, "Transfer-Encoding"));
    }

    [Fact]
    public async Task A_response_that_ends_with_its_connection_is_whole()
    {
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadMessageAsync();
            await connection.SendAsync("HTTP/1.0 200 OK\r\n\r\nhello ");
            await connection.SendAsync("world");
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using HttpClient client = new() { BaseAddress = lane.Url };

        Assert.Equal("hello world", await client.GetStringAsync("/"));
        Assert.Equal("hello world", await client.GetStringAsync("/"));
    }

    [Fact]
    public async Task The_head_and_the_first_event_arrive_before_the_second_is_made()
    {
        TaskCompletionSource first = new();
        TaskCompletionSource second = new();
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadMessageAsync();
            await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
            await first.Task;
            await connection.SendAsync("9\r\ndata: 1\n\n\r\n");
            await second.Task;
            await connection.SendAsync("9\r\ndata: 2\n\n\r\n0\r\n\r\n");
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();

        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        await client.ReadHeadAsync();
        first.SetResult();
        await client.ReadUntilAsync("data: 1\n\n");
        second.SetResult();
        await client.ReadUntilAsync("data: 2\n\n\r\n0\r\n\r\n");
    }

    [Fact]
    public async Task Each_piece_of_an_upload_arrives_before_the_next_is_sent()
    {
        System.Threading.Channels.Channel<string> seen = System.Threading.Channels.Channel.CreateUnbounded<string>();
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadHeadAsync();
            for (int i = 0; i < 3; i++)
            {
                await seen.Writer.WriteAsync(await connection.ReadUntilAsync("\r\n") + await connection.ReadUntilAsync("\r\n"));
            }

            await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();

        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        foreach (string piece in new[] { "one", "two" })
        {
            await client.SendAsync($"3\r\n{piece}\r\n");
            Assert.Equal($"3\r\n{piece}\r\n", await seen.Reader.ReadAsync());
        }

        await client.SendAsync("0\r\n\r\n");
        Assert.Equal(200, RawConnection.Status((await client.ReadMessageAsync()).Head));
    }

    [Fact]
    public async Task An_expecting_client_hears_100_and_then_the_answer()
    {
        await using RawInstance instance = new(async connection =>
        {
            string head = await connection.ReadHeadAsync();
            Assert.Equal("100-continue", RawConnection.Header(head, "Expect"));
            await connection.SendAsync("HTTP/1.1 100 Continue\r\n\r\n");
            await connection.ReadAsync(5);
            await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();

        await client.SendAsync("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 100", await client.ReadHeadAsync(), StringComparison.Ordinal);
        await client.SendAsync("hello");
        Assert.Equal(200, RawConnection.Status(await client.ReadHeadAsync()));
    }

    [Fact]
    public async Task An_instance_may_turn_an_expecting_client_down_unread()
    {
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadHeadAsync();
            await connection.SendAsync("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();

        await client.SendAsync("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n");
        (string head, string body) = await client.ReadMessageAsync();

        Assert.Equal(417, RawConnection.Status(head));
        Assert.Equal("no", body);
    }

    [Theory]
    [InlineData("Content-Length: 100000000")]
    [InlineData("Transfer-Encoding: chunked")]
    public async Task An_early_answer_reaches_a_client_that_still_uploads(string framing)
    {
        TaskCompletionSource answered = new();
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadHeadAsync();
            await connection.SendAsync("HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n\r\nstop");
            await answered.Task;
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();

        await client.SendAsync($"POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
        await client.SendAsync(framing[0] == 'T' ? "5\r\nhello\r\n" : "hello");
        (string head, string body) = await client.ReadMessageAsync();
        answered.SetResult();

        Assert.Equal(413, RawConnection.Status(head));
        Assert.Equal("stop", body);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_instance_that_answers_while_it_reads_and_a_client_that_does_the_same_never_stall(bool chunked)
    {
        // An echo larger than every buffer on the way: without full duplex both sides wait for the other for ever.
        const int Size = 48 * 1024 * 1024;
        await using RawInstance instance = new(async connection =>
        {
            string head = await connection.ReadHeadAsync();
            await connection.SendAsync(chunked
                ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                : $"HTTP/1.1 200 OK\r\nContent-Length: {Size}\r\n\r\n");
            byte[] buffer = new byte[64 * 1024];
            if (RawConnection.Header(head, "Content-Length") is not null)
            {
                for (int rest = Size; rest > 0;)
                {
                    string some = await connection.ReadAsync(Math.Min(rest, buffer.Length));
                    await connection.SendAsync(some);
                    rest -= some.Length;
                }
            }
            else
            {
                string size;
                do
                {
                    size = await connection.ReadUntilAsync("\r\n");
                    int bytes = Convert.ToInt32(size.Trim(), 16);
                    string some = await connection.ReadAsync(bytes + 2);
                    await connection.SendAsync(size + some);
                }
                while (Convert.ToInt32(size.Trim(), 16) > 0);
            }

            // The connection may be used again, or not.
            await connection.ReadHeadAsync();
            await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            await connection.ReadToEndAsync();
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection raw = await lane.ConnectAsync();

        byte[] block = new byte[1024 * 1024];
        new Random(1).NextBytes(block);
        string text = Encoding.Latin1.GetString(block);
        await raw.SendAsync($"POST / HTTP/1.1\r\nHost: a\r\n{(chunked ? "Transfer-Encoding: chunked" : $"Content-Length: {Size}")}\r\n\r\n");
        Task sending = Task.Run(async () =>
        {
            for (int sent = 0; sent < Size; sent += block.Length)
            {
                await raw.SendAsync(chunked ? $"{block.Length:X}\r\n{text}\r\n" : text);
            }

            await raw.SendAsync(chunked ? "0\r\n\r\n" : "");
        });
        Assert.Equal(200, RawConnection.Status(await raw.ReadHeadAsync()));
        for (int read = 0; read < Size; read += chunked ? 0 : block.Length)
        {
            if (!chunked)
            {
                Assert.Equal(text, await raw.ReadAsync(block.Length));
                continue;
            }

            int bytes = Convert.ToInt32((await raw.ReadUntilAsync("\r\n")).Trim(), 16);
            string some = (await raw.ReadAsync(bytes + 2))[..^2];
            for (int at = 0; at < bytes;)
            {
                int offset = (read + at) % block.Length;
                int count = Math.Min(bytes - at, block.Length - offset);
                Assert.True(string.CompareOrdinal(some, at, text, offset, count) == 0);
                at += count;
            }

            read += bytes;
        }

        await sending;
        if (chunked)
        {
            Assert.Equal("0\r\n\r\n", await raw.ReadAsync(5));
        }

        // The connection of the client stays in step.
        await raw.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        Assert.Equal(200, RawConnection.Status(await raw.ReadHeadAsync()));
    }

    private async Task<string> SeenAsync(string request)
    {
        await using RawInstance instance = RawInstance.Echoing();
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync(request);
        (string head, string seen) = await client.ReadMessageAsync();
        Assert.Equal(200, RawConnection.Status(head));
        return seen;
    }
}

/// <inheritdoc/>
public sealed class ForwardingOnKestrelTests() : ForwardingTests(Engine.Kestrel);

/// <inheritdoc/>
public sealed class ForwardingOnLoopsTests() : ForwardingTests(Engine.Loops);
