using System.Net.Sockets;
using System.Text;

namespace Gateway.IntegrationTests.DataPlane.Http.Conformance;

/// <summary>How long connections live, on both sides, and whose bytes they carry.</summary>
public abstract class ConnectionConformanceTests(Engine engine) : LaneTests(engine)
{
    private const string Get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    [Theory]
    [InlineData("1.1", "", true)]
    [InlineData("1.1", "Connection: keep-alive\r\n", true)]
    [InlineData("1.1", "Connection: close\r\n", false)]
    [InlineData("1.1", "Connection: Close\r\n", false)]
    [InlineData("1.1", "Connection: x, close\r\n", false)]
    [InlineData("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false)]
    [InlineData("1.0", "", false)]
    [InlineData("1.0", "Connection: keep-alive\r\n", true)]
    [InlineData("1.0", "Connection: Keep-Alive\r\n", true)]
    [InlineData("1.0", "Connection: close\r\n", false)]
    public async Task A_client_has_the_connection_it_asked_for(string version, string header, bool keeps)
    {
        await using RecordingInstance instance = new();
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();

        await client.SendAsync($"GET / HTTP/{version}\r\nHost: a\r\n{header}\r\n");
        Message answer = await Wire.ReadAsync(client, response: true);
        Assert.Equal((200, !keeps), (answer.Status, answer.Closes || (version == "1.0" && answer.Header("Connection") is null)));
        if (!keeps)
        {
            Assert.True(await Wire.EndsAsync(client));
            return;
        }

        await client.SendAsync(Get);
        Assert.Equal(200, (await Wire.ReadAsync(client, response: true)).Status);
    }

    [Theory]
    [InlineData(2, false)]
    [InlineData(50, false)]
    [InlineData(2, true)]
    [InlineData(50, true)]
    public async Task A_pipeline_is_answered_in_order(int count, bool bytewise)
    {
        await using RecordingInstance instance = new();
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        StringBuilder all = new();
        for (int i = 0; i < count; i++)
        {
            all.Append((i % 5) switch
            {
                0 => $"GET /{i} HTTP/1.1\r\nHost: a\r\n\r\n",
                1 => $"POST /{i} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nbody{i % 10}",
                2 => $"PUT /{i} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbod\r\n2;x\r\ny{i % 10}\r\n0\r\n\r\n",
                3 => $"HEAD /{i} HTTP/1.1\r\nHost: a\r\n\r\n",
                _ => $"\r\nDELETE /{i} HTTP/1.1\r\nHost: a\r\n\r\n",
            });
        }

        await Wire.SendAsync(client, all.ToString(), bytewise);
        for (int i = 0; i < count; i++)
        {
            string method = (i % 5) switch { 0 => "GET", 1 => "POST", 2 => "PUT", 3 => "HEAD", _ => "DELETE" };
            Message answer = await Wire.ReadAsync(client, response: true, bodyless: method == "HEAD");
            Assert.Equal(200, answer.Status);
            Assert.Equal(method == "HEAD" ? "" : $"{method} /{i} HTTP/1.1|{(i % 5 is 1 or 2 ? $"body{i % 10}" : "")}", answer.Body);
        }

        Assert.Equal(Enumerable.Range(0, count).Select(i => $"/{i}"), instance.Requests.Select(request => request.Line.Split(' ')[1]));
    }

    [Fact]
    public async Task A_pipeline_ends_with_the_request_that_closes()
    {
        await using RecordingInstance instance = new();
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync($"{Get}GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /after HTTP/1.1\r\nHost: a\r\n\r\n");

        Assert.False((await Wire.ReadAsync(client, response: true)).Closes);
        Assert.True((await Wire.ReadAsync(client, response: true)).Closes);
        Assert.True(await Wire.EndsAsync(client));
        Assert.Equal(2, instance.Requests.Count);
    }

    [Fact]
    public async Task Failures_of_ours_in_a_pipeline_keep_their_place()
    {
        await using LaneUnderTest lane = await StartAsync();
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync(string.Concat(Enumerable.Repeat(Get, 40)) + "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
        for (int i = 0; i < 40; i++)
        {
            Assert.Equal(503, (await Wire.ReadAsync(client, response: true)).Status);
        }

        Assert.Equal(204, (await Wire.ReadAsync(client, response: true)).Status);
    }

    [Fact]
    public async Task A_FIN_between_requests_is_the_polite_end()
    {
        await using RecordingInstance instance = new();
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync(Get);
        await Wire.ReadAsync(client, response: true);
        client.Socket.Shutdown(SocketShutdown.Send);

        Assert.Equal("", await client.ReadToEndAsync());
        await EventuallyHttp.HoldsAsync(() => lane.Lane.Connections == 0, "the connection is forgotten");
        Assert.Single(lane.Records);
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHo")]
    [InlineData("G")]
    [InlineData("\r\n")]
    public async Task Half_a_head_and_a_FIN_are_nobodys_request(string half)
    {
        await using RecordingInstance instance = new();
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync(half);
        client.Socket.Shutdown(SocketShutdown.Send);

        await client.ReadToEndAsync();
        await EventuallyHttp.HoldsAsync(() => lane.Lane.Connections == 0, "the connection is forgotten");
        Assert.Empty(instance.Requests);
    }

    [Theory]
    [InlineData("Content-Length: 10\r\n\r\nhello")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n5\r\nhel")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n")]
    public async Task Half_a_body_is_never_whole_for_the_instance(string half)
    {
        TaskCompletionSource began = new();
        TaskCompletionSource<string> seen = new();
        await using RawInstance instance = new(async connection =>
        {
            string all = await connection.ReadHeadAsync();
            began.SetResult();
            try
            {
                all += await connection.ReadToEndAsync();
            }
            catch (SocketException)
            {
                // A reset says it too.
            }

            seen.SetResult(all);
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync($"POST / HTTP/1.1\r\nHost: a\r\n{half}");
        await began.Task.WaitAsync(EventuallyHttp.Deadline);
        client.Socket.Shutdown(SocketShutdown.Send);

        string all = await seen.Task.WaitAsync(EventuallyHttp.Deadline);
        Assert.DoesNotContain("\r\n0\r\n\r\n", all, StringComparison.Ordinal);

        // To Kestrel it is the end of the connection or that of a body too short, whichever it looks at first.
        Assert.Contains((await lane.RecordAsync()).Reason, Engine == Engine.Kestrel ? ["client-closed", "bad-request"] : new[] { "client-closed" });
        Assert.Equal(0, lane.Clusters.Find("web@production")!.Destinations[0].Failures);
    }

    [Theory]
    [InlineData("x")]
    [InlineData("\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")]
    public async Task Bytes_behind_an_answer_never_reach_the_next_client(string stray)
    {
        await using RawInstance instance = new(async connection =>
        {
            string line = (await connection.ReadHeadAsync()).Split("\r\n")[0];
            await connection.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {line.Length}\r\n\r\n{line}{stray}");
            await connection.ReadToEndAsync();
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        for (int i = 0; i < 10; i++)
        {
            using RawConnection client = await lane.ConnectAsync();
            await client.SendAsync($"GET /{i} HTTP/1.1\r\nHost: a\r\n\r\n");
            Assert.Equal($"GET /{i} HTTP/1.1", (await Wire.ReadAsync(client, response: true)).Body);
        }

        Assert.Equal(10, instance.Accepted);
    }

    [Fact]
    public async Task Bytes_on_an_idle_connection_end_it_before_anybody_gets_it()
    {
        TaskCompletionSource late = new();
        TaskCompletionSource sent = new();
        await using RawInstance instance = new(async connection =>
        {
            string line = (await connection.ReadHeadAsync()).Split("\r\n")[0];
            await connection.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {line.Length}\r\n\r\n{line}");
            if (line == "GET /0 HTTP/1.1")
            {
                await late.Task;
                await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
                sent.SetResult();
            }

            await connection.ReadToEndAsync();
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync("GET /0 HTTP/1.1\r\nHost: a\r\n\r\n");
        await Wire.ReadAsync(client, response: true);
        late.SetResult();
        await sent.Task.WaitAsync(EventuallyHttp.Deadline);

        await client.SendAsync("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
        Assert.Equal("GET /1 HTTP/1.1", (await Wire.ReadAsync(client, response: true)).Body);
    }

    [Fact]
    public async Task Clients_share_the_connections_to_an_instance()
    {
        await using RecordingInstance instance = new();
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        for (int i = 0; i < 20; i++)
        {
            await client.SendAsync(Get);
            await Wire.ReadAsync(client, response: true);
        }

        Assert.Equal(1, instance.Accepted);
    }

    [Theory]
    [InlineData("GET", "", true)]
    [InlineData("HEAD", "", true)]
    [InlineData("POST", "Content-Length: 2\r\n", false)]
    [InlineData("POST", "", false)]
    [InlineData("PATCH", "Content-Length: 2\r\n", false)]
    public async Task What_an_instance_dropped_unanswered_is_asked_again_only_where_that_is_harmless(string method, string framing, bool again)
    {
        // The second request on a connection is read and dropped, as by a server that goes away at that moment.
        int seen = 0;
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadMessageAsync();
            await connection.SendAsync(Ok);
            await connection.ReadMessageAsync();
            Interlocked.Increment(ref seen);
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync(Get);
        await Wire.ReadAsync(client, response: true);
        await client.SendAsync($"{method} / HTTP/1.1\r\nHost: a\r\n{framing}\r\n{(framing.Length > 0 ? "hi" : "")}");

        Message answer = await Wire.ReadAsync(client, response: true, bodyless: method == "HEAD");
        Assert.Equal(again ? 200 : 502, answer.Status);
        Assert.Equal(1, Volatile.Read(ref seen));
        Assert.Equal(again ? 2 : 1, instance.Accepted);
    }

    [Fact]
    public async Task A_POST_takes_a_connection_that_is_alive()
    {
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadMessageAsync();
            await connection.SendAsync(Ok);
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        for (int i = 0; i < 10; i++)
        {
            using RawConnection client = await lane.ConnectAsync();
            await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
            Assert.Equal(200, (await Wire.ReadAsync(client, response: true)).Status);
        }
    }

    [Fact]
    public async Task Prior_knowledge_and_HTTP_1_share_a_port()
    {
        await using RecordingInstance instance = new();
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection one = await lane.ConnectAsync();
        using RawConnection two = await lane.ConnectAsync();
        await two.SendAsync(RawHttp2.Preface + RawHttp2.Settings + RawHttp2.Headers(
            1, true, (":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/h2")));
        await one.SendAsync("GET /h1 HTTP/1.1\r\nHost: a\r\n\r\n");

        Assert.Equal("GET /h1 HTTP/1.1|", (await Wire.ReadAsync(one, response: true)).Body);
        await RawHttp2.ReadFrameAsync(two);
        Assert.Equal("GET /h2 HTTP/1.1|", (await RawHttp2.ReadFrameAsync(two)).Payload);
    }

    [Fact]
    public async Task A_preface_behind_a_request_is_no_preface()
    {
        await using RecordingInstance instance = new();
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync(Get + RawHttp2.Preface);

        Assert.Equal(200, (await Wire.ReadAsync(client, response: true)).Status);
        Assert.Equal(400, (await Wire.ReadAsync(client, response: true)).Status);
        Assert.True(await Wire.EndsAsync(client));
    }
}

/// <inheritdoc/>
public sealed class ConnectionConformanceOnKestrelTests() : ConnectionConformanceTests(Engine.Kestrel);

/// <inheritdoc/>
public sealed class ConnectionConformanceOnLoopsTests() : ConnectionConformanceTests(Engine.Loops)
{
    // Kestrel takes any FIN for the end of the connection.
    [Theory]
    [InlineData("1.1", "Connection: close\r\n")]
    [InlineData("1.0", "")]
    public async Task Half_a_close_of_a_client_that_wants_one_answer_is_no_news(string version, string header)
    {
        TaskCompletionSource half = new();
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadMessageAsync();
            await half.Task;
            await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync($"GET / HTTP/{version}\r\nHost: a\r\n{header}\r\n");
        client.Socket.Shutdown(SocketShutdown.Send);
        await EventuallyHttp.HoldsAsync(() => instance.Accepted == 1, "the instance has the request");
        half.SetResult();

        Assert.Equal("ok", (await Wire.ReadAsync(client, response: true)).Body);
        Assert.True(await Wire.EndsAsync(client));
        Assert.Equal("", (await lane.RecordAsync()).Reason);
    }
}
