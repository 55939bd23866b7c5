using Gateway.Catalog;
using Gateway.Configuration;
using Gateway.Planning;
using static Gateway.Tests.Configuration.ConfigurationTesting;

namespace Gateway.Tests.Configuration;

/// <summary>Entries of <c>services</c> against the one grammar of settings, and a catalog against the planner.</summary>
public sealed class ServiceSettingsTests
{
    private const string NoGrammar = "SettingGrammar knows no key in this build";

    [Theory]
    [InlineData("services: { a: { balanc: leastconn } }", "g.yaml:1:18: error: unknown key 'balanc' in 'services.a'; the nearest valid key is 'balance'")]
    [InlineData("services: { a: { check: { htp: /x } } }", "g.yaml:1:27: error: unknown key 'htp' in 'services.a.check'; the nearest valid key is 'check.http'")]
    [InlineData("services: { a: { chekc: { http: /x } } }", "g.yaml:1:18: error: unknown key 'chekc' in 'services.a'; the nearest valid key is 'check'")]
    [InlineData("services: { a: { timeouts.respons: 5s } }", "g.yaml:1:18: error: unknown key 'timeouts.respons' in 'services.a'; the nearest valid key is 'timeouts.response'")]
    [InlineData("services: { a: { Balance: leastconn } }", "g.yaml:1:18: error: unknown key 'Balance' in 'services.a'; the nearest valid key is 'balance'")]
    [InlineData("services: { a: { check: { http: /x }, check.http: /y } }", "g.yaml:1:51: error: services.a: duplicate key 'check.http'; it is already at g.yaml:1:33")]
    [InlineData("services: { a: leastconn }", "g.yaml:1:16: error: services.a takes a mapping of settings, not 'leastconn'")]
    [InlineData("static: { a: { port: 80, servers: [\"h:1\"], balanc: x } }",
        "g.yaml:1:44: error: unknown key 'balanc' in 'static.a'; the nearest valid key is 'balance'")]
    public void A_wrong_key_names_the_nearest_one(string yaml, params string[] expected)
    {
        Assert.SkipWhen(SettingGrammar.Keys.Count == 0, NoGrammar);
        Assert.Equal(expected, Findings(yaml));
    }

    [Theory]
    [InlineData("services: { a: { check: { interval: 5 } } }", "g.yaml:1:37: error: services.a: ", "'5'")]
    [InlineData("services: { a: { balance: ewma } }", "g.yaml:1:27: error: services.a: ", "not built yet")]
    public void A_wrong_value_is_refused_at_its_place(string yaml, string begin, string within)
    {
        Assert.SkipWhen(SettingGrammar.Keys.Count == 0, NoGrammar);
        string finding = Assert.Single(Findings(yaml));
        Assert.StartsWith(begin, finding, StringComparison.Ordinal);
        Assert.Contains(within, finding, StringComparison.Ordinal);
    }

    [Fact]
    public void A_variable_wins_whatever_the_spelling_in_the_file()
    {
        Assert.SkipWhen(SettingGrammar.Keys.Count == 0, NoGrammar);
        GatewayOptions options = Options(
            "services: { Orders: { check: { http: /a, rise: 2 }, balance: leastconn } }",
            "GATEWAY__SERVICES__ORDERS__CHECK__HTTP=/b",
            "GATEWAY__SERVICES__ORDERS__BALANCE=roundrobin");
        Assert.Equal(
            [
                new("check.rise", "2", "g.yaml:1:48"),
                new("balance", "roundrobin", "GATEWAY__SERVICES__ORDERS__BALANCE"),
                new("check.http", "/b", "GATEWAY__SERVICES__ORDERS__CHECK__HTTP"),
            ],
            options.Planning.Services[0].Entries);
    }

    [Fact]
    public void A_bad_tag_of_a_catalog_is_an_error_at_the_tag()
    {
        Assert.SkipWhen(SettingGrammar.Keys.Count == 0, NoGrammar);
        string folder = Directory.CreateTempSubdirectory("gwt").FullName;
        try
        {
            string config = Path.Combine(folder, "g.yaml");
            string dump = Path.Combine(folder, "dump.json");
            File.WriteAllText(config, "");
            File.WriteAllText(
                dump,
                """
                { "services": [
                  { "Name": "orders", "ID": "orders-1", "Address": "10.0.0.1", "Port": 3000,
                    "Tags": ["production", "internal-listen-http-99999"] } ] }
                """);
            Instance instance = new()
            {
                Service = "orders",
                Node = "n1",
                ServiceId = "orders-1",
                Address = "10.0.0.1",
                Port = 3000,
                Tags = ["production", "internal-listen-http-99999"],
            };
            CheckReport report = ConfigurationCheck.Run(
                config, dump, Variables(), _ => new CatalogDump { Instances = [instance] });
            Assert.Equal(1, report.ExitCode);
            Assert.StartsWith($"{dump}:3:28: error: service 'orders', instance 'n1/orders-1', tag 'internal-listen-http-99999'", report.Lines[0], StringComparison.Ordinal);
            Assert.Equal("1 error", report.Lines[^1]);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
