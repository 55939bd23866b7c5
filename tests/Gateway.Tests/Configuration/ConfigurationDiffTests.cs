using Gateway.Configuration;
using static Gateway.Tests.Configuration.ConfigurationTesting;

namespace Gateway.Tests.Configuration;

public sealed class ConfigurationDiffTests
{
    [Fact]
    public void What_a_reload_cannot_change_stays_and_the_rest_is_applied()
    {
        GatewayOptions running = Options("drain: { grace: 1s }");
        GatewayOptions next = Options("""
            stateDirectory: /tmp/x
            engine: kestrel
            catalog: { embedded: { listen: 127.0.0.1:8600 }, portGrace: 1s }
            admin: { listen: 127.0.0.1:9901, names: [gate] }
            services: { a: { check: none } }
            log: { access: off }
            """);
        ConfigurationDiff diff = ConfigurationDiff.Between(running, next);
        Assert.Equal(
            [
                "catalog.portGrace: 10s -> 1s",
                "admin.names: [] -> [gate]",
                "drain.grace: 1s -> 5s",
                "log.access: json to - -> off",
                "services.a.check: not set -> none",
                "catalog.embedded.listen: stays 127.0.0.1:8500; 127.0.0.1:8600 takes an upgrade (gateway upgrade)",
                "stateDirectory: stays /var/lib/gateway; /tmp/x takes an upgrade (gateway upgrade)",
                "engine: stays loops; kestrel takes an upgrade (gateway upgrade)",
                "admin.listen: stays 127.0.0.1:9900; 127.0.0.1:9901 takes an upgrade (gateway upgrade)",
            ],
            diff.Lines());
        Assert.Equal(running.Admin.Listen, diff.Options.Admin.Listen);
        Assert.Equal(running.Embedded, diff.Options.Embedded);
        Assert.Equal(running.Planning.Reserved, diff.Options.Planning.Reserved);
        Assert.Equal(["gate"], diff.Options.Admin.Names);
        Assert.Equal(TimeSpan.FromSeconds(1), diff.Options.PortGrace);
    }

    [Fact]
    public void The_same_file_changes_nothing()
    {
        ConfigurationDiff diff = ConfigurationDiff.Between(Options("engine: loops"), Options("# comment\n\nengine: loops"));
        Assert.Empty(diff.Applied);
        Assert.Empty(diff.Kept);
    }

    [Fact]
    public void A_reload_never_leaves_the_gateway_without_a_source()
    {
        GatewayOptions running = Options("catalog: { consul: { address: \"http://10.0.0.1:8500\" } }");
        ConfigurationDiff diff = ConfigurationDiff.Between(running, Options("drain: { grace: 1s }"));
        Assert.Equal(running.Consul, diff.Options.Consul);
        Assert.Null(diff.Options.Embedded);
        Assert.Equal(
            [
                "drain.grace: 5s -> 1s",
                "catalog.consul.address: stays http://10.0.0.1:8500; not set takes an upgrade (gateway upgrade)",
                "catalog.embedded.listen: stays not set; 127.0.0.1:8500 takes an upgrade (gateway upgrade)",
            ],
            diff.Lines());
    }

    [Fact]
    public void Consul_in_place_of_the_embedded_catalog_is_applied_and_the_embedded_one_stays_until_an_upgrade()
    {
        ConfigurationDiff diff = ConfigurationDiff.Between(Options(""), Options("catalog: { consul: { address: \"http://10.0.0.1:8500\" } }"));
        Assert.NotNull(diff.Options.Consul);
        Assert.NotNull(diff.Options.Embedded);
        Assert.Equal("catalog.embedded.listen: 127.0.0.1:8500 -> not set", Assert.Single(diff.Kept).ToString());
    }
}
