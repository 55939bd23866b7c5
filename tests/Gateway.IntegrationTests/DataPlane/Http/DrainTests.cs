using System.Net;
using Gateway.Planning;

namespace Gateway.IntegrationTests.DataPlane.Http;

/// <summary>Plans that change and lanes that end, under requests.</summary>
public abstract class DrainTests(Engine engine) : LaneTests(engine)
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    [Fact]
    public async Task A_request_keeps_what_it_began_with_and_the_next_goes_by_the_new_plan()
    {
        TaskCompletionSource answer = new();
        await using RawInstance old = new(async connection =>
        {
            await connection.ReadHeadAsync();
            await answer.Task;
            await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold");
            await connection.ReadToEndAsync();
        });
        await using RawInstance fresh = RawInstance.Answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew");
        await using LaneUnderTest lane = await StartAsync(old.EndPoint);
        using RawConnection first = await lane.ConnectAsync();
        using RawConnection second = await lane.ConnectAsync();

        await first.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        await EventuallyHttp.HoldsAsync(() => old.Accepted == 1, "the old instance has the request");
        ClusterPlan other = LaneUnderTest.Cluster(fresh.EndPoint) with { Id = "other@production", Service = "other" };
        RoutePlan moved = lane.Plan.Routes[0] with { Cluster = other.Id };
        lane.Publish(
            lane.Plan with { Clusters = [other], Routes = [moved] },
            new PlanDiff
            {
                ClustersAdded = [other],
                ClustersRemoved = [.. lane.Plan.Clusters],
                RoutesChanged = [new Change<RoutePlan>(lane.Plan.Routes[0], moved)],
            });
        await second.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        Assert.Equal("new", (await second.ReadMessageAsync()).Body);
        answer.SetResult();
        Assert.Equal("old", (await first.ReadMessageAsync()).Body);

        // Same client connection, next request: the new plan.
        await first.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        Assert.Equal("new", (await first.ReadMessageAsync()).Body);
    }

    [Fact]
    public async Task A_changed_cluster_keeps_the_connections_to_those_who_stay()
    {
        await using RawInstance instance = RawInstance.Answering(Ok);
        await using RawInstance another = RawInstance.Answering(Ok);
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();

        for (int i = 0; i < 10; i++)
        {
            await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            Assert.Equal("ok", (await client.ReadMessageAsync()).Body);
            lane.Change(i % 2 == 0 ? LaneUnderTest.Cluster(instance.EndPoint, another.EndPoint) : LaneUnderTest.Cluster(instance.EndPoint));
        }

        Assert.Equal(1, instance.Accepted);
    }

    [Fact]
    public async Task Draining_tells_responses_in_flight_and_later_ones_to_close()
    {
        TaskCompletionSource answer = new();
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadHeadAsync();
            await answer.Task;
            await connection.SendAsync(Ok);
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection busy = await lane.ConnectAsync();
        using RawConnection fresh = await lane.ConnectAsync();

        await busy.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        await EventuallyHttp.HoldsAsync(() => instance.Accepted == 1, "the request is in flight");
        lane.Lane.BeginDrain();
        answer.SetResult();

        (string head, string body) = await busy.ReadMessageAsync();
        Assert.Equal("close", RawConnection.Header(head, "Connection"));
        Assert.Equal("ok", body);
        Assert.Equal("", await busy.ReadToEndAsync());
        await fresh.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        Assert.Equal("close", RawConnection.Header((await fresh.ReadMessageAsync()).Head, "Connection"));
    }

    [Fact]
    public async Task A_closed_port_tells_its_own_connections_only_and_lets_idle_ones_go()
    {
        await using RawInstance instance = RawInstance.Answering(Ok);
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        using RawConnection idle = await lane.ConnectAsync();
        foreach (RawConnection one in new[] { client, idle })
        {
            await one.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            Assert.Null(RawConnection.Header((await one.ReadMessageAsync()).Head, "Connection"));
        }

        lane.Listener.Closing = true;
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        Assert.Equal("close", RawConnection.Header((await client.ReadMessageAsync()).Head, "Connection"));
        Assert.Equal("", await idle.ReadToEndAsync());
    }

    [Fact]
    public async Task Draining_sends_GOAWAY_and_finishes_the_streams()
    {
        TaskCompletionSource answer = new();
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadHeadAsync();
            await answer.Task;
            await connection.SendAsync(Ok);
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using HttpClient client = new()
        {
            BaseAddress = lane.Url,
            DefaultRequestVersion = HttpVersion.Version20,
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };

        Task<string> asking = client.GetStringAsync("/");
        await EventuallyHttp.HoldsAsync(() => instance.Accepted == 1, "the stream is open");
        lane.Lane.BeginDrain();
        answer.SetResult();

        Assert.Equal("ok", await asking);
        await EventuallyHttp.HoldsAsync(() => lane.Lane.Connections == 0, "the connection has ended");
    }

    [Fact]
    public async Task Idle_connections_close_politely_and_new_or_busy_ones_stay()
    {
        TaskCompletionSource answer = new();
        await using RawInstance instance = new(async connection =>
        {
            string head = await connection.ReadHeadAsync();
            if (head.StartsWith("GET /slow", StringComparison.Ordinal))
            {
                await answer.Task;
            }

            await connection.SendAsync(Ok);
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection idle = await lane.ConnectAsync();
        using RawConnection fresh = await lane.ConnectAsync();
        using RawConnection busy = await lane.ConnectAsync();
        await idle.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        await idle.ReadMessageAsync();
        await busy.SendAsync("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
        await EventuallyHttp.HoldsAsync(() => lane.Lane.Connections == 3 && lane.Lane.Requests == 1, "three connections");

        Assert.Equal(0, await lane.Lane.CloseIdleAsync(TimeSpan.FromHours(1)));
        await EventuallyHttp.HoldsAsync(async () => await lane.Lane.CloseIdleAsync(TimeSpan.Zero) == 1, "the idle one is found");
        Assert.Equal("", await idle.ReadToEndAsync());
        answer.SetResult();
        Assert.Equal("ok", (await busy.ReadMessageAsync()).Body);
        await fresh.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        Assert.Equal("ok", (await fresh.ReadMessageAsync()).Body);
    }

    [Fact]
    public async Task Aborting_counts_what_it_ends_by_state()
    {
        await using RawInstance instance = new(async connection =>
        {
            if ((await connection.ReadHeadAsync()).StartsWith("GET /slow", StringComparison.Ordinal))
            {
                await connection.ReadToEndAsync();
            }

            await connection.SendAsync(Ok);
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection idle = await lane.ConnectAsync();
        using RawConnection fresh = await lane.ConnectAsync();
        using RawConnection busy = await lane.ConnectAsync();
        await idle.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        await idle.ReadMessageAsync();
        await busy.SendAsync("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
        await EventuallyHttp.HoldsAsync(() => lane.Lane.Connections == 3 && lane.Lane.Requests == 1, "three connections");

        IReadOnlyDictionary<string, int> closed = await lane.Lane.AbortAllAsync();

        Assert.Equal(["idle=1", "new=1", "request=1"], closed.Select(pair => $"{pair.Key}={pair.Value}").Order());
        await EventuallyHttp.HoldsAsync(() => lane.Lane.Connections == 0, "all are gone");
    }

    [Fact]
    public async Task Ending_with_a_half_sent_request_and_an_open_tunnel_takes_no_time()
    {
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadHeadAsync();
            await connection.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
            await connection.ReadToEndAsync();
        });
        LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection half = await lane.ConnectAsync();
        using RawConnection tunnel = await lane.ConnectAsync();
        await half.SendAsync("GET / HTTP/1.1\r\nHo");
        await tunnel.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        Assert.Equal(101, RawConnection.Status(await tunnel.ReadHeadAsync()));

        await lane.DisposeAsync().AsTask().WaitAsync(EventuallyHttp.Deadline);
    }
}

/// <inheritdoc/>
public sealed class DrainOnKestrelTests() : DrainTests(Engine.Kestrel);

/// <inheritdoc/>
public sealed class DrainOnLoopsTests() : DrainTests(Engine.Loops);
