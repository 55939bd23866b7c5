using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Commands;

/// <summary>
/// Issue 3 point 7, SPEC §1. Goal: at three in the morning <c>gateway doctor</c> names what is wrong, since when, whose fault it is and
/// what to do next, also where no gateway runs. Method: the built program with a bad tag, a taken
/// port, a Consul that is killed, a service all of whose instances fail; then without a gateway at all.
/// </summary>
public sealed class DoctorTests
{
    [Fact]
    public async Task A_healthy_gateway_shows_what_was_checked_and_no_error()
    {
        await using Scenario scenario = await Scenario.Start();
        CommandResult doctor = await scenario.Gateway.Command("doctor");
        Assert.True(doctor.Exit == 0, doctor.All);
        Assert.Contains("checked:", doctor.Out, StringComparison.Ordinal);
        Assert.Contains($"pid {scenario.Gateway.Pid}", doctor.Out, StringComparison.Ordinal);
        Assert.DoesNotContain("ERROR", doctor.Out, StringComparison.Ordinal);

        // What this machine is worth depends on this machine; of the gateway nothing is found.
        JsonElement json = await scenario.Gateway.CommandJson("doctor");
        Assert.True(json.GetProperty("reached").GetBoolean());
        Assert.Equal(0, json.GetProperty("findings").EnumerateArray().Count(f => f.GetProperty("fault").GetString() != "host"));
        if (json.GetProperty("findings").GetArrayLength() == 0)
        {
            Assert.Contains("no findings", doctor.Out, StringComparison.Ordinal);
        }

        Assert.Equal(200, (await Wire.Get(scenario.Gateway.AdminPort, "/api/v1/doctor")).Status);
    }

    [Fact]
    public async Task A_bad_tag_a_taken_port_and_a_failing_service_are_named_with_what_to_do()
    {
        using Socket taken = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        int takenPort = Ports.Production(), failingPort = Ports.Production(), web = Ports.Production(), nobody = Ports.Any();
        taken.Bind(new IPEndPoint(IPAddress.Loopback, takenPort));
        taken.Listen();
        using NodeServer server = await NodeServer.Start("one");
        using GatewayProcess gateway = await GatewayProcess.StartReady(
            Scenario.Configuration(),
            files: ("catalog.yaml", Scenario.Catalog(
                server.AsService("web", "production", $"internal-listen-http-{web}", "internal-listen-http-99999", "gateway-check=none"),
                server.AsService("blocked", "production", $"internal-listen-http-{takenPort}", "gateway-check=none"),
                new Registration("failing", "failing-1", nobody, "production", $"internal-listen-http-{failingPort}"))));

        await gateway.Problem("port-in-use", $":{takenPort}");
        JsonElement tag = await Finding(gateway, "port-invalid");
        Said(tag, "warning", "catalog", "internal-listen-http-99999");
        JsonElement port = await Finding(gateway, "port-in-use");
        Said(port, "error", "host", $"127.0.0.1:{takenPort}", $"pid {Environment.ProcessId}");
        JsonElement service = await Finding(gateway, "service-without-instance");
        Said(service, "error", "instance", "failing", $":{failingPort}", "failing-1", $"127.0.0.1:{nobody}", "refused", "/healthcheck");

        // The text says the same; since and the problem's own since agree, and stay over a replan.
        string since = tag.GetProperty("since").GetString()!;
        CommandResult text = await gateway.Command("doctor");
        Assert.True(text.Exit == 0, text.All);
        Assert.True(
            text.Out.IndexOf("service-without-instance", StringComparison.Ordinal) < text.Out.IndexOf("port-invalid", StringComparison.Ordinal), text.Out);
        Assert.Contains("  do:    ", text.Out, StringComparison.Ordinal);
        await File.WriteAllTextAsync(Path.Combine(gateway.Folder, "catalog.yaml"), Scenario.Catalog(
            server.AsService("web", "production", $"internal-listen-http-{web}", "internal-listen-http-99999", "gateway-check=none")));
        await Eventually.True(
            async () => !(await gateway.Command("doctor")).Out.Contains("service-without-instance", StringComparison.Ordinal), "the failing service is gone");
        Assert.Equal(since, (await Finding(gateway, "port-invalid")).GetProperty("since").GetString());
    }

    [ConsulFact]
    [Trait("Needs", "consul")]
    public async Task A_critical_check_and_a_killed_Consul_are_named_with_what_to_do()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        using NodeServer server = await NodeServer.Start("one");
        int port = Ports.Production();
        await consul.Register(server.AsService("web", "production", $"internal-listen-http-{port}", "gateway-check=none") with
        {
            Check = new { CheckID = "alive", Name = "web is alive", TTL = "1h", Status = "passing" },
        });
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(consul));
        await Platform.Serves(port);

        await consul.UpdateCheck("alive", "critical");
        await Platform.Answers(port, 503);
        JsonElement service = await Finding(gateway, "service-without-instance");
        Said(service, "error", "instance", "web", $":{port}", "Consul check 'web is alive' is critical");
        Assert.Contains("leader 127.0.0.1", (await gateway.Command("doctor")).Out, StringComparison.Ordinal);

        consul.Kill();
        JsonElement unreachable = await Finding(gateway, "consul-unreachable");
        Said(unreachable, "error", "consul", consul.Address, "start the Consul agent");
    }

    [Fact]
    public async Task Without_a_gateway_it_looks_at_the_machine_and_says_that_none_answers()
    {
        string folder = Directory.CreateTempSubdirectory("gwt-").FullName;
        using Socket taken = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        int admin = Ports.Any(), consul = Ports.Any();
        taken.Bind(new IPEndPoint(IPAddress.Loopback, admin));
        taken.Listen();
        string config = Path.Combine(folder, "gateway.yaml");
        await File.WriteAllTextAsync(config, $$"""
            catalog: { consul: { address: "http://127.0.0.1:{{consul}}" } }
            stateDirectory: {{folder}}/state
            admin: { listen: "127.0.0.1:{{admin}}" }
            """);
        CommandResult text = await GatewayProcess.Run(["doctor", "--config", config]);
        Assert.True(text.Exit == 1, text.All);
        Assert.StartsWith("ERROR  gateway-unreachable", text.Out, StringComparison.Ordinal);
        Assert.Contains("checked:", text.Out, StringComparison.Ordinal);
        Assert.Contains(folder, text.All, StringComparison.Ordinal);

        CommandResult machine = await GatewayProcess.Run(["doctor", "--config", config, "--json"]);
        Assert.Equal(1, machine.Exit);
        JsonElement json = JsonDocument.Parse(machine.Out).RootElement;
        Assert.False(json.GetProperty("reached").GetBoolean());
        JsonElement[] findings = [.. json.GetProperty("findings").EnumerateArray()];
        Said(findings.Single(f => Code(f) == "port-in-use"), "error", "host", $"127.0.0.1:{admin}", $"pid {Environment.ProcessId}", "admin");
        Said(findings.Single(f => Code(f) == "consul-unreachable"), "error", "consul", $"http://127.0.0.1:{consul}");

        await File.AppendAllTextAsync(config, "\nno-such-key: 1\n");
        CommandResult bad = await GatewayProcess.Run(["doctor", "--config", config]);
        Assert.Equal(1, bad.Exit);
        Assert.Contains("configuration-invalid", bad.Out, StringComparison.Ordinal);
        Assert.Contains("no-such-key", bad.Out, StringComparison.Ordinal);
        Directory.Delete(folder, recursive: true);
    }

    private static async Task<JsonElement> Finding(GatewayProcess gateway, string code)
    {
        JsonElement found = default;
        string last = "";
        await Eventually.True(
            async () =>
            {
                JsonElement json = await gateway.CommandJson("doctor");
                last = json.ToString();
                found = json.GetProperty("findings").EnumerateArray().FirstOrDefault(f => Code(f) == code);
                return found.ValueKind == JsonValueKind.Object;
            },
            $"the doctor finds {code}",
            now: () => last);
        return found;
    }

    private static string Code(JsonElement finding) => finding.GetProperty("code").GetString()!;

    private static void Said(JsonElement finding, string severity, string fault, params string[] parts)
    {
        string text = GatewayProcess.Plain(finding);
        Assert.Equal(severity, finding.GetProperty("severity").GetString());
        Assert.Equal(fault, finding.GetProperty("fault").GetString());
        Assert.All(parts, part => Assert.Contains(part, text, StringComparison.Ordinal));
        foreach (string field in (string[])["place", "what", "now", "do"])
        {
            Assert.False(string.IsNullOrWhiteSpace(finding.GetProperty(field).GetString()), $"{field}: {text}");
        }
    }
}
