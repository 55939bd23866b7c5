using System.Text;

namespace Gateway.BlackBoxTests.Harness;

/// <summary>
/// A gateway without Consul: one HTTP and one TCP service from a file catalog, for promises of the process itself that must not
/// depend on an agent.
/// </summary>
internal sealed class Scenario : IAsyncDisposable
{
    private Scenario(NodeServer server, GatewayProcess gateway, int httpPort, int tcpPort) =>
        (Server, Gateway, HttpPort, TcpPort) = (server, gateway, httpPort, tcpPort);

    public NodeServer Server { get; }

    public GatewayProcess Gateway { get; }

    public int HttpPort { get; }

    public int TcpPort { get; }

    /// <summary>What every configuration of a scenario begins with; <paramref name="more"/> follows.</summary>
    public static string Configuration(string more = "") =>
        """
        catalog: { files: [catalog.yaml], portGrace: 300ms }
        """ + "\n" + more;

    /// <summary>The file catalog: registrations as Consul takes them.</summary>
    public static string Catalog(params Registration[] registrations)
    {
        StringBuilder text = new("services:\n");
        foreach (Registration one in registrations)
        {
            text.Append($"  - {{ Name: {one.Name}, ID: {one.Id}, Address: {one.Address}, Port: {one.Port}, ")
                .Append($"Tags: [{string.Join(", ", one.Tags.Select(static tag => $"\"{tag}\""))}] }}\n");
        }

        return text.ToString();
    }

    /// <summary>
    /// Starts it: HTTP on P for production (and for an environment <c>canary</c>, should the configuration name one), TCP beside.
    /// </summary>
    public static async Task<Scenario> Start(string more = "")
    {
        NodeServer server = await NodeServer.Start("static", tcp: true);
        int http = Ports.Production();
        int tcp = Ports.Production();
        try
        {
            GatewayProcess gateway = await GatewayProcess.StartReady(
                Configuration(more),
                files: ("catalog.yaml", Catalog(
                    server.AsService("web", "production", "canary", $"internal-listen-http-{http}", "gateway-check=none"),
                    new Registration("echo", "echo-1", server.TcpPort, "production", $"internal-listen-tcp-{tcp}", "gateway-check=none"))));
            await Platform.Serves(http, "static");
            await Eventually.True(() => Wire.Accepts(tcp), "the TCP port opens");
            return new Scenario(server, gateway, http, tcp);
        }
        catch
        {
            server.Dispose();
            throw;
        }
    }

    public ValueTask DisposeAsync()
    {
        Gateway.Dispose();
        Server.Dispose();
        return ValueTask.CompletedTask;
    }
}
