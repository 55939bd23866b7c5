using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B3. Goal: a listen tag added to a running service opens its ports and touches no connection on the others. Method: an event
/// stream and an idle keep-alive connection on the first port live across the change.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B03AddedTagTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Added_listen_tag_opens_both_ports_and_touches_no_connection()
    {
        int first = Ports.Production();
        int second = Ports.Production();
        NodeServer server = await platform.Serve("b03", "one", "production", $"internal-listen-http-{first}");
        await Platform.Serves(first, "one");

        using CancellationTokenSource deadline = new(Eventually.Seconds(40));
        using Wire idle = await Wire.Connect(first, cancel: deadline.Token);
        string request = Wire.Request("GET", "/", "kept");
        Assert.Equal(200, (await idle.Exchange(request, deadline.Token)).Status);
        using EventStream events = await EventStream.Open(first, deadline.Token);
        await events.Next(deadline.Token);

        await platform.Consul.Register(server.AsService("b03", "production", $"internal-listen-http-{first}", $"internal-listen-http-{second}"));
        await Platform.Serves(second, "one");
        await Platform.Answers(10_000 + second, 503);

        for (int i = 0; i < 5; i++)
        {
            await events.Next(deadline.Token);
        }

        Assert.Equal(200, (await idle.Exchange(request, deadline.Token)).Status);
        Assert.Equal(0, await platform.Gateway.Metric("gateway_connections_closed_by_apply_total"));
    }
}
