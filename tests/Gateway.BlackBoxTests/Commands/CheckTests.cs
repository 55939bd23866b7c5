using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Commands;

/// <summary>
/// SPEC §1. Goal: <c>gateway check</c> finds what would go wrong without binding anything: <c>FILE:LINE:COLUMN: error: …</c> on
/// standard output, exit 0 clean, 1 errors, 2 unreadable. Method: files with one mistake each.
/// </summary>
public sealed class CheckTests
{
    private const string Clean = "catalog: { files: [catalog.yaml] }\nstateDirectory: state\n";

    [Fact]
    public async Task Clean_file_is_exit_0()
    {
        CommandResult result = await Check(Clean + "services: { web: { balance: leastconn, check: { http: /up, interval: 5s } } }\n");
        Assert.True(result.Exit == 0, result.All);
        Assert.DoesNotContain("error:", result.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Repositorys_own_configuration_file_is_clean()
    {
        string file = Path.Combine(Repository.Root, "config", "gateway.yaml");
        Assert.True(File.Exists(file), "config/gateway.yaml is missing");
        CommandResult result = await GatewayProcess.Run(["check", "--config", file]);
        Assert.True(result.Exit == 0, result.All);
    }

    [Theory]
    [InlineData("drian: { grace: 1s }", 3, 1, "drain")]
    [InlineData("drain: { grace: 1s, tmeout: 3s }", 3, 21, "timeout")]
    [InlineData("drain: { grace: soon }", 3, 17, "soon")]
    [InlineData("drain: { grace: 5 }", 3, 17, "ms")]
    [InlineData("internal: { addresses: [300.1.1.1] }", 3, 25, "300.1.1.1")]
    [InlineData("environments: { production: { port: \"x{port}\", host: \"{host}\" } }", 3, 37, "port")]
    [InlineData("engine: warp", 3, 9, "loops")]
    [InlineData("services: { web: { balance: fastest } }", 3, 29, "leastconn")]
    [InlineData("services: { web: { check: { intervall: 1s } } }", 3, 29, "interval")]
    [InlineData("limits: { maxConnections: many }", 3, 27, "many")]
    [InlineData("defaultEnvironment: production\ndefaultEnvironment: staging", 4, 1, "defaultEnvironment")]
    public async Task Mistake_is_found_at_its_line_and_column(string line, int row, int column, string named)
    {
        CommandResult result = await Check(Clean + line + "\n");
        Assert.True(result.Exit == 1, $"exit {result.Exit}\n{result.All}");
        string error = Assert.Single(result.Out.Split('\n'), static text => text.Contains(": error: ", StringComparison.Ordinal));
        Assert.Contains($"gateway.yaml:{row}:{column}: error: ", error, StringComparison.Ordinal);
        Assert.Contains(named, error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Broken_yaml_is_an_error_with_its_place()
    {
        CommandResult result = await Check(Clean + "services: [\n");
        Assert.Equal(1, result.Exit);
        Assert.Matches(@"gateway\.yaml:\d+:\d+: error: ", result.Out);
    }

    [Fact]
    public async Task Every_mistake_is_shown_not_only_the_first()
    {
        CommandResult result = await Check(Clean + "drian: 1\nengine: warp\ndrain: { grace: x }\n");
        Assert.Equal(1, result.Exit);
        Assert.Equal(3, result.Out.Split('\n').Count(static text => text.Contains(": error: ", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Unknown_and_malformed_variables_are_errors()
    {
        foreach ((string name, string value) in new[] { ("GATEWAY__DRIAN__GRACE", "1s"), ("GATEWAY__DRAIN__GRACE", "soon") })
        {
            CommandResult result = await Check(Clean, new Dictionary<string, string?> { [name] = value });
            Assert.True(result.Exit == 1, $"{name}: exit {result.Exit}\n{result.All}");
            Assert.Contains(name, result.Out, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Unreadable_file_is_exit_2()
    {
        CommandResult result = await GatewayProcess.Run(["check", "--config", "/no/such/gateway.yaml"]);
        Assert.Equal(2, result.Exit);
        Assert.Contains("/no/such/gateway.yaml", result.All, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Port_conflict_between_own_addresses_is_an_error()
    {
        CommandResult result = await Check("""
            catalog: { embedded: { listen: "127.0.0.1:9901" } }
            admin: { listen: "127.0.0.1:9901" }
            stateDirectory: state
            """);
        Assert.True(result.Exit == 1, result.All);
        Assert.Contains("9901", result.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Bad_tag_in_a_dumped_catalog_is_an_error_naming_it()
    {
        CommandResult clean = await CheckCatalog(new Registration("orders", "orders-1", 8080, "production", "internal-listen-http-3000"));
        Assert.True(clean.Exit == 0, clean.All);

        CommandResult bad = await CheckCatalog(
            new Registration("orders", "orders-1", 8080, "production", "internal-listen-http-99999"),
            new Registration("bills", "bills-1", 8081, "stagging", "internal-listen-http-3001"),
            new Registration("bills", "bills-2", 8082, "production", "internal-listen-http-3001"));
        Assert.True(bad.Exit == 1, bad.All);
        Assert.Contains("internal-listen-http-99999", bad.Out, StringComparison.Ordinal);
        Assert.Contains("orders", bad.Out, StringComparison.Ordinal);
        Assert.Contains("stagging", bad.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Two_services_on_one_port_in_a_dump_is_an_error()
    {
        CommandResult result = await CheckCatalog(
            new Registration("one", "one-1", 8080, "production", "internal-listen-http-3000"),
            new Registration("two", "two-1", 8081, "production", "internal-listen-http-3000"));
        Assert.True(result.Exit == 1, result.All);
        Assert.Contains("3000", result.Out, StringComparison.Ordinal);
        Assert.Contains("two", result.Out, StringComparison.Ordinal);
    }

    private static async Task<CommandResult> Check(string text, IReadOnlyDictionary<string, string?>? environment = null)
    {
        string folder = Directory.CreateTempSubdirectory("gwt-").FullName;
        try
        {
            string file = Path.Combine(folder, "gateway.yaml");
            await File.WriteAllTextAsync(file, text);
            await File.WriteAllTextAsync(Path.Combine(folder, "catalog.yaml"), "services: []\n");
            return await GatewayProcess.Run(["check", "--config", file], environment);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task<CommandResult> CheckCatalog(params Registration[] registrations)
    {
        string folder = Directory.CreateTempSubdirectory("gwt-").FullName;
        try
        {
            string file = Path.Combine(folder, "gateway.yaml");
            string dump = Path.Combine(folder, "dump.yaml");
            await File.WriteAllTextAsync(file, Clean);
            await File.WriteAllTextAsync(Path.Combine(folder, "catalog.yaml"), "services: []\n");
            await File.WriteAllTextAsync(dump, Scenario.Catalog(registrations));
            return await GatewayProcess.Run(["check", "--config", file, "--catalog", dump]);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
