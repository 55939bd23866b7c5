using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Traffic;

/// <summary>
/// B14 and SPEC §5. Goal: an internal listener appends to X-Forwarded-For and CDN-Loop and changes nothing else that an
/// application can see. Method: the test-server's echo of its header lines and raw URL.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B14HeaderTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task X_forwarded_for_is_appended_and_host_is_kept()
    {
        int port = await platform.Shared();
        WireAnswer answer = await Wire.Get(port, host: "Shop.Example.COM:8443", headers: "X-Forwarded-For: 203.0.113.7");
        Assert.Equal(["Shop.Example.COM:8443"], answer.Received("Host"));
        Assert.Equal("203.0.113.7, 127.0.0.1", string.Join(", ", answer.Received("X-Forwarded-For")));
    }

    [ConsulFact]
    public async Task Nothing_else_is_added()
    {
        int port = await platform.Shared();
        WireAnswer answer = await Wire.Get(port, headers: ["Accept: */*", "X-Mine: 1", "Forwarded: for=203.0.113.9", "X-Forwarded-Proto: https"]);
        string[] names = [.. answer.Received().Select(static line => line.Key.ToLowerInvariant()).Distinct().Order()
            .Where(static name => name != "connection")];
        Assert.Equal(["accept", "cdn-loop", "forwarded", "host", "x-forwarded-for", "x-forwarded-proto", "x-mine"], names);
        Assert.Equal(["for=203.0.113.9"], answer.Received("Forwarded"));
        Assert.Equal(["https"], answer.Received("X-Forwarded-Proto"));
        Assert.Equal("127.0.0.1", string.Join(", ", answer.Received("X-Forwarded-For")));
    }

    [ConsulFact]
    public async Task Foreign_cdn_loop_is_kept_and_ours_follows()
    {
        int port = await platform.Shared();
        string[] seen = (await Wire.Get(port, headers: "CDN-Loop: other; v=1")).Received("CDN-Loop");
        string all = string.Join(", ", seen);
        Assert.StartsWith("other; v=1, ", all, StringComparison.Ordinal);

        string ours = all["other; v=1, ".Length..];
        WireAnswer loop = await Wire.Get(port, headers: $"CDN-Loop: {ours}, {ours}");
        Assert.Equal(508, loop.Status);
        Assert.Equal("loop", loop.Reason);
    }

    [ConsulFact]
    public async Task Forwarded_for_off_drops_both()
    {
        int port = Ports.Production();
        NodeServer server = platform.Keep(await NodeServer.Start("off"));
        await platform.Consul.Register(server.AsService("b14-off", "production", $"internal-listen-http-{port}", "gateway-forwardedFor=off"));
        await Platform.Serves(port, "off");
        WireAnswer answer = await Wire.Get(port);
        Assert.Empty(answer.Received("X-Forwarded-For"));
        Assert.Empty(answer.Received("CDN-Loop"));
    }

    [ConsulFact]
    public async Task Client_can_neither_remove_nor_smuggle_what_gateway_owns()
    {
        int port = await platform.Shared();
        WireAnswer answer = await Wire.Get(port, headers: ["Connection: X-Forwarded-For, CDN-Loop, X-Hop", "X-Hop: secret", "Keep-Alive: timeout=3", "TE: trailers"]);
        Assert.Equal("127.0.0.1", string.Join(", ", answer.Received("X-Forwarded-For")));
        Assert.Single(answer.Received("CDN-Loop"));
        Assert.Empty(answer.Received("X-Hop"));
        Assert.Empty(answer.Received("Keep-Alive"));
    }

    [ConsulTheory]
    [InlineData("/a//b/./c/../d")]
    [InlineData("/%2f%2F%41%7e~?q=%20+%2b&&=;x")]
    [InlineData("/%E4%F6%00%zz")]
    [InlineData("/?")]
    [InlineData("/a?b?c/../d#")]
    [InlineData("/ümlaut")]
    [InlineData("/{a}|\\^`\"<>[]")]
    public async Task Path_and_query_arrive_byte_for_byte(string target)
    {
        int port = await platform.Shared();
        WireAnswer answer = await Wire.Get(port, target);
        if (answer.Status == 400)
        {
            // Refused as a whole is the other honest answer to bytes that RFC 3986 does not allow; changed is not.
            Assert.Equal("bad-request", answer.Reason);
            Assert.Contains(target, static c => c > 0x7e || "{}|\\^`\"<>[]#".Contains(c, StringComparison.Ordinal) || c == '%');
            return;
        }

        Assert.Equal(target, answer.Json.RootElement.GetProperty("url").GetString());
    }

    [ConsulFact]
    public async Task Equal_names_keep_their_order()
    {
        int port = await platform.Shared();
        WireAnswer answer = await Wire.Get(port, headers: ["X-Many: one", "Cookie: a=1", "X-Many: two", "x-many: three"]);
        Assert.Equal("one, two, three", string.Join(", ", answer.Received("X-Many")));
    }

    [ConsulTheory]
    [InlineData("Host: second")]
    [InlineData("Content-Length: 0\r\nContent-Length: 5")]
    [InlineData("Content-Length: 5, 5")]
    [InlineData("Content-Length: +5")]
    [InlineData("Content-Length: -1")]
    [InlineData("Content-Length: 0x5")]
    [InlineData("Transfer-Encoding: gzip, chunked")]
    [InlineData("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")]
    [InlineData("Space-Before : x")]
    [InlineData("X-A: 1\r\n folded")]
    [InlineData("X-Nul: a\0b")]
    [InlineData("Transfer-Encoding: xchunked")]
    [InlineData("Bad Name: x")]
    public async Task Ambiguous_request_is_refused(string line)
    {
        int port = await platform.Shared();
        WireAnswer answer = await Wire.Get(port, headers: line);
        Assert.True(answer.Status is >= 400 and < 502, $"{answer.Status} {answer.Text}");
        Assert.Null(answer.ServedBy);
    }

    [ConsulFact]
    public async Task Length_beside_chunked_is_refused_or_leaves_no_trace()
    {
        // RFC 9112 §6.3: refuse, or follow the chunks alone; who forwards removes the length. Both ends the connection.
        int port = await platform.Shared();
        using CancellationTokenSource deadline = new(Eventually.Seconds(20));
        using Wire wire = await Wire.Connect(port, cancel: deadline.Token);
        WireAnswer answer = await wire.Exchange(
            Wire.Request("POST", "/upload", "x", "Content-Length: 30", "Transfer-Encoding: chunked") + "2\r\nhi\r\n0\r\n\r\n", deadline.Token);
        if (answer.Status == 400)
        {
            return;
        }

        Assert.Equal(2, answer.Json.RootElement.GetProperty("length").GetInt32());
        Assert.DoesNotContain(answer.Received(), static line => line.Key.Contains("Content-Length", StringComparison.OrdinalIgnoreCase));
        Assert.Empty(await wire.ReadAll(deadline.Token));
    }

    [ConsulFact]
    public async Task Head_beyond_all_measure_is_431()
    {
        int port = await platform.Shared();
        WireAnswer answer = await Wire.Get(port, headers: [.. Enumerable.Range(0, 30).Select(static i => $"X-{i}: {new string('x', 8000)}")]);
        Assert.Equal(431, answer.Status);
        Assert.Equal("bad-request", answer.Reason);
    }

    [ConsulFact]
    public async Task Bodies_pass_in_both_framings_and_of_any_size()
    {
        int port = await platform.Shared();
        byte[] body = new byte[40 * 1024 * 1024];   // beyond Kestrel's own limit of 30 MB
        new Random(14).NextBytes(body);
        string hash = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(body));
        using CancellationTokenSource deadline = new(Eventually.Seconds(60));
        using Wire wire = await Wire.Connect(port, cancel: deadline.Token);
        await wire.Send(Wire.Request("POST", "/upload", "x", $"Content-Length: {body.Length}"), deadline.Token);
        await wire.Send(body, deadline.Token);
        WireAnswer answer = await wire.ReadAnswer(cancel: deadline.Token);
        Assert.Equal(hash, answer.Json.RootElement.GetProperty("sha256").GetString());

        await wire.Send(Wire.Request("POST", "/upload", "x", "Transfer-Encoding: chunked"), deadline.Token);
        for (int i = 0; i < 100; i++)
        {
            await wire.Send("5\r\nhello\r\n", deadline.Token);
        }

        await wire.Send("0\r\n\r\n", deadline.Token);
        answer = await wire.ReadAnswer(cancel: deadline.Token);
        Assert.Equal(500, answer.Json.RootElement.GetProperty("length").GetInt32());
        Assert.Contains(answer.Received("Transfer-Encoding"), static value => value == "chunked");
    }

    [ConsulFact]
    public async Task Head_answers_without_a_body_and_expect_continue_passes()
    {
        int port = await platform.Shared();
        using CancellationTokenSource deadline = new(Eventually.Seconds(20));
        using Wire wire = await Wire.Connect(port, cancel: deadline.Token);
        await wire.Send(Wire.Request("HEAD", "/", "x"), deadline.Token);
        WireAnswer head = await wire.ReadAnswer(bodiless: true, cancel: deadline.Token);
        Assert.Equal(200, head.Status);

        await wire.Send(Wire.Request("POST", "/upload", "x", "Content-Length: 4", "Expect: 100-continue"), deadline.Token);
        (int interim, _) = await wire.ReadHead(deadline.Token);
        Assert.Equal(100, interim);
        await wire.Send("body", deadline.Token);
        Assert.Equal(4, (await wire.ReadAnswer(cancel: deadline.Token)).Json.RootElement.GetProperty("length").GetInt32());
    }

    [ConsulFact]
    public async Task Admin_paths_on_a_public_listener_belong_to_the_service()
    {
        int port = await platform.Shared();
        foreach (string path in new[] { "/metrics", "/livez", "/readyz", "/api/v1/status" })
        {
            Assert.Equal("shared", (await Wire.Get(port, path)).ServedBy);
        }
    }
}
