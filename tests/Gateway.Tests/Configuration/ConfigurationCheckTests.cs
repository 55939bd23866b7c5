using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Gateway.Catalog;
using Gateway.Configuration;
using static Gateway.Tests.Configuration.ConfigurationTesting;

namespace Gateway.Tests.Configuration;

/// <summary>With real files, in a directory of their own.</summary>
public sealed class ConfigurationCheckTests : IDisposable
{
    private static readonly CatalogDump s_noDump = new() { Unreadable = "not asked" };
    private readonly string _folder = Directory.CreateTempSubdirectory("gwc").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_clean_file_exits_0_with_a_summary()
    {
        CheckReport report = Check("drain: { grace: 1s }\nstateDirectory: /var/lib/g\n");
        Assert.Equal(0, report.ExitCode);
        Assert.Matches(
            @"^ok: .*/g\.yaml: 3 keys checked, \d+ values in force; catalog from embedded 127\.0\.0\.1:8500; admin 127\.0\.0\.1:9900; state /var/lib/g$",
            Assert.Single(report.Lines));
    }

    [Fact]
    public void A_warning_does_not_change_the_exit()
    {
        CheckReport report = Check("catalog: { files: [missing.yaml] }");
        Assert.Equal(0, report.ExitCode);
        Assert.Equal($"{_folder}/g.yaml:1:19: warning: catalog.files: '{_folder}/missing.yaml' does not exist yet; it is read when it appears", report.Lines[0]);
        Assert.EndsWith("; 1 warning", report.Lines[^1], StringComparison.Ordinal);
    }

    [Fact]
    public void Errors_exit_1_and_are_counted()
    {
        CheckReport report = Check("drian: {}\nengine: x");
        Assert.Equal(1, report.ExitCode);
        Assert.Equal(
            [
                $"{_folder}/g.yaml:1:1: error: unknown key 'drian'; the nearest valid key is 'drain'",
                $"{_folder}/g.yaml:2:9: error: engine: 'x' is not one of the values here; allowed is loops or kestrel, the nearest is 'loops'",
                "2 errors",
            ],
            report.Lines);
    }

    [Fact]
    public void A_file_that_is_not_there_or_is_a_directory_exits_2()
    {
        CheckReport missing = Run($"{_folder}/none.yaml", null, _ => s_noDump);
        Assert.Equal(2, missing.ExitCode);
        Assert.Equal($"{_folder}/none.yaml: error: cannot be read: no such file", missing.Lines[0]);
        CheckReport directory = Run(_folder, null, _ => s_noDump);
        Assert.Equal(2, directory.ExitCode);
        Assert.Equal($"{_folder}: error: cannot be read: it is a directory", directory.Lines[0]);
    }

    [Fact]
    public void An_unreadable_catalog_exits_2()
    {
        CheckReport report = Run(Write("g.yaml", ""), $"{_folder}/dump.yaml", _ => new CatalogDump { Unreadable = "no such file" });
        Assert.Equal(2, report.ExitCode);
        Assert.Equal($"{_folder}/dump.yaml: error: cannot be read: no such file", report.Lines[0]);
    }

    [Fact]
    public void Invalid_UTF_8_is_named_by_line_and_column()
    {
        string path = Path.Combine(_folder, "g.yaml");
        File.WriteAllBytes(path, [.. "engine: loops\n# x"u8, 0xff, .. "\n"u8]);
        Assert.Equal([$"{path}:2:4: error: not UTF-8 (byte 0xff); save the file as UTF-8", "1 error"], Run(path, null, _ => s_noDump).Lines);
    }

    [Fact]
    public void A_byte_order_mark_is_no_mistake()
    {
        string path = Path.Combine(_folder, "g.yaml");
        File.WriteAllBytes(path, [0xef, 0xbb, 0xbf, .. "engine: kestrel\n"u8]);
        Assert.Equal(0, Run(path, null, _ => s_noDump).ExitCode);
    }

    [Fact]
    public void An_endless_file_is_refused()
    {
        CheckReport report = Run("/dev/zero", null, _ => s_noDump);
        Assert.Equal(1, report.ExitCode);
        Assert.Equal("/dev/zero:1:1: error: larger than 16 MiB; is this a configuration file?", report.Lines[0]);
    }

    [Fact]
    public void Paths_start_at_the_folder_of_the_file()
    {
        Write("token", "secret");
        string path = Write("g.yaml", "catalog: { consul: { tokenFile: token }, files: [\"*.yaml\"] }");
        ConfigurationResult result = GatewayConfiguration.Load(path, Variables());
        Assert.Empty(result.Diagnostics);
        Assert.Equal($"{_folder}/token", result.Options!.Consul!.TokenFile);
        Assert.Equal([$"{_folder}/*.yaml"], result.Options.Files!.Paths);
    }

    [Fact]
    public void An_unreadable_or_empty_token_file_is_an_error()
    {
        Assert.Equal(
            $"{_folder}/g.yaml:1:33: error: catalog.consul.tokenFile: '{_folder}/token' cannot be read by user {Environment.UserName}: no such file",
            Check("catalog: { consul: { tokenFile: token } }").Lines[0]);
        Write("token", "\n");
        Assert.Equal(
            $"{_folder}/g.yaml:1:33: error: catalog.consul.tokenFile: '{_folder}/token' is empty; write the token into it, or null here for none",
            Check("catalog: { consul: { tokenFile: token } }").Lines[0]);
    }

    [Fact]
    public void Certificates_for_consul_must_be_loadable()
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = new("CN=gateway", key, HashAlgorithmName.SHA256);
        DateTimeOffset start = TimeProvider.System.GetUtcNow();
        using X509Certificate2 certificate = request.CreateSelfSigned(start, start.AddDays(1));
        Write("cert.pem", certificate.ExportCertificatePem());
        Write("key.pem", key.ExportPkcs8PrivateKeyPem());
        Write("empty.pem", "nothing");
        Assert.Equal(0, Check("catalog: { consul: { address: \"https://c:1\", tls: { ca: cert.pem, cert: cert.pem, key: key.pem } } }").ExitCode);

        CheckReport report = Check("catalog: { consul: { address: \"https://c:1\", tls: { ca: empty.pem, cert: cert.pem } } }");
        Assert.Equal(1, report.ExitCode);
        Assert.Equal($"{_folder}/g.yaml:1:57: error: catalog.consul.tls.ca: '{_folder}/empty.pem' holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", report.Lines[0]);
        Assert.Contains("are not a certificate with its key in PEM form", report.Lines[1], StringComparison.Ordinal);
        Assert.Contains("there is no tls.cert that it could belong to", Check("catalog: { consul: { address: \"https://c:1\", tls: { key: key.pem } } }").Lines[0], StringComparison.Ordinal);
    }

    [Fact]
    public void A_problem_of_the_catalog_stands_at_the_tag()
    {
        string path = Write("dump.yaml", "services:\n  - Name: orders\n    ID: orders-1\n    Tags:\n      - internal-listen-http-99999\n  - { Name: orders, Node: n1, ID: orders-2 }\n");
        Instance instance = new() { Service = "orders", Node = "n1", ServiceId = "orders-1", Address = "10.0.0.1", Port = 1 };
        DumpPlaces places = new(path, new CatalogDump { Instances = [instance] });
        Problem problem = new() { Code = "port-invalid", Service = "orders", Instance = "n1/orders-1", Place = "tag", Value = "internal-listen-http-99999", Now = "tag ignored" };
        Assert.Equal($"{path}:5:9", places.Of(problem).ToString());
        Assert.Equal($"{path}:2:5", places.Of(problem with { Value = "elsewhere" }).ToString());
        Assert.Equal($"{path}:2:5", places.Of(problem with { Instance = null }).ToString());
        Assert.Equal($"{path}:6:5", places.Of(problem with { Instance = "n1/orders-2" }).ToString());
        Assert.Null(places.Of(problem with { Service = "unknown", Instance = null }));
    }

    [Fact]
    public void A_catalog_is_planned_with_the_configuration()
    {
        Instance instance = new() { Service = "orders", Node = "n1", ServiceId = "orders-1", Address = "10.0.0.1", Port = 1 };
        CheckReport report = Run(
            Write("g.yaml", ""), Write("dump.yaml", "services: []"), _ => new CatalogDump { Instances = [instance] });
        Assert.Contains("; catalog: 1 service, 1 instance, ", report.Lines[^1], StringComparison.Ordinal);
        CheckReport refused = Run(
            Write("g.yaml", "engine: x"), Write("dump.yaml", "services: []"), _ => new CatalogDump());
        Assert.Equal("1 error; the catalog was not planned, because the configuration has errors", refused.Lines[^1]);
    }

    [Theory]
    [InlineData("port", "0", "6:11")]
    [InlineData("address", "::", "5:14")]
    [InlineData("service id", "w1:udp", "3:9")]
    [InlineData("meta gateway_weight", "0", "8:29")]
    [InlineData("tag", "Internal-Listen-HTTP-03000", "7:12")]
    [InlineData("tag", "internal-listen-http-03000", "7:12")]
    [InlineData("tags", null, "2:5")]
    public void A_problem_stands_at_the_field_it_speaks_of_and_not_at_another_that_says_the_same(string field, string? value, string at)
    {
        string path = Write("dump.yaml", """
            services:
              - service: web
                id: "w1:udp"
                createIndex: 0
                address: "::"
                port: 0
                tags: ["  Internal-Listen-HTTP-03000 ", "0", "port"]
                meta: { gateway_weight: "0", other: "0" }
            """);
        Instance instance = new() { Service = "web", Node = "file", ServiceId = "w1:udp", Address = "::", Port = 0 };
        Problem problem = new() { Code = "c", Service = "web", Instance = "file/w1:udp", Place = field, Value = value, Now = "n" };
        Assert.Equal($"{path}:{at}", new DumpPlaces(path, new CatalogDump { Instances = [instance] }).Of(problem).ToString());
    }

    [Fact]
    public void No_environment_at_all_is_an_error_where_it_is_written() => Assert.Equal(
        $"{_folder}/g.yaml:2:1: error: defaultEnvironment: 'production' is not in environments; environments is empty",
        Check("engine: loops\nenvironments: {}\n").Lines[0]);

    [Fact]
    public void A_port_of_gateways_own_is_a_conflict()
    {
        Instance instance = new()
        {
            Service = "orders",
            Node = "n1",
            ServiceId = "o",
            Address = "10.0.0.1",
            Port = 1,
            Tags = ["internal-listen-http-9900"],
        };
        CheckReport report = Run(
            Write("g.yaml", ""), Write("dump.yaml", "services: []"), _ => new CatalogDump { Instances = [instance] });
        Assert.Equal(1, report.ExitCode);
        Assert.Contains("port 9900 belongs to admin", report.Lines[0], StringComparison.Ordinal);
    }

    [Fact]
    public void A_tag_cannot_forge_a_line()
    {
        Instance instance = new()
        {
            Service = "orders",
            Node = "n1",
            ServiceId = "o",
            Address = "10.0.0.1",
            Port = 1,
            Tags = ["internal-listen-http-3000", "internal-listen-http-\u001b[31m\nforged.yaml:1:1: error: x"],
        };
        CheckReport report = Run(
            Write("g.yaml", ""), Write("dump.yaml", "services: []"), _ => new CatalogDump { Instances = [instance] });
        Assert.DoesNotContain('\n', report.Lines[0]);
        Assert.DoesNotContain('\u001b', report.Lines[0]);
        Assert.Contains("\\u001b[31m\\u000aforged", report.Lines[0], StringComparison.Ordinal);
    }

    private CheckReport Check(string yaml) => Run(Write("g.yaml", yaml), null, _ => new CatalogDump());

    private static CheckReport Run(string config, string? catalog, ReadCatalogDump read) =>
        ConfigurationCheck.Run(config, catalog, Variables(), read);

    private string Write(string name, string text)
    {
        string path = Path.Combine(_folder, name);
        File.WriteAllText(path, text);
        return path;
    }
}
