using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Bench;

/// <summary>
/// Goal: the bench suite runs, and every one of its loads passes through every target without a failed request. Method: its short
/// form with the programs built beside these tests; speed is not looked at.
/// </summary>
[Collection(Alone.Name)]
[Trait("Needs", "load-tools")]
public sealed class BenchSuiteTests
{
    private static readonly string[] s_programs = ["node", "wrk", "h2load", "haproxy", "nginx", "openssl", "curl"];

    [Fact]
    public async Task Short_form_passes_every_load_through_every_target()
    {
        string[] missing = [.. s_programs.Where(static program => Repository.Which(program) is null)];
        Assert.SkipUnless(missing.Length == 0, $"{string.Join(", ", missing)} is not installed (tests/run.sh installs it): the bench suite was not run");
        string yarp = Path.Combine(Repository.Root, "bench", "Gateway.StockYarp", "bin", Repository.Configuration, "net10.0");
        CommandResult result = await ChildProcess.Run(
            Path.Combine(Repository.Root, "bench", "run.sh"),
            ["--short", "--gateway", Path.GetDirectoryName(Repository.GatewayBinary)!, "--yarp", yarp],
            new Dictionary<string, string?> { ["DOTNET_ROOT"] = Repository.DotnetRoot },
            seconds: 150);
        TestContext.Current.TestOutputHelper?.WriteLine(result.All);
        Assert.True(result.Exit == 0, result.All);
        Assert.Matches(@"^[1-9]\d* loads ok, 0 failed", result.Out.Trim());
    }
}
