using Gateway.DataPlane.Loops;
using Gateway.Planning;

namespace Gateway.IntegrationTests.DataPlane.Http.Conformance;

/// <summary>How long the fast lane waits, by a clock that the test moves.</summary>
public sealed class TimeoutConformanceTests() : LaneTests(Engine.Loops)
{
    private const string Get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHo")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\n")]
    public async Task Half_a_head_is_408_after_its_time(string half)
    {
        MovedTime clock = new();
        await using RecordingInstance instance = new();
        await using LaneUnderTest lane = await StartAsync(LaneUnderTest.Cluster(instance.EndPoint), clock);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync(half);
        await EventuallyHttp.HoldsAsync(() => lane.Lane.Connections == 1, "the connection is there");
        Task<Message> reading = Wire.ReadAsync(client, response: true);
        await MoveUntilAsync(lane, clock, () => reading.IsCompleted);

        Message answer = await reading;
        Assert.Equal(408, answer.Status);
        Assert.Equal("bad-request", answer.Header("X-Gateway-Reason"));
        Assert.Empty(instance.Requests);
        Assert.InRange(clock.Moved.TotalSeconds, 9, 40);
    }

    [Theory]
    [InlineData("", true)]
    [InlineData(Get, true)]
    public async Task An_idle_connection_closes_after_its_time(string before, bool served)
    {
        MovedTime clock = new();
        await using RecordingInstance instance = new();
        await using LaneUnderTest lane = await StartAsync(LaneUnderTest.Cluster(instance.EndPoint), clock);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync(before);
        if (before.Length > 0)
        {
            Assert.Equal(served, (await Wire.ReadAsync(client, response: true)).Status == 200);
        }

        await EventuallyHttp.HoldsAsync(() => lane.Lane.Connections == 1, "the connection is there");
        Task<bool> reading = Wire.EndsAsync(client);
        await MoveUntilAsync(lane, clock, () => reading.IsCompleted);
        Assert.True(await reading);
        Assert.InRange(clock.Moved.TotalSeconds, 59, 90);
    }

    [Fact]
    public async Task A_failure_of_ours_starts_the_idle_time_anew()
    {
        MovedTime clock = new();
        await using LaneUnderTest lane = await StartAsync(LaneUnderTest.Cluster(), clock);
        using RawConnection client = await lane.ConnectAsync();

        // The head comes in two pieces, so its own, shorter time has begun when the answer is made at once.
        await client.SendAsync("GET / HTTP/1.1\r\n");
        await EventuallyHttp.HoldsAsync(() => lane.Lane.Connections == 1, "the connection is there");
        await lane.Loops!.OnEachAsync(_ => { });
        await client.SendAsync("Host: a\r\n\r\n");
        Assert.Equal(503, (await Wire.ReadAsync(client, response: true)).Status);
        await MoveAsync(lane, clock, TimeSpan.FromSeconds(30));

        await client.SendAsync(Get);
        Assert.Equal(503, (await Wire.ReadAsync(client, response: true)).Status);
        await MoveAsync(lane, clock, TimeSpan.FromSeconds(45));
        await client.SendAsync(Get);
        Assert.Equal(503, (await Wire.ReadAsync(client, response: true)).Status);
    }

    [Theory]
    [InlineData(Get, 504, "timeout-response")]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 504, "timeout-response")]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh", 408, "bad-request")]
    public async Task Silence_is_charged_to_whoever_is_silent(string request, int status, string reason)
    {
        MovedTime clock = new();
        await using RawInstance instance = new(connection => connection.ReadToEndAsync());
        await using LaneUnderTest lane = await StartAsync(
            LaneUnderTest.Cluster(instance.EndPoint) with { Timeouts = new TimeoutsPlan { Response = TimeSpan.FromSeconds(20) } }, clock);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync(request);
        await EventuallyHttp.HoldsAsync(() => instance.Accepted == 1, "the instance has the request");
        Task<Message> reading = Wire.ReadAsync(client, response: true);
        await MoveUntilAsync(lane, clock, () => reading.IsCompleted);

        Message answer = await reading;
        Assert.Equal((status, reason), (answer.Status, answer.Header("X-Gateway-Reason")));
        Assert.InRange(clock.Moved.TotalSeconds, 19, 50);
    }

    [Fact]
    public async Task A_client_that_leaves_under_an_interim_answer_is_no_mistake_of_ours()
    {
        TaskCompletionSource interim = new();
        TaskCompletionSource sent = new();
        TaskCompletionSource gone = new();
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadHeadAsync();
            await interim.Task;
            await connection.SendAsync("HTTP/1.1 103 Early Hints\r\n\r\n");
            sent.SetResult();
            await Wire.EndsAsync(connection);
            gone.SetResult();
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        RawConnection client = await lane.ConnectAsync();
        await client.SendAsync(Get);
        await EventuallyHttp.HoldsAsync(() => lane.Lane.Requests == 1 && instance.Accepted == 1, "the request is under way");

        // While the loops stand still the interim answer comes first and the reset second: the write finds out, not the event.
        using ManualResetEventSlim held = new();
        foreach (EventLoop loop in lane.Loops!.Loops)
        {
            loop.Post(_ => held.Wait(), null);
        }

        await EventuallyHttp.HoldsAsync(() => lane.Loops.Loops.All(loop => loop.Busy() is not null), "the loops stand still");
        interim.SetResult();
        await sent.Task.WaitAsync(EventuallyHttp.Deadline);
        client.Socket.LingerState = new System.Net.Sockets.LingerOption(true, 0);
        client.Dispose();
        held.Set();

        await gone.Task.WaitAsync(EventuallyHttp.Deadline);
        Assert.Equal("client-closed", (await lane.RecordAsync()).Reason);
        await EventuallyHttp.HoldsAsync(() => lane.Lane.Connections == 0 && lane.Lane.Requests == 0, "nothing is left");
        await lane.Loops.OnEachAsync(_ => { });
        Assert.Empty(lane.Log.Errors);
    }

    private static async Task MoveAsync(LaneUnderTest lane, MovedTime clock, TimeSpan by)
    {
        for (TimeSpan step = TimeSpan.Zero; step < by; step += TimeSpan.FromSeconds(1))
        {
            clock.Move(TimeSpan.FromSeconds(1));

            // Whatever it runs, a loop looks at its clock afterwards; twice, so that what became due has been done.
            await lane.Loops!.OnEachAsync(_ => { });
            await lane.Loops.OnEachAsync(_ => { });
        }
    }

    private static async Task MoveUntilAsync(LaneUnderTest lane, MovedTime clock, Func<bool> condition)
    {
        await lane.Loops!.OnEachAsync(_ => { });
        while (!condition() && clock.Moved < TimeSpan.FromMinutes(2))
        {
            await MoveAsync(lane, clock, TimeSpan.FromSeconds(1));
            await Task.Yield();
            await Task.Delay(2);
        }
    }

    /// <summary>Real time and what the test adds.</summary>
    private sealed class MovedTime : TimeProvider
    {
        private long _moved;

        public TimeSpan Moved => TimeSpan.FromTicks(Interlocked.Read(ref _moved));

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public void Move(TimeSpan by) => Interlocked.Add(ref _moved, by.Ticks);

        public override long GetTimestamp() => TimeProvider.System.GetElapsedTime(0).Ticks + Interlocked.Read(ref _moved);

        public override DateTimeOffset GetUtcNow() => TimeProvider.System.GetUtcNow() + Moved;
    }
}
