using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Traffic;

/// <summary>
/// Goal: each event reaches the client when it is sent, not when the stream ends; a client that leaves ends the stream at the
/// instance too. Method: an endless stream, read event by event; the instance's own count of open streams is its TCP state.
/// </summary>
[Trait("Needs", "consul")]
public sealed class ServerSentEventsTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Events_come_one_by_one_and_a_finite_stream_ends_whole()
    {
        int port = Ports.Production();
        await platform.Serve("sse", "sse", "production", $"internal-listen-http-{port}");
        await Platform.Serves(port, "sse");
        using CancellationTokenSource deadline = new(Eventually.Seconds(30));

        // An hour between events: the first arrives only if nothing waits for the second.
        using (EventStream rare = await EventStream.Open(port, deadline.Token, every: 3_600_000))
        {
            Assert.Equal(1, await rare.Next(deadline.Token));
        }

        using EventStream events = await EventStream.Open(port, deadline.Token, every: 20, count: 30);
        for (int i = 1; i <= 30; i++)
        {
            Assert.Equal(i, await events.Next(deadline.Token));
        }

        Assert.True(await events.EndsWell(deadline.Token));
    }
}
