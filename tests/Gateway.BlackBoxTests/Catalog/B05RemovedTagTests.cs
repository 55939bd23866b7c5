using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B5. Goal: a removed tag closes its port once <c>portGrace</c> is over; what is in flight there goes on to its own end.
/// Method: an event stream, a slow request and a TCP relay live across the removal and after the port has begun to refuse.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B05RemovedTagTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Removed_listen_tag_closes_the_port_and_requests_in_flight_finish()
    {
        int kept = Ports.Production();
        int removed = Ports.Production();
        NodeServer server = await platform.Serve(
            "b05", "one", "production", $"internal-listen-http-{kept}", $"internal-listen-http-{removed}");
        await Platform.Serves(kept, "one");
        await Platform.Serves(removed, "one");

        using CancellationTokenSource deadline = new(Eventually.Seconds(60));
        using EventStream events = await EventStream.Open(removed, deadline.Token, every: 50, count: 100);
        Task<WireAnswer> slow = Wire.Get(removed, "/slow?ms=4000");
        await events.Next(deadline.Token);

        await platform.Consul.Register(server.AsService("b05", "production", $"internal-listen-http-{kept}"));
        await Platform.Closed(removed);
        await Platform.Closed(10_000 + removed);
        Assert.True(await events.EndsWell(deadline.Token), "the stream was cut");
        Assert.Equal(200, (await slow).Status);
        await Platform.Serves(kept, "one");
    }

    [ConsulFact]
    public async Task Last_listen_tag_of_a_service_with_many_instances_closes_its_port_too()
    {
        // Nobody was deregistered, so there is nothing for the guard to hold.
        int port = Ports.Production();
        NodeServer server = platform.Keep(await NodeServer.Start("many"));
        async Task Register(params string[] tags)
        {
            for (int i = 1; i <= 4; i++)
            {
                await platform.Consul.Register(new Registration("b05-many", $"b05-many-{i}", server.Port, tags));
            }
        }

        await Register("production", $"internal-listen-http-{port}");
        await Platform.Serves(port, "many");
        await Eventually.True(
            async () => (await Wire.Get(platform.Gateway.AdminPort, "/api/v1/destinations")).Json.RootElement.EnumerateArray()
                .Count(d => d.GetProperty("instance").GetString()!.Contains("b05-many", StringComparison.Ordinal) && d.GetProperty("usable").GetBoolean()) >= 4,
            "all four are destinations");
        await Register("production");
        await Platform.Closed(port);
        Assert.DoesNotContain(await platform.Gateway.Problems(), p => GatewayProcess.Plain(p).Contains("b05-many", StringComparison.Ordinal));
    }

    [ConsulFact]
    public async Task Deregistered_service_closes_its_ports_and_its_relays_go_on()
    {
        int port = Ports.Production();
        NodeServer server = platform.Keep(await NodeServer.Start("relay", tcp: true));
        await platform.Consul.Register(new Registration("b05-tcp", "b05-tcp-1", server.TcpPort, "production", $"internal-listen-tcp-{port}"));
        await Eventually.True(() => Wire.Accepts(port), "the port opens");
        using CancellationTokenSource deadline = new(Eventually.Seconds(60));
        using Wire wire = await Wire.Connect(port, cancel: deadline.Token);
        await wire.Send("before", deadline.Token);
        Assert.Equal("before"u8.ToArray(), await wire.ReadBytes(6, deadline.Token));

        await platform.Consul.Deregister("b05-tcp-1");
        await Platform.Closed(port);
        await wire.Send("after!", deadline.Token);
        Assert.Equal("after!"u8.ToArray(), await wire.ReadBytes(6, deadline.Token));
    }

    [ConsulFact]
    public async Task Tag_that_comes_back_within_the_grace_never_closes_the_port()
    {
        int port = Ports.Production();
        NodeServer server = await platform.Serve("b05-flap", "one", "production", $"internal-listen-http-{port}");
        await Platform.Serves(port, "one");
        using CancellationTokenSource deadline = new(Eventually.Seconds(30));
        using Wire idle = await Wire.Connect(port, cancel: deadline.Token);
        await idle.Exchange(Wire.Request("GET", "/", "kept"), deadline.Token);

        await platform.Consul.Register(server.AsService("b05-flap", "production"));
        await platform.Consul.Register(server.AsService("b05-flap", "production", $"internal-listen-http-{port}"));
        await Platform.Serves(port, "one");
        await Eventually.True(
            async () => (await idle.Exchange(Wire.Request("GET", "/", "kept"), deadline.Token)).Status == 200, "the kept connection serves");
    }
}
