using System.Text.Json;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Commands;

/// <summary>
/// SPEC §1, §8. Goal: the tables of a running gateway over its unix socket, for people and for machines, and the admin address
/// that only reads. Method: one gateway with two services, every command with and without <c>--json</c>.
/// </summary>
public sealed class ViewTests
{
    [Fact]
    public async Task Tables_and_their_json_show_the_running_gateway()
    {
        await using Scenario scenario = await Scenario.Start();
        foreach ((string command, string expected) in new[]
        {
            ("status", scenario.Gateway.Pid.ToString()),
            ("services", "web"),
            ("routes", scenario.HttpPort.ToString()),
            ("listeners", scenario.TcpPort.ToString()),
        })
        {
            CommandResult table = await scenario.Gateway.Command(command);
            Assert.True(table.Exit == 0, table.All);
            Assert.Contains(expected, table.Out, StringComparison.Ordinal);
            JsonElement json = await scenario.Gateway.CommandJson(command);
            Assert.Contains(expected, json.GetRawText(), StringComparison.Ordinal);
            Assert.Equal(command == "status" ? JsonValueKind.Object : JsonValueKind.Array, json.ValueKind);
        }

        Assert.Equal(JsonValueKind.Array, (await scenario.Gateway.CommandJson("problems")).ValueKind);
        Assert.Equal(0, (await scenario.Gateway.Command("problems")).Exit);

        JsonElement status = await scenario.Gateway.CommandJson("status");
        Assert.Equal(scenario.Gateway.Pid, status.GetProperty("pid").GetInt32());
        Assert.Equal(1, status.GetProperty("generation").GetInt32());
        Assert.Equal("ready", status.GetProperty("state").GetString());
        Assert.False(string.IsNullOrEmpty(status.GetProperty("version").GetString()));
        Assert.True(status.GetProperty("startedAt").GetDateTimeOffset() <= DateTimeOffset.UtcNow);
        Assert.Equal(JsonValueKind.Null, status.GetProperty("previous").ValueKind);
    }

    [Fact]
    public async Task One_service_can_be_asked_for_and_the_dump_is_a_catalog_file()
    {
        await using Scenario scenario = await Scenario.Start();
        Assert.DoesNotContain("echo-1", (await scenario.Gateway.Command("services", "web")).Out, StringComparison.Ordinal);
        Assert.Equal(0, (await scenario.Gateway.Command("services", "web@production")).Exit);
        Assert.Equal(1, (await scenario.Gateway.Command("services", "nobody")).Exit);

        CommandResult dump = await scenario.Gateway.Command("services", "--dump");
        Assert.True(dump.Exit == 0, dump.All);
        string file = Path.Combine(scenario.Gateway.Folder, "dump.yaml");
        await File.WriteAllTextAsync(file, dump.Out);
        CommandResult check = await GatewayProcess.Run(["check", "--config", scenario.Gateway.ConfigFile, "--catalog", file]);
        Assert.True(check.Exit == 0, check.All);
    }

    [Fact]
    public async Task Without_a_gateway_every_command_is_exit_1_and_says_where_it_looked()
    {
        string folder = Directory.CreateTempSubdirectory("gwt-").FullName;
        foreach (string command in new[] { "status", "services", "routes", "listeners", "problems", "doctor", "reload", "stop" })
        {
            CommandResult result = await GatewayProcess.Run([command, "--state", folder]);
            Assert.True(result.Exit == 1, $"{command}: exit {result.Exit}\n{result.All}");
            Assert.Contains(folder, result.All, StringComparison.Ordinal);
        }

        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task Help_is_complete_and_names_no_command_that_is_not_built()
    {
        CommandResult help = await GatewayProcess.Run(["--help"]);
        Assert.Equal(0, help.Exit);
        foreach (string command in new[] { "run", "dev", "check", "status", "services", "routes", "listeners", "problems", "doctor", "reload", "stop" })
        {
            Assert.Contains(command, help.Out, StringComparison.Ordinal);
            CommandResult own = await GatewayProcess.Run([command, "--help"]);
            Assert.True(own.Exit == 0, own.All);
        }

        foreach (string later in new[] { "plan", "explain", "upgrade", "import", "top" })
        {
            CommandResult result = await GatewayProcess.Run([later]);
            if (result.Exit != 2)
            {
                continue;   // built by now
            }

            Assert.DoesNotContain($"\n  {later} ", help.Out, StringComparison.Ordinal);
            Assert.Contains("not built", result.All, StringComparison.OrdinalIgnoreCase);
        }
    }

    [Fact]
    public async Task Admin_address_answers_health_and_metrics_and_only_reads()
    {
        await using Scenario scenario = await Scenario.Start();
        int admin = scenario.Gateway.AdminPort;
        Assert.Equal(200, (await Wire.Get(admin, "/livez")).Status);
        Assert.Equal("ready", (await scenario.Gateway.Readiness()).Text);
        string metrics = await scenario.Gateway.Metrics();
        foreach (string name in new[] { "gateway_requests_total", "gateway_destination_up", "gateway_plan_applies_total", "process_", "dotnet_" })
        {
            Assert.Contains(name, metrics, StringComparison.Ordinal);
        }

        using CancellationTokenSource deadline = new(Eventually.Seconds(20));
        using Wire wire = await Wire.Connect(admin, cancel: deadline.Token);
        WireAnswer write = await wire.Exchange(
            Wire.Request("POST", "/api/v1/stop", $"127.0.0.1:{admin}", "Content-Length: 0", "Connection: close"), deadline.Token);
        Assert.Equal(403, write.Status);
        Assert.Equal(200, (await Wire.Get(scenario.HttpPort)).Status);
    }

    [Fact]
    public async Task Admin_address_refuses_foreign_host_names_but_not_for_health()
    {
        await using Scenario scenario = await Scenario.Start();
        int admin = scenario.Gateway.AdminPort;
        WireAnswer rebound = await Wire.Get(admin, "/api/v1/status", host: "evil.example");
        Assert.True(rebound.Status is 403 or 421, $"{rebound.Status}");
        foreach (string path in new[] { "/livez", "/readyz", "/metrics" })
        {
            Assert.Equal(200, (await Wire.Get(admin, path, host: "anything.example")).Status);
        }

        Assert.Equal(200, (await Wire.Get(admin, "/api/v1/status", host: $"localhost:{admin}")).Status);
    }

    [Fact]
    public async Task Socket_is_for_its_owner_only()
    {
        await using Scenario scenario = await Scenario.Start();
        string socket = Path.Combine(scenario.Gateway.StateDirectory, "run", "gateway.sock");
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(socket));
    }
}
