using System.Net;
using System.Text;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// SPEC §3. Goal: with nothing but Gateway on the machine, <c>curl</c> and registrators find Consul's API, what they register is
/// routed, and it survives a kill. Method: the embedded catalog told by HTTP and by the consul program; SIGKILL right after an
/// acknowledged registration.
/// </summary>
public sealed class EmbeddedCatalogTests
{
    [Fact]
    public async Task Registration_over_http_is_routed_and_survives_a_kill()
    {
        using NodeServer server = await NodeServer.Start("one");
        int catalog = Ports.Any(), first = Ports.Production(), second = Ports.Production();
        using GatewayProcess gateway = await GatewayProcess.StartReady(Configuration(catalog));
        await Register(catalog, "first", server.Port, first);
        await Platform.Serves(first, "one");
        await Register(catalog, "second", server.Port, second);

        gateway.KillAndStart();
        await Platform.Serves(first, "one");
        await Platform.Serves(second, "one");
        Assert.Contains("second-1", (await Wire.Get(catalog, "/v1/agent/services")).Text, StringComparison.Ordinal);

        using HttpClient client = new();
        using HttpResponseMessage gone = await client.PutAsync($"http://127.0.0.1:{catalog}/v1/agent/service/deregister/second-1", null);
        Assert.Equal(HttpStatusCode.OK, gone.StatusCode);
        await Platform.Closed(second);
        await Platform.Serves(first, "one");
    }

    [ConsulFact]
    public async Task Consul_program_registers_and_deregisters_here_too()
    {
        using NodeServer server = await NodeServer.Start("one");
        int catalog = Ports.Any(), port = Ports.Production();
        using GatewayProcess gateway = await GatewayProcess.StartReady(Configuration(catalog));
        string file = Path.Combine(gateway.Folder, "web.json");
        await File.WriteAllTextAsync(
            file,
            $$"""{ "service": { "name": "web", "id": "web-1", "address": "127.0.0.1", "port": {{server.Port}}, "tags": ["production", "internal-listen-http-{{port}}"] } }""");
        CommandResult registered = await Consul("services", "register", $"-http-addr=127.0.0.1:{catalog}", file);
        Assert.True(registered.Exit == 0, registered.All);
        await Platform.Serves(port, "one");
        CommandResult listed = await Consul("catalog", "services", $"-http-addr=127.0.0.1:{catalog}");
        Assert.Contains("web", listed.Out, StringComparison.Ordinal);
        CommandResult maintenance = await Consul("maint", "-enable", "-service=web-1", $"-http-addr=127.0.0.1:{catalog}");
        Assert.True(maintenance.Exit == 0, maintenance.All);
        await Platform.Answers(port, 503);
        CommandResult deregistered = await Consul("services", "deregister", $"-http-addr=127.0.0.1:{catalog}", "-id=web-1");
        Assert.True(deregistered.Exit == 0, deregistered.All);
        await Platform.Closed(port);
    }

    private static string Configuration(int catalog) =>
        $$"""
        catalog: { embedded: { listen: "127.0.0.1:{{catalog}}" }, portGrace: 300ms }
        """;

    private static Task<CommandResult> Consul(params string[] arguments) => ChildProcess.Run(Repository.Which("consul")!, arguments);

    private static async Task Register(int catalog, string name, int port, int listen)
    {
        using HttpClient client = new();
        using StringContent body = new(
            $$"""{"Name":"{{name}}","ID":"{{name}}-1","Address":"127.0.0.1","Port":{{port}},"Tags":["production","internal-listen-http-{{listen}}"]}""",
            Encoding.UTF8,
            "application/json");
        using HttpResponseMessage answer = await client.PutAsync($"http://127.0.0.1:{catalog}/v1/agent/service/register", body);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
    }
}
