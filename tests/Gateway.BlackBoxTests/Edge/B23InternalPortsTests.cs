using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Edge;

/// <summary>
/// B23, T22. Goal: an edge host has its internal ports too, on loopback only, unchanged by the edge; and the edge's own ports are
/// nobody else's. Method: one service with both tags, another that asks for the edge's port.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B23InternalPortsTests(EdgePlatform edge) : IClassFixture<EdgePlatform>
{
    [ConsulFact]
    public async Task Internal_ports_open_beside_the_edge_and_stay_as_they_are()
    {
        int port = Ports.Production();
        await edge.Serve("b23", "one", "production", $"internal-listen-http-{port}", "external-host-b23.domain.com");
        await Platform.Serves(port, "one");
        await edge.Serves("b23.domain.com", "one");

        // Any host on an internal port, no edge headers on it, the client's own ones appended to and kept.
        WireAnswer answer = await Wire.Get(port, "/", "whatever", headers: ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: gopher"]);
        Assert.Equal("6.6.6.6, 127.0.0.1", string.Join(", ", answer.Received("X-Forwarded-For")));
        Assert.Equal(["gopher"], answer.Received("X-Forwarded-Proto"));
        Assert.Empty(answer.Received("X-Real-IP"));
        Assert.Null(answer.Header("Strict-Transport-Security"));

        // The edge is on every address, the internal port on loopback only (T22).
        Assert.True(await Wire.Accepts(edge.Http, "127.0.0.3"));
        Assert.False(await Wire.Accepts(port, "127.0.0.3"));
    }

    [ConsulFact]
    public async Task A_service_that_asks_for_the_edges_port_does_not_get_it()
    {
        await edge.Serve("b23-greedy", "greedy", "production", $"internal-listen-http-{edge.Http}");
        await edge.Gateway.Problem("port-taken", "b23-greedy", "the edge");
        Assert.Equal(404, (await edge.Get(tls: false, "greedy.domain.com")).Answer.Status);
    }
}
