using System.Net;
using Gateway.Catalog;
using Gateway.Configuration;
using Gateway.Discovery.EmbeddedCatalog;
using Gateway.Planning;
using static Gateway.Tests.Configuration.ConfigurationTesting;

namespace Gateway.Tests.Configuration;

public sealed class ConfigurationOptionsTests
{
    private static readonly GatewayOptions s_defaults = WithReserved(new GatewayOptions { Embedded = new EmbeddedCatalogOptions() });

    private static GatewayOptions WithReserved(GatewayOptions options) =>
        options with { Planning = options.Planning with { Reserved = [new(9900, "admin"), new(8500, "embedded catalog")] } };

    [Theory]
    [InlineData("")]
    [InlineData("catalog:\ndrain:\nlog:\n  access:\n")]
    [InlineData("catalog: { consul: null, files: [] }")]
    [InlineData("catalog: { embedded: }")]
    public void An_empty_file_means_the_defaults_of_the_option_records(string yaml) => Assert.Equal(s_defaults, Options(yaml));

    [Fact]
    public void The_edge_reaches_its_options_with_the_case_of_paths_and_header_names_kept()
    {
        GatewayOptions options = Options("""
            external:
              http: [":80", "10.0.0.1:8080"]
              https: ["[::1]:443"]
              certificates: certs
              defaultCertificate: site.pem
              strictSni: on
              headers: { X-Frame-Options: SAMEORIGIN }
              hosts: { A.example/API: "web@Staging", b.example: web }
            trustedProxies: [10.0.0.0/8]
            """);
        Assert.Equal([new("*", 80, false), new("10.0.0.1", 8080, false), new("::1", 443, true)], options.Edge!.Listeners);
        Assert.Equal(options.Edge.Listeners, options.Planning.EdgeListeners);
        Assert.True(options.Planning.Edge);
        Assert.Equal("/etc/gateway/certs", options.Edge.Certificates);
        Assert.Equal("site.pem", options.Edge.DefaultCertificate);
        Assert.True(options.Edge.StrictSni);
        Assert.Equal([new("X-Frame-Options", "SAMEORIGIN")], options.Edge.Headers);
        Assert.Equal(
            [("A.example", "/API", "web", "staging"), ("b.example", "/", "web", (string?)null)],
            options.Planning.EdgeHosts.Select(h => (h.Host, h.PathPrefix, h.Service, h.Environment)));
        Assert.Equal(["10.0.0.0/8"], options.TrustedProxies);
        Assert.Contains(new Gateway.Planning.ReservedPort(80, "the edge"), options.Planning.Reserved.AsEnumerable());
        Assert.DoesNotContain(options.Planning.Reserved.AsEnumerable(), r => r.Port == 8080);
    }

    [Fact]
    public void An_edge_that_is_only_named_has_the_contracts_defaults_and_opens_nothing()
    {
        GatewayOptions options = Options("external: {}");
        Assert.Equal(new Gateway.DataPlane.Http.EdgeOptions(), options.Edge);
        Assert.False(options.Planning.Edge);
        Assert.Null(Options("").Edge);
    }

    [Fact]
    public void Every_built_key_reaches_its_option()
    {
        GatewayOptions options = Options("""
            catalog:
              consul: { address: "https://consul.example:8501", datacenter: dc-2, stale: off, wait: 30s }
              files: [catalog.d/*.yaml, /abs/one.json]
              portGrace: 250ms
            stateDirectory: state
            defaultEnvironment: QA
            environments: { Live: { port: "{port}", host: "{host}" }, qa: { port: "2{port}", host: "QA-{host}" } }
            engine: kestrel
            internal: { addresses: [10.0.0.1, docker0, "::1"] }
            limits: { maxConnections: 1000 }
            admin: { listen: "[::1]:9000", names: [Gate.Example] }
            drain: { grace: 0, idle: 1s, timeout: 1m }
            upgrade: { ready: 5s, timeout: 1h }
            log: { access: { format: json, file: log/access.json } }
            """.Replace("log/access.json", "/tmp/access.json", StringComparison.Ordinal)
               .Replace("catalog.d/*.yaml", "/tmp/*.yaml", StringComparison.Ordinal)
               .Replace("/abs/one.json", "/tmp/*.json", StringComparison.Ordinal));

        Assert.Null(options.Embedded);
        Assert.Equal(new Uri("https://consul.example:8501"), options.Consul!.Address);
        Assert.Equal("dc-2", options.Consul.Datacenter);
        Assert.False(options.Consul.Stale);
        Assert.Equal(TimeSpan.FromSeconds(30), options.Consul.Wait);
        Assert.Equal(["/tmp/*.yaml", "/tmp/*.json"], options.Files!.Paths);
        Assert.Equal(TimeSpan.FromMilliseconds(250), options.PortGrace);
        Assert.Equal("/etc/gateway/state", options.StateDirectory);
        Assert.Equal("qa", options.Planning.DefaultEnvironment);
        Assert.Equal([new("live", "{port}", "{host}"), new("qa", "2{port}", "qa-{host}")], options.Planning.Environments);
        Assert.Equal(["127.0.0.1", "::1", "localhost", "10.0.0.1"], options.Planning.OwnAddresses);
        Assert.Equal("kestrel", options.Engine);
        Assert.Equal(["10.0.0.1", "docker0", "::1"], options.Listening.Addresses);
        Assert.Equal(1000, options.MaxConnections);
        Assert.Equal(new IPEndPoint(IPAddress.IPv6Loopback, 9000), options.Admin.Listen);
        Assert.Equal(["gate.example"], options.Admin.Names);
        Assert.Equal([new ReservedPort(9000, "admin")], options.Planning.Reserved);
        Assert.Equal(TimeSpan.Zero, options.Drain.Grace);
        Assert.Equal(TimeSpan.FromSeconds(1), options.Drain.Idle);
        Assert.Equal(TimeSpan.FromMinutes(1), options.Drain.Timeout);
        Assert.Equal(TimeSpan.FromSeconds(5), options.Upgrade.Ready);
        Assert.Equal(TimeSpan.FromHours(1), options.Upgrade.Timeout);
        Assert.Equal("/tmp/access.json", options.Log.AccessFile);
    }

    [Fact]
    public void Access_log_can_be_off() => Assert.Null(Options("log: { access: off }").Log.AccessFile);

    [Fact]
    public void Several_sources_may_be_named_together()
    {
        GatewayOptions options = Options("catalog: { consul: {}, files: [/tmp/*.yaml] }");
        Assert.NotNull(options.Consul);
        Assert.NotNull(options.Files);
        Assert.Null(options.Embedded);
    }

    [Theory]
    [InlineData(":9900", true)]
    [InlineData("0.0.0.0:9900", true)]
    [InlineData("127.0.0.1:9900", true)]
    [InlineData("10.1.2.3:9900", false)]
    public void A_port_of_our_own_is_reserved_only_where_services_ports_open(string listen, bool reserved) =>
        Assert.Equal(reserved, Options($"admin: {{ listen: \"{listen}\" }}").Planning.Reserved.Any(r => r.Owner == "admin"));

    [Fact]
    public void Services_are_flattened_with_their_places()
    {
        GatewayOptions options = Options("services:\n  test-server:\n    balance: leastconn\n    check:\n      http: /up\n      rise: 2\n  orders@STAGING: { forwardedFor: off }");
        Assert.Equal(
            [
                new ServiceSettings("test-server", null, [
                    new("balance", "leastconn", "g.yaml:3:14"), new("check.http", "/up", "g.yaml:5:13"), new("check.rise", "2", "g.yaml:6:13")]),
                new ServiceSettings("orders", "staging", [new("forwardedFor", "off", "g.yaml:7:35")]),
            ],
            options.Planning.Services);
    }

    [Fact]
    public void Every_value_says_where_it_came_from()
    {
        ConfigurationResult result = Read(
            "drain:\n  grace: 1s\nservices: { a: { check: none } }",
            "GATEWAY__DRAIN__IDLE=3s",
            "CONSUL_HTTP_ADDR=10.0.0.1:8500");
        Assert.Equal("g.yaml:2:10", result.Source("drain.grace"));
        Assert.Equal("GATEWAY__DRAIN__IDLE", result.Source("drain.idle"));
        Assert.Equal("3s", result.Value("drain.idle"));
        Assert.Equal("default", result.Source("drain.timeout"));
        Assert.Equal("CONSUL_HTTP_ADDR", result.Source("catalog.consul.address"));
        Assert.Equal("g.yaml:3:25", result.Source("services.a.check"));
        Assert.Equal("default", result.Source("environments.staging.port"));
        Assert.Equal("[127.0.0.1, ::1]", result.Value("internal.addresses"));
        Assert.DoesNotContain(result.Values, v => v.Key == "catalog.embedded.listen");
    }
}
