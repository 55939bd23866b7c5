using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Commands;

/// <summary>
/// SPEC §1. Goal: the program's words and exit codes hold for good and bad arguments alike. Method: each command is run as an
/// operator would, with nothing behind it.
/// </summary>
public sealed class ArgumentTests
{
    private static readonly string[] s_built =
        ["run", "dev", "check", "status", "services", "routes", "listeners", "problems", "doctor", "reload", "stop"];

    [Fact]
    public async Task Help_is_complete_and_names_nothing_that_is_not_built()
    {
        CommandResult all = await GatewayProcess.Run(["--help"]);
        Assert.Equal(0, all.Exit);
        foreach (string command in s_built)
        {
            Assert.Contains($"  {command} ", all.Out, StringComparison.Ordinal);
            CommandResult one = await GatewayProcess.Run([command, "--help"]);
            Assert.True(one.Exit == 0, one.All);
            Assert.Contains("Usage:", one.Out, StringComparison.Ordinal);
            Assert.DoesNotContain("takeover", one.All, StringComparison.Ordinal);
        }

        foreach (string command in (string[])["plan", "events", "sessions", "top", "explain", "drain", "ready", "maint", "upgrade", "import"])
        {
            Assert.DoesNotContain($"  {command} ", all.Out, StringComparison.Ordinal);
            CommandResult one = await GatewayProcess.Run([command]);
            Assert.Equal(2, one.Exit);
            Assert.Contains("not built yet", one.All, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Without_arguments_it_is_exit_2_and_shows_the_commands()
    {
        CommandResult none = await GatewayProcess.Run([]);
        Assert.Equal(2, none.Exit);
        Assert.Contains("status", none.All, StringComparison.Ordinal);
        Assert.Empty(none.Out);
    }

    [Fact]
    public async Task A_word_that_is_no_command_is_named_once()
    {
        CommandResult bad = await GatewayProcess.Run(["frobnicate"]);
        Assert.Equal(2, bad.Exit);
        Assert.Contains("'frobnicate'", bad.All, StringComparison.Ordinal);
        Assert.DoesNotContain("Required command", bad.All, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Unreachable_gateway_is_exit_1_naming_the_socket()
    {
        foreach (string command in (string[])["status", "services", "routes", "listeners", "problems", "reload", "stop"])
        {
            CommandResult result = await GatewayProcess.Run([command, "--state", "/no/such/directory"]);
            Assert.Equal(1, result.Exit);
            Assert.Contains("/no/such/directory/run/gateway.sock: there is no such socket", result.All, StringComparison.Ordinal);
        }

        // The doctor says more than that.
        CommandResult doctor = await GatewayProcess.Run(["doctor", "--state", "/no/such/directory"]);
        Assert.Equal(1, doctor.Exit);
        Assert.Contains("/no/such/directory/run/gateway.sock", doctor.All, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_bad_configuration_file_never_makes_a_command_speak_to_another_gateway()
    {
        await using Scenario scenario = await Scenario.Start("");
        Dictionary<string, string?> found = new() { ["GATEWAY__STATEDIRECTORY"] = scenario.Gateway.StateDirectory };
        CommandResult usual = await GatewayProcess.Run(["status"], found);
        Assert.True(usual.Exit == 0, usual.All);

        CommandResult stop = await GatewayProcess.Run(["stop", "--config", "/no/such/file.yaml"], found);
        Assert.Equal(2, stop.Exit);
        Assert.Contains("/no/such/file.yaml", stop.All, StringComparison.Ordinal);
        Assert.Equal(200, (await Wire.Get(scenario.HttpPort)).Status);
        Assert.Equal(200, (await scenario.Gateway.Readiness()).Status);
    }
}
