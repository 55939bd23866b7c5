using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Lifecycle;

/// <summary>
/// SPEC §1, §7. Goal: what lies in the state directory never ends the process with a stack trace, and it ends with exit 0 whatever
/// happened to the directory meanwhile. Method: things are put in the way of its files, or taken away under it.
/// </summary>
public sealed class OddStateTests
{
    [Theory]
    [InlineData("gateway.sock")]
    [InlineData("gateway.lock")]
    [InlineData("gateway.pid")]
    public async Task A_directory_in_the_place_of_a_file_is_exit_2_with_advice(string name)
    {
        string folder = Directory.CreateTempSubdirectory("gwt-").FullName;
        try
        {
            string state = Path.Combine(folder, "state");
            Directory.CreateDirectory(Path.Combine(state, "run", name, "x"));
            string file = Path.Combine(folder, "gateway.yaml");
            await File.WriteAllTextAsync(
                file, $"catalog: {{ files: [none-*.yaml] }}\nstateDirectory: {state}\nadmin: {{ listen: \"127.0.0.1:{Ports.Any()}\" }}\n");
            CommandResult result = await GatewayProcess.Run(["run", "--config", file]);
            Assert.True(result.Exit == 2, $"exit {result.Exit}\n{result.All}");
            Assert.Contains(state, result.All, StringComparison.Ordinal);
            Assert.Contains("another", result.All, StringComparison.Ordinal);
            Assert.DoesNotContain("   at Gateway.", result.All, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task State_directory_removed_while_running_is_still_exit_0()
    {
        await using Scenario scenario = await Scenario.Start("drain: { grace: 0s, idle: 0s, timeout: 2s }");
        Directory.Delete(scenario.Gateway.StateDirectory, recursive: true);
        Assert.Equal(200, (await Wire.Get(scenario.HttpPort)).Status);
        scenario.Gateway.Send(Signal.Terminate);
        Assert.Equal(0, await scenario.Gateway.WaitForExit(15));
    }

    [Fact]
    public async Task Runtime_metrics_are_clean_by_the_rules_of_Prometheus()
    {
        await using Scenario scenario = await Scenario.Start("");
        string metrics = await scenario.Gateway.Metrics();
        string[] types = [.. metrics.Split('\n').Where(static l => l.StartsWith("# TYPE ", StringComparison.Ordinal))];
        Assert.NotEmpty(types);
        Assert.DoesNotContain(types, static t => t.Contains("_count gauge", StringComparison.Ordinal) || t.Contains("_total gauge", StringComparison.Ordinal));
        Assert.All(
            types.Where(static t => t.EndsWith(" counter", StringComparison.Ordinal)),
            static t => Assert.Contains("_total counter", t, StringComparison.Ordinal));
        Assert.Contains("# TYPE dotnet_thread_pool_threads gauge", metrics, StringComparison.Ordinal);
    }
}
