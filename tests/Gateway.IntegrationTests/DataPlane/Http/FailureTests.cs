using System.Net.Sockets;
using System.Text.Json;
using Gateway.DataPlane.Balancing;
using Gateway.Observability;
using Gateway.Planning;

namespace Gateway.IntegrationTests.DataPlane.Http;

/// <summary>What happens when instances misbehave, and what clients are told.</summary>
public abstract class FailureTests(Engine engine) : LaneTests(engine)
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    [Fact]
    public async Task A_refused_request_goes_to_another_instance_whatever_its_method_with_its_body()
    {
        await using RawInstance instance = RawInstance.Echoing();
        System.Net.IPEndPoint refusing = LaneUnderTest.Refusing(out Socket holder);
        using Socket held = holder;
        await using LaneUnderTest lane = await StartAsync(refusing, instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();

        for (int i = 0; i < 6; i++)
        {
            await client.SendAsync("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
            (string head, string seen) = await client.ReadMessageAsync();
            Assert.Equal(200, RawConnection.Status(head));
            Assert.Null(RawConnection.Header(head, "X-Gateway-Reason"));
            Assert.EndsWith("hello", seen, StringComparison.Ordinal);
            Assert.Single(RawConnection.Headers(seen, "X-Forwarded-For"), "127.0.0.1");
        }

        AccessRecord retried = await lane.RecordAsync(record => record.Retries == 1);
        Assert.Equal("n1/web-1", retried.Destination);
        Assert.Equal(5, retried.BytesIn);
        DestinationState refused = lane.Clusters.Find("web@production")!.Destinations[0];
        Assert.True(refused.Health.IsSuspect);
        Assert.Equal(0, refused.InFlight);
    }

    [Fact]
    public async Task All_refused_is_503_connect_failed()
    {
        System.Net.IPEndPoint one = LaneUnderTest.Refusing(out Socket holderOne);
        System.Net.IPEndPoint two = LaneUnderTest.Refusing(out Socket holderTwo);
        using Socket heldOne = holderOne;
        using Socket heldTwo = holderTwo;
        await using LaneUnderTest lane = await StartAsync(one, two);

        (string head, _) = await AskAsync(lane, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");

        Assert.Equal(503, RawConnection.Status(head));
        Assert.Equal("connect-failed", RawConnection.Header(head, "X-Gateway-Reason"));
        AccessRecord record = await lane.RecordAsync();
        Assert.Equal(("connect-failed", 503, 1), (record.Reason, record.Status, record.Retries));
        Assert.Equal(RawConnection.Header(head, "X-Request-Id"), record.RequestId);
    }

    [Theory]
    [InlineData("*/*", "application/json")]
    [InlineData("application/json", "application/json")]
    [InlineData("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8")]
    [InlineData("text/plain", "text/plain; charset=utf-8")]
    public async Task No_instance_is_503_in_the_language_of_the_client(string accept, string type)
    {
        await using LaneUnderTest lane = await StartAsync();

        (string head, string body) = await AskAsync(lane, $"GET / HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n");

        Assert.Equal(503, RawConnection.Status(head));
        Assert.Equal("no-instance", RawConnection.Header(head, "X-Gateway-Reason"));
        Assert.Equal(type, RawConnection.Header(head, "Content-Type"));
        string id = RawConnection.Header(head, "X-Request-Id")!;
        Assert.Contains("no-instance", body, StringComparison.Ordinal);
        Assert.Contains(id, body, StringComparison.Ordinal);
        if (type == "application/json")
        {
            using JsonDocument json = JsonDocument.Parse(body);
            Assert.Equal("no-instance", json.RootElement.GetProperty("reason").GetString());
        }
    }

    [Fact]
    public async Task A_failure_to_HEAD_has_no_body()
    {
        await using LaneUnderTest lane = await StartAsync();
        using RawConnection client = await lane.ConnectAsync();

        for (int i = 0; i < 2; i++)
        {
            await client.SendAsync("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
            Assert.Equal(503, RawConnection.Status((await client.ReadMessageAsync(bodyless: true)).Head));
        }
    }

    [Fact]
    public async Task Silence_is_504_timeout_response_and_a_body_in_the_answer_resets_the_clock()
    {
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadHeadAsync();
            await connection.ReadToEndAsync();
        });
        await using LaneUnderTest lane = await StartAsync(
            LaneUnderTest.Cluster(instance.EndPoint) with { Timeouts = new TimeoutsPlan { Response = TimeSpan.FromMilliseconds(200) } });

        (string head, _) = await AskAsync(lane, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        Assert.Equal(504, RawConnection.Status(head));
        Assert.Equal("timeout-response", RawConnection.Header(head, "X-Gateway-Reason"));

        (head, _) = await AskAsync(lane,
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
        Assert.Equal(504, RawConnection.Status(head));
        Assert.Equal("timeout-response", RawConnection.Header(head, "X-Gateway-Reason"));
    }

    [Fact]
    public async Task A_reset_is_502_for_a_POST_and_the_instance_sees_it_once()
    {
        await using RawInstance instance = new(connection => connection.ReadMessageAsync());
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint, instance.EndPoint);

        foreach (string request in new[]
                 {
                     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
                     "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
                     "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
                 })
        {
            int before = instance.Accepted;
            (string head, _) = await AskAsync(lane, request);
            Assert.Equal(502, RawConnection.Status(head));
            Assert.Equal("instance-reset", RawConnection.Header(head, "X-Gateway-Reason"));
            Assert.Equal(before + 1, instance.Accepted);
        }
    }

    [Fact]
    public async Task A_reset_GET_is_answered_by_another_instance()
    {
        await using RawInstance resetting = new(async connection =>
        {
            await connection.ReadMessageAsync();
            connection.Socket.LingerState = new LingerOption(true, 0);
        });
        await using RawInstance healthy = RawInstance.Answering(Ok);
        await using LaneUnderTest lane = await StartAsync(resetting.EndPoint, healthy.EndPoint);

        for (int i = 0; i < 4; i++)
        {
            (string head, string body) = await AskAsync(lane, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            Assert.Equal((200, "ok"), (RawConnection.Status(head), body));
        }

        Assert.True(resetting.Accepted > 0);
        Assert.Equal("n1/web-1", (await lane.RecordAsync(record => record.Retries == 1)).Destination);
    }

    [Fact]
    public async Task A_GET_on_a_connection_that_the_only_instance_just_closed_is_asked_again()
    {
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadMessageAsync();
            await connection.SendAsync(Ok);
            await connection.ReadMessageAsync();
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);

        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(200, RawConnection.Status((await AskAsync(lane, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")).Head));
        }
    }

    [Fact]
    public async Task Garbage_is_502_bad_response()
    {
        await using RawInstance instance = RawInstance.Answering("SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n\r\n");
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);

        (string head, _) = await AskAsync(lane, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");

        Assert.Equal(502, RawConnection.Status(head));
        Assert.Equal("bad-response", RawConnection.Header(head, "X-Gateway-Reason"));
    }

    [Fact]
    public async Task A_response_cut_short_is_cut_short_for_the_client_too()
    {
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadMessageAsync();
            await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();

        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        try
        {
            Assert.DoesNotContain("HTTP/1.1 5", await client.ReadToEndAsync(), StringComparison.Ordinal);
        }
        catch (SocketException)
        {
            // A reset says it too.
        }

        Assert.Equal("instance-reset", (await lane.RecordAsync()).Reason);
    }

    [Fact]
    public async Task Silence_in_the_middle_of_an_answer_breaks_it_off_and_a_client_that_leaves_there_is_no_failure()
    {
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadMessageAsync();
            await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
            await connection.ReadToEndAsync();
        });
        ClusterPlan cluster = LaneUnderTest.Cluster(instance.EndPoint);
        await using (LaneUnderTest lane = await StartAsync(
            cluster with { Timeouts = new TimeoutsPlan { Response = TimeSpan.FromSeconds(1) } }))
        {
            using RawConnection client = await lane.ConnectAsync();
            await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            AccessRecord record = await lane.RecordAsync();
            Assert.Equal(("timeout-response", 200), (record.Reason, record.Status));
        }

        await using LaneUnderTest patient = await StartAsync(cluster);
        RawConnection leaving = await patient.ConnectAsync();
        await leaving.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        await leaving.ReadUntilAsync("only this");
        leaving.Dispose();
        AccessRecord left = await patient.RecordAsync();
        Assert.Equal(("client-closed", 200, 9L), (left.Reason, left.Status, left.BytesOut));
        Assert.Equal(0, patient.Clusters.Find("web@production")!.Destinations[0].Failures);
    }

    [Fact]
    public async Task Our_id_twice_is_a_loop_and_once_is_not()
    {
        await using RawInstance instance = RawInstance.Answering(Ok);
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        const string Id = LaneUnderTest.LoopId;

        (string once, _) = await AskAsync(lane, $"GET / HTTP/1.1\r\nHost: a\r\nCDN-Loop: {Id}\r\nConnection: CDN-Loop\r\n\r\n");
        (string twice, _) = await AskAsync(lane, $"GET / HTTP/1.1\r\nHost: a\r\nCDN-Loop: {Id}, x\r\nCDN-Loop: {Id}; a=1\r\n\r\n");

        Assert.Equal(200, RawConnection.Status(once));
        Assert.Equal(508, RawConnection.Status(twice));
        Assert.Equal("loop", RawConnection.Header(twice, "X-Gateway-Reason"));
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400)]
    [InlineData("GET / HTTP/1.1\r\n\r\n", 400)]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400)]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400)]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n", 400)]
    [InlineData("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400)]
    [InlineData("nonsense\r\n\r\n", 400)]
    [InlineData("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400)]
    [InlineData("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 400)]
    public async Task What_breaks_HTTP_is_refused_with_a_reason(string request, int status)
    {
        await using RawInstance instance = RawInstance.Answering(Ok);
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);

        (string head, string body) = await AskAsync(lane, request);

        Assert.Equal(status, RawConnection.Status(head));
        Assert.Equal("bad-request", RawConnection.Header(head, "X-Gateway-Reason"));
        Assert.Contains("\"reason\":\"bad-request\"", body, StringComparison.Ordinal);
        Assert.NotNull(RawConnection.Header(head, "X-Request-Id"));
        Assert.Equal(0, instance.Accepted);
        Assert.Equal("bad-request", (await lane.RecordAsync()).Reason);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_head_of_more_than_64_KiB_is_431(bool line)
    {
        await using RawInstance instance = RawInstance.Answering(Ok);
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        string big = new('x', 65 * 1024);

        (string head, _) = await AskAsync(lane, line
            ? $"GET /{big} HTTP/1.1\r\nHost: a\r\n\r\n"
            : $"GET / HTTP/1.1\r\nHost: a\r\nX-Big: {big}\r\n\r\n");

        Assert.Equal(431, RawConnection.Status(head));
        Assert.Equal("bad-request", RawConnection.Header(head, "X-Gateway-Reason"));
    }

    [Fact]
    public async Task A_head_of_60_KiB_passes()
    {
        await using RawInstance instance = RawInstance.Answering(Ok);
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);

        (string head, _) = await AskAsync(lane, $"GET / HTTP/1.1\r\nHost: a\r\nX-Big: {new string('x', 60 * 1024)}\r\n\r\n");

        Assert.Equal(200, RawConnection.Status(head));
    }

    [Fact]
    public async Task OPTIONS_about_the_server_is_answered_here()
    {
        await using LaneUnderTest lane = await StartAsync();
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
        Assert.Equal(204, RawConnection.Status(await client.ReadHeadAsync()));
    }

    [Fact]
    public async Task A_client_that_leaves_is_no_failure_and_the_instance_is_let_go()
    {
        TaskCompletionSource gone = new();
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadHeadAsync();
            await connection.ReadToEndAsync();
            gone.SetResult();
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        RawConnection client = await lane.ConnectAsync();

        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        await EventuallyHttp.HoldsAsync(() => instance.Accepted == 1, "the instance has the request");
        client.Dispose();

        await gone.Task.WaitAsync(EventuallyHttp.Deadline);
        AccessRecord record = await lane.RecordAsync();
        Assert.Equal(("client-closed", 0), (record.Reason, record.Status));
        Assert.Equal(0, lane.Clusters.Find("web@production")!.Destinations[0].Failures);
    }

    [Fact]
    public async Task Connecting_that_takes_too_long_is_504_timeout_connect()
    {
        // A listener whose queue is full answers no SYN.
        using Socket full = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        full.Bind(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 0));
        full.Listen(0);
        List<Socket> fillers = [];
        for (int i = 0; i < 4; i++)
        {
            Socket filler = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { Blocking = false };
            fillers.Add(filler);
            try
            {
                await filler.ConnectAsync(full.LocalEndPoint!, new CancellationTokenSource(200).Token);
            }
            catch (OperationCanceledException)
            {
            }
        }

        await using LaneUnderTest lane = await StartAsync(
            LaneUnderTest.Cluster((System.Net.IPEndPoint)full.LocalEndPoint!) with
            {
                Timeouts = new TimeoutsPlan { Connect = TimeSpan.FromMilliseconds(200) },
            });
        (string head, _) = await AskAsync(lane, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        fillers.ForEach(filler => filler.Dispose());

        Assert.Equal(504, RawConnection.Status(head));
        Assert.Equal("timeout-connect", RawConnection.Header(head, "X-Gateway-Reason"));
    }

    private static async Task<(string Head, string Body)> AskAsync(LaneUnderTest lane, string request)
    {
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync(request);
        return await client.ReadMessageAsync();
    }
}

/// <inheritdoc/>
public sealed class FailureOnKestrelTests() : FailureTests(Engine.Kestrel);

/// <inheritdoc/>
public sealed class FailureOnLoopsTests() : FailureTests(Engine.Loops);
