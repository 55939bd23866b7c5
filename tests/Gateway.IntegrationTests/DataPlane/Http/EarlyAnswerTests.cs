using System.Collections.Concurrent;
using Gateway.Observability;
using Gateway.Planning;

namespace Gateway.IntegrationTests.DataPlane.Http;

/// <summary>Instances that answer before they have read the body, and clients that go on uploading.</summary>
public abstract class EarlyAnswerTests(Engine engine) : LaneTests(engine)
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    [Theory]
    [InlineData(true, "HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n\r\nstop", "GET / HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData(true, "HTTP/1.1 413 Too Much\r\nContent-Length: 0\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")]
    [InlineData(false, "HTTP/1.1 413 Too Much\r\nContent-Length: 0\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData(false, "HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n\r\nstop", "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n")]
    public async Task A_connection_that_still_carries_an_upload_costs_other_requests_nothing_and_the_upload_arrives(
        bool chunked, string early, string other)
    {
        ConcurrentBag<string> uploads = [];
        await using RawInstance instance = new(async connection =>
        {
            while (true)
            {
                string head = await connection.ReadHeadAsync();
                if (!head.StartsWith("PUT", StringComparison.Ordinal))
                {
                    if (RawConnection.Header(head, "Content-Length") is not null)
                    {
                        await connection.ReadAsync(2);
                    }

                    await connection.SendAsync(Ok);
                    continue;
                }

                await connection.SendAsync(early);
                uploads.Add(chunked ? await connection.ReadUntilAsync("0\r\n\r\n") : await connection.ReadAsync(10));
            }
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        List<RawConnection> uploading = [];
        for (int i = 0; i < 4; i++)
        {
            RawConnection client = await lane.ConnectAsync();
            uploading.Add(client);
            string framing = chunked ? "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" : "Content-Length: 10\r\n\r\nhello";
            await client.SendAsync($"PUT / HTTP/1.1\r\nHost: a\r\n{framing}");
        }

        foreach (RawConnection client in uploading)
        {
            Assert.Equal(413, RawConnection.Status((await client.ReadMessageAsync()).Head));
        }

        for (int i = 0; i < 3; i++)
        {
            using RawConnection client = await lane.ConnectAsync();
            await client.SendAsync(other);
            Assert.Equal("ok", (await client.ReadMessageAsync()).Body);
        }

        foreach (RawConnection client in uploading)
        {
            await client.SendAsync(chunked ? "5\r\nworld\r\n0\r\n\r\n" : "world");
        }

        await EventuallyHttp.HoldsAsync(() => uploads.Count == 4, "every upload arrives");
        Assert.All(uploads, upload => Assert.Equal(chunked ? "5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n" : "helloworld", upload));
        await EventuallyHttp.HoldsAsync(() => lane.Records.Count == 7, "every request is recorded");
        Assert.All(lane.Records, record => Assert.Equal(("", 0), (record.Reason, record.Retries)));
        Assert.Equal(0, lane.Clusters.Find("web@production")!.Destinations[0].Failures);
        uploading.ForEach(client => client.Dispose());
    }

    [Fact]
    public async Task An_instance_that_answers_and_reads_no_more_pins_the_upload_no_longer_than_its_timeout()
    {
        TaskCompletionSource over = new();
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadHeadAsync();
            await EventuallyHttp.HoldsAsync(() => connection.Socket.Available > 20_000, "the upload is under way");
            await connection.SendAsync("HTTP/1.1 413 Too Much\r\nContent-Length: 0\r\n\r\n");
            await over.Task;
        });
        await using LaneUnderTest lane = await StartAsync(LaneUnderTest.Cluster(instance.EndPoint) with
        {
            Timeouts = new TimeoutsPlan { Response = TimeSpan.FromSeconds(1) },
        });
        RawConnection client = await lane.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
        Task sending = SendUntilItFailsAsync(client);
        Assert.Equal(413, RawConnection.Status(await client.ReadHeadAsync()));
        await EventuallyHttp.HoldsAsync(() => lane.Lane.Requests == 0, "the request ends");
        AccessRecord record = await lane.RecordAsync();
        Assert.Equal(413, record.Status);
        over.SetResult();
        client.Dispose();
        await sending;
    }

    private static async Task SendUntilItFailsAsync(RawConnection client)
    {
        try
        {
            string block = new('x', 1024 * 1024);
            for (int i = 0; i < 1000; i++)
            {
                await client.SendAsync(block);
            }
        }
        catch (Exception e) when (e is System.Net.Sockets.SocketException or ObjectDisposedException)
        {
            // The gateway hung up, or the test did.
        }
    }
}

/// <inheritdoc/>
public sealed class EarlyAnswerOnKestrelTests() : EarlyAnswerTests(Engine.Kestrel);

/// <inheritdoc/>
public sealed class EarlyAnswerOnLoopsTests() : EarlyAnswerTests(Engine.Loops);
