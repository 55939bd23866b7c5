using System.Collections.Concurrent;
using System.Net.Sockets;
using Gateway.Planning;

namespace Gateway.IntegrationTests.DataPlane.Http.Conformance;

/// <summary>Bodies under way: who waits for whom, who may answer early, who may leave.</summary>
public abstract class BodyConformanceTests(Engine engine) : LaneTests(engine)
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    [Theory]
    [InlineData("Content-Length: 5", "hello")]
    [InlineData("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n")]
    public async Task A_client_that_waits_for_100_gets_it_from_the_instance(string framing, string body)
    {
        await using RawInstance instance = new(async connection =>
        {
            while (true)
            {
                string head = await connection.ReadHeadAsync();
                Assert.Equal("100-continue", RawConnection.Header(head, "Expect"));
                await connection.SendAsync("HTTP/1.1 100 Continue\r\n\r\n");
                await connection.ReadUntilAsync("hello");
                if (body.Length > 5)
                {
                    await connection.ReadUntilAsync("0\r\n\r\n");
                }

                await connection.SendAsync(Ok);
            }
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        for (int i = 0; i < 2; i++)
        {
            await client.SendAsync($"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{framing}\r\n\r\n");
            Assert.Equal(100, RawConnection.Status(await client.ReadHeadAsync()));
            await client.SendAsync(body);
            Assert.Equal("ok", (await Wire.ReadFinalAsync(client)).Body);
        }
    }

    [Fact]
    public async Task A_client_that_expects_and_does_not_wait_is_served()
    {
        await using RecordingInstance instance = new();
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync("PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");

        Assert.Equal("PUT /x HTTP/1.1|hello", (await Wire.ReadFinalAsync(client)).Body);
    }

    [Theory]
    [InlineData("417 Expectation Failed", true)]
    [InlineData("401 Unauthorized", false)]
    [InlineData("413 Content Too Large", false)]
    public async Task A_client_that_is_turned_down_unread_hears_it_and_its_body_is_nobodys_request(string status, bool closes)
    {
        ConcurrentQueue<string> lines = [];
        await using RawInstance instance = new(async connection =>
        {
            while (true)
            {
                lines.Enqueue((await connection.ReadHeadAsync()).Split("\r\n")[0]);
                await connection.SendAsync($"HTTP/1.1 {status}\r\nContent-Length: 2\r\n{(closes ? "Connection: close\r\n" : "")}\r\nno");
                if (closes)
                {
                    return;
                }
            }
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n");
        // On Kestrel .NET's client wants bodies of up to 1 KiB before it tells of the answer.
        Message answer = await Wire.ReadFinalAsync(client);
        Assert.Equal((int.Parse(status[..3], System.Globalization.CultureInfo.InvariantCulture), "no"), (answer.Status, answer.Body));

        // Whatever it sends now, body or next request, is either taken as the body or not at all.
        try
        {
            await client.SendAsync("GET /evil HTTP/1.1\r\nHost: evil.com\r\n\r\n");
            client.Socket.Shutdown(SocketShutdown.Send);
            await Wire.EndsAsync(client);
        }
        catch (SocketException)
        {
            // The gateway has closed.
        }

        Assert.Equal(["PUT / HTTP/1.1"], lines);
    }

    [Theory]
    [InlineData("100 Continue", 1)]
    [InlineData("103 Early Hints", 3)]
    [InlineData("102 Processing", 2)]
    public async Task Interim_answers_come_when_they_are_said(string status, int count)
    {
        TaskCompletionSource final = new();
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadHeadAsync();
            for (int i = 0; i < count; i++)
            {
                await connection.SendAsync($"HTTP/1.1 {status}\r\nLink: </{i}>\r\n\r\n");
            }

            await final.Task;
            await connection.ReadAsync(2);
            await connection.SendAsync(Ok);
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
        for (int i = 0; i < count && (status[2] == '0' || Engine == Engine.Loops); i++)
        {
            Assert.StartsWith($"HTTP/1.1 {status[..3]}", await client.ReadHeadAsync(), StringComparison.Ordinal);
        }

        await client.SendAsync("hi");
        final.SetResult();
        Assert.Equal("ok", (await Wire.ReadFinalAsync(client)).Body);
    }

    [Theory]
    [InlineData(1_000, false, false)]
    [InlineData(1_000, true, false)]
    [InlineData(1_000, false, true)]
    [InlineData(20_000_000, false, false)]
    [InlineData(20_000_000, true, false)]
    [InlineData(20_000_000, false, true)]
    [InlineData(20_000_000, true, true)]
    public async Task An_answer_before_the_body_was_read_arrives_however_long_the_body(int length, bool chunked, bool closes)
    {
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadHeadAsync();
            await connection.SendAsync($"HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n{(closes ? "Connection: close\r\n" : "")}\r\nstop");
            if (closes)
            {
                connection.Socket.Shutdown(SocketShutdown.Send);
            }

            byte[] sink = new byte[256 * 1024];
            while (await connection.Socket.ReceiveAsync(sink) > 0)
            {
            }
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync($"POST / HTTP/1.1\r\nHost: a\r\n{(chunked ? "Transfer-Encoding: chunked" : $"Content-Length: {length}")}\r\n\r\n");
        Task sending = Task.Run(async () =>
        {
            try
            {
                string block = new('x', Math.Min(length, 100_000));
                for (int sent = 0; sent < length; sent += block.Length)
                {
                    await client.SendAsync(chunked ? $"{block.Length:X}\r\n{block}\r\n" : block);
                }

                await client.SendAsync(chunked ? "0\r\n\r\n" : "");
            }
            catch (SocketException)
            {
                // It may be told to stop.
            }
        });

        Message answer = await Wire.ReadAsync(client, response: true);
        Assert.Equal((413, "stop"), (answer.Status, answer.Body));
        await sending.WaitAsync(EventuallyHttp.Deadline);
        AccessRecord(await lane.RecordAsync(), 413);
    }

    [Fact]
    public async Task An_instance_that_closes_in_the_middle_of_an_upload_is_502()
    {
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadHeadAsync();
            await connection.ReadAsync(100_000);
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n");
        Task sending = UploadAsync(client, 20_000_000);

        Message answer = await Wire.ReadAsync(client, response: true);
        Assert.Equal(502, answer.Status);
        Assert.Equal("instance-reset", answer.Header("X-Gateway-Reason"));
        await sending.WaitAsync(EventuallyHttp.Deadline);
        Assert.Equal(1, instance.Accepted);
    }

    [Fact]
    public async Task An_instance_that_reads_nothing_holds_the_client_back()
    {
        TaskCompletionSource read = new();
        await using RawInstance instance = new(async connection =>
        {
            await read.Task;
            await connection.ReadHeadAsync();
            byte[] sink = new byte[256 * 1024];
            while (await connection.Socket.ReceiveAsync(sink) > 0)
            {
            }
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 400000000\r\n\r\n");
        long sent = 0;
        Task sending = Task.Run(async () =>
        {
            byte[] block = new byte[100_000];
            try
            {
                while (sent < 400_000_000)
                {
                    Interlocked.Add(ref sent, await client.Socket.SendAsync(block));
                }
            }
            catch (SocketException)
            {
                // The test is over.
            }
        });

        // Until it stands still.
        long before = -1;
        await EventuallyHttp.HoldsAsync(
            async () =>
            {
                long now = Interlocked.Read(ref sent);
                bool still = now == before && now > 0;
                before = now;
                await Task.Delay(200);
                return still;
            },
            "the upload stands still");
        Assert.InRange(Interlocked.Read(ref sent), 1, 64_000_000);
        client.Dispose();
        read.SetResult();
        await sending.WaitAsync(EventuallyHttp.Deadline);
    }

    public enum Moment
    {
        BeforeTheHead,
        InTheHead,
        WaitingForTheAnswer,
        InTheBody,
        InTheAnswer,
        InATunnel,
    }

    [Theory]
    [InlineData(Moment.BeforeTheHead, false)]
    [InlineData(Moment.InTheHead, false)]
    [InlineData(Moment.WaitingForTheAnswer, false)]
    [InlineData(Moment.InTheBody, false)]
    [InlineData(Moment.InTheAnswer, false)]
    [InlineData(Moment.InATunnel, false)]
    [InlineData(Moment.BeforeTheHead, true)]
    [InlineData(Moment.InTheHead, true)]
    [InlineData(Moment.WaitingForTheAnswer, true)]
    [InlineData(Moment.InTheBody, true)]
    [InlineData(Moment.InTheAnswer, true)]
    [InlineData(Moment.InATunnel, true)]
    public async Task A_client_that_leaves_leaves_nothing_behind(Moment moment, bool reset)
    {
        TaskCompletionSource gone = new();
        TaskCompletionSource begun = new();
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadHeadAsync();
            if (moment == Moment.InTheAnswer)
            {
                await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome");
            }
            else if (moment == Moment.InATunnel)
            {
                await connection.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
            }

            begun.SetResult();
            await EndAsync(connection);
            gone.SetResult();
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        RawConnection client = await lane.ConnectAsync();
        await client.SendAsync(moment switch
        {
            Moment.BeforeTheHead => "",
            Moment.InTheHead => "GET / HTTP/1.1\r\nHos",
            Moment.InTheBody => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome",
            Moment.InATunnel => "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            _ => "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        });
        await EventuallyHttp.HoldsAsync(() => lane.Lane.Connections == 1, "the connection is there");
        bool reaches = moment > Moment.InTheHead;
        if (reaches)
        {
            await begun.Task.WaitAsync(EventuallyHttp.Deadline);
        }

        if (moment is Moment.InTheAnswer or Moment.InATunnel)
        {
            await client.ReadUntilAsync(moment == Moment.InTheAnswer ? "some" : "\r\n\r\n");
        }

        if (reset)
        {
            client.Socket.LingerState = new LingerOption(true, 0);
        }

        client.Dispose();
        if (reaches)
        {
            await gone.Task.WaitAsync(EventuallyHttp.Deadline);
        }

        await EventuallyHttp.HoldsAsync(() => lane.Lane.Connections == 0 && lane.Lane.Requests == 0 && lane.Lane.Tunnels == 0, "nothing is left");
        Gateway.DataPlane.Balancing.DestinationState destination = lane.Clusters.Find("web@production")!.Destinations[0];
        Assert.Equal((0, 0), (destination.InFlight, destination.Failures));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Bytes_right_behind_an_upgrade_and_its_101_are_the_tunnels(bool bytewise)
    {
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadHeadAsync();
            await Wire.SendAsync(connection, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst", bytewise);
            await connection.SendAsync($"<{await connection.ReadAsync(5)}>");
            await connection.ReadToEndAsync();
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await Wire.SendAsync(
            client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nearly", bytewise);

        Assert.Equal(101, RawConnection.Status(await client.ReadHeadAsync()));
        Assert.Equal("first<early>", await client.ReadAsync(12));
    }

    [Fact]
    public async Task A_declined_upgrade_is_an_answer_and_what_was_sent_behind_it_nobodys_request()
    {
        ConcurrentQueue<string> lines = [];
        await using RawInstance instance = new(async connection =>
        {
            while (true)
            {
                lines.Enqueue((await connection.ReadHeadAsync()).Split("\r\n")[0]);
                await connection.SendAsync("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
            }
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            + "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n");

        Message answer = await Wire.ReadAsync(client, response: true);
        Assert.Equal((403, "no"), (answer.Status, answer.Body));
        if (Engine == Engine.Loops)
        {
            // Kestrel takes it for the next request, which RFC 9112 allows as well.
            Assert.True(await Wire.EndsAsync(client));
            Assert.Equal(["GET / HTTP/1.1"], lines);
        }
    }

    private static void AccessRecord(Observability.AccessRecord record, int status) =>
        Assert.Equal((status, 0), (record.Status, record.Retries));

    private static async Task UploadAsync(RawConnection client, int length)
    {
        try
        {
            byte[] block = new byte[100_000];
            for (int sent = 0; sent < length;)
            {
                sent += await client.Socket.SendAsync(block);
            }
        }
        catch (SocketException)
        {
            // It may be told to stop.
        }
    }

    private static async Task EndAsync(RawConnection connection)
    {
        try
        {
            await connection.ReadToEndAsync();
        }
        catch (SocketException)
        {
            // A reset is an end.
        }
    }
}

/// <inheritdoc/>
public sealed class BodyConformanceOnKestrelTests() : BodyConformanceTests(Engine.Kestrel);

/// <inheritdoc/>
public sealed class BodyConformanceOnLoopsTests() : BodyConformanceTests(Engine.Loops);
