using System.Net.Sockets;
using Gateway.Observability;
using Gateway.Planning;

namespace Gateway.IntegrationTests.DataPlane.Http;

/// <summary>Clients and instances that try to make one side see something else than the other.</summary>
public abstract class HostilePeerTests(Engine engine) : LaneTests(engine)
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    [Theory]
    [InlineData("Transfer-Encoding: gzip, chunked", "1.1")]
    [InlineData("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "1.1")]
    [InlineData("Content-Length: 3\r\nTransfer-Encoding: chunked", "1.1")]
    [InlineData("Connection: keep-alive\r\nTransfer-Encoding: chunked", "1.0")]
    public async Task Doubtful_framing_is_refused_and_what_follows_on_the_connection_is_not_read_as_a_request(string framing, string version)
    {
        await using RawInstance instance = RawInstance.Answering(Ok);
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync($"POST / HTTP/{version}\r\nHost: a\r\n{framing}\r\n\r\n0\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n");

        (string head, _) = await client.ReadMessageAsync();
        Assert.Equal(400, RawConnection.Status(head));
        Assert.Equal("close", RawConnection.Header(head, "Connection"));
        Assert.Equal("", await client.ReadToEndAsync());
        Assert.Equal(0, instance.Accepted);
    }

    [Theory]
    [InlineData("/a\rb")]
    [InlineData("/a\tb")]
    [InlineData("/a\u000bHTTP/1.1")]
    [InlineData("/a?b\u0001")]
    [InlineData("/a\u007f")]
    [InlineData("http://user:secret@a/x")]
    [InlineData("http://user@a")]
    [InlineData("http://a#b/x")]
    public async Task A_target_that_is_no_URI_is_refused(string target)
    {
        await using RawInstance instance = RawInstance.Answering(Ok);
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync($"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");

        (string head, _) = await client.ReadMessageAsync();
        Assert.Equal(400, RawConnection.Status(head));
        Assert.Equal("bad-request", RawConnection.Header(head, "X-Gateway-Reason"));
        Assert.Equal(0, instance.Accepted);
    }

    [Theory]
    [InlineData(":path", "/a HTTP/1.1")]
    [InlineData(":path", "/a\tb")]
    [InlineData(":path", "/caf\u00e9")]
    [InlineData("transfer-encoding", "chunked")]
    public async Task HTTP_2_brings_nothing_into_a_head_that_HTTP_1_could_not(string name, string value)
    {
        await using RawInstance instance = RawInstance.Answering(Ok);
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        (string, string)[] head = [(":method", "GET"), (":scheme", "http"), (":authority", "a")];
        (string, string)[] whole = name[0] == ':' ? [.. head, (name, value)] : [.. head, (":path", "/"), (name, value)];
        await client.SendAsync(RawHttp2.Preface + RawHttp2.Settings + RawHttp2.Headers(1, true, whole));

        (_, _, int stream, string block) = await RawHttp2.ReadFrameAsync(client);
        Assert.Equal(1, stream);
        Assert.Contains("bad-request", block, StringComparison.Ordinal);
        Assert.Equal(0, instance.Accepted);
    }

    [Theory]
    [InlineData("x-a: 1\r\nx-evil", "1", true)]
    [InlineData("x a", "1", true)]
    [InlineData("x-a", "1\r\nx-evil: 1", false)]
    [InlineData("x-a", "1\n", false)]
    [InlineData("x-a", "1\0", false)]
    public async Task A_field_of_HTTP_2_never_becomes_two_of_HTTP_1(string name, string value, bool answered)
    {
        await using RawInstance instance = RawInstance.Echoing();
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync(RawHttp2.Preface + RawHttp2.Settings + RawHttp2.Headers(
            1, true, (":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"), (name, value)));

        (int type, _, _, _) = await RawHttp2.ReadFrameAsync(client);
        if (!answered)
        {
            Assert.Equal(7, type); // GOAWAY
            Assert.Equal(0, instance.Accepted);
            return;
        }

        (_, _, _, string seen) = await RawHttp2.ReadFrameAsync(client);
        Assert.StartsWith("GET / HTTP/1.1\r\n", seen, StringComparison.Ordinal);
        Assert.DoesNotContain("x-evil", seen, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task An_authority_wins_over_a_Host_that_says_something_else()
    {
        await using RawInstance instance = RawInstance.Echoing();
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync(RawHttp2.Preface + RawHttp2.Settings + RawHttp2.Headers(
            1, true, (":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("host", "b")));

        await RawHttp2.ReadFrameAsync(client);
        (_, _, _, string seen) = await RawHttp2.ReadFrameAsync(client);
        Assert.Equal(["a"], RawConnection.Headers(seen, "Host"));
        Assert.Equal("a", (await lane.RecordAsync()).Host);
    }

    [Fact]
    public async Task A_head_that_is_refused_on_a_connection_in_use_has_its_record()
    {
        await using RawInstance instance = RawInstance.Answering(Ok);
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        Assert.Equal(200, RawConnection.Status((await client.ReadMessageAsync()).Head));
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
        Assert.Equal(400, RawConnection.Status((await client.ReadMessageAsync()).Head));

        await lane.RecordAsync(record => record.Reason == "bad-request");
        Assert.Equal(2, lane.Records.Count);
    }

    [Fact]
    public async Task An_empty_Host_never_becomes_two()
    {
        await using RawInstance instance = RawInstance.Echoing();
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost:\r\n\r\n");

        Assert.Single(RawConnection.Headers((await client.ReadMessageAsync()).Body, "Host"));
    }

    [Theory]
    [InlineData("zz\r\nabc\r\n0\r\n\r\n", "POST")]
    [InlineData("3\r\nabcd\r\n0\r\n\r\n", "POST")]
    [InlineData("3;x=\ny\r\nabc\r\n0\r\n\r\n", "POST")]
    [InlineData("zz\r\nabc\r\n0\r\n\r\n", "PUT")]
    public async Task A_body_that_breaks_the_rules_is_answered_and_recorded_once(string body, string method)
    {
        await using RawInstance instance = RawInstance.Answering(Ok);
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync($"{method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");

        Assert.Equal(400, RawConnection.Status((await client.ReadMessageAsync()).Head));
        Assert.Equal("", await client.ReadToEndAsync());
        await EventuallyHttp.HoldsAsync(() => lane.Lane.Connections == 0, "the connection has ended");
        Assert.Equal("bad-request", Assert.Single(lane.Records).Reason);
        Assert.Equal(0, lane.Clusters.Find("web@production")!.Destinations[0].Failures);
    }

    [Theory]
    [InlineData("HTTP/1.1 000 Zero\r\nContent-Length: 2\r\n\r\nok")]
    [InlineData("HTTP/1.1 099 Low\r\nContent-Length: 2\r\n\r\nok")]
    [InlineData("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET / HTTP/1.1\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\nContent-Length: 2\r\n\r\nok")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk")]
    [InlineData("HTTP/1.1 200 O\rX-Evil: 1\r\nContent-Length: 2\r\n\r\nok")]
    [InlineData("HTTP/1.1 200 OK\r\nX-A: \u0001\r\nContent-Length: 2\r\n\r\nok")]
    public async Task A_response_that_nobody_could_pass_on_is_502_bad_response_and_not_asked_for_again(string response)
    {
        await using RawInstance instance = RawInstance.Answering(response);
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint, instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");

        (string head, _) = await client.ReadMessageAsync();
        Assert.Equal(502, RawConnection.Status(head));
        Assert.Equal("bad-response", RawConnection.Header(head, "X-Gateway-Reason"));
        Assert.Equal(1, instance.Accepted);
    }

    [Fact]
    public async Task SPDY_as_Kubernetes_speaks_it_is_a_tunnel_like_any_other()
    {
        await using RawInstance instance = new(async connection =>
        {
            Assert.Equal("SPDY/3.1", RawConnection.Header(await connection.ReadHeadAsync(), "Upgrade"));
            await connection.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nhello");
            await connection.SendAsync(await connection.ReadAsync(5));
            await connection.ReadToEndAsync();
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n");
        Assert.Equal(101, RawConnection.Status(await client.ReadHeadAsync()));
        Assert.Equal("hello", await client.ReadAsync(5));
        Assert.Equal(1, lane.Lane.Tunnels);

        // No close frame: those bytes would mean something else here.
        await lane.Lane.SayGoodbyeAsync();
        await client.SendAsync("world");
        Assert.Equal("world", await client.ReadAsync(5));
        client.Dispose();
        await EventuallyHttp.HoldsAsync(() => lane.Lane.Tunnels == 0 && lane.Lane.Requests == 0, "the tunnel has ended");
    }

    [Fact]
    public async Task A_declined_upgrade_has_the_timeout_of_an_answer()
    {
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadHeadAsync();
            await connection.SendAsync("HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nbecause");
            await connection.ReadToEndAsync();
        });
        await using LaneUnderTest lane = await StartAsync(LaneUnderTest.Cluster(instance.EndPoint) with
        {
            Timeouts = new TimeoutsPlan { Response = TimeSpan.FromMilliseconds(300), Tunnel = TimeSpan.FromHours(1) },
        });
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        await client.ReadUntilAsync("because");

        AccessRecord record = await lane.RecordAsync();
        Assert.Equal(("timeout-response", 403), (record.Reason, record.Status));
    }
}

/// <inheritdoc/>
public sealed class HostilePeerOnKestrelTests() : HostilePeerTests(Engine.Kestrel);

/// <inheritdoc/>
public sealed class HostilePeerOnLoopsTests() : HostilePeerTests(Engine.Loops);
