using Gateway.Configuration;
using static Gateway.Tests.Configuration.ConfigurationTesting;

namespace Gateway.Tests.Configuration;

public sealed class VariablesTests
{
    [Theory]
    [InlineData("GATEWAY__DRIAN__GRACE=1s", "GATEWAY__DRIAN__GRACE: error: no such key; the nearest is GATEWAY__DRAIN__GRACE")]
    [InlineData("GATEWAY__DRAIN=1s", "GATEWAY__DRAIN: error: drain is a section; set one of its keys, like GATEWAY__DRAIN__GRACE")]
    [InlineData("GATEWAY__DRAIN__GRACE__X=1s", "GATEWAY__DRAIN__GRACE__X: error: no such key; the nearest is GATEWAY__DRAIN__GRACE")]
    [InlineData("GATEWAY__INTERNAL__ADDRESSES=10.0.0.1", "GATEWAY__INTERNAL__ADDRESSES: error: internal.addresses is a list, which a variable cannot set; write it in the file")]
    [InlineData("GATEWAY__ENVIRONMENTS=x", "GATEWAY__ENVIRONMENTS: error: environments is a mapping, which a variable cannot set; write it in the file")]
    [InlineData("GATEWAY__ENVIRONMENTS__QA__PORT={port}", "GATEWAY__ENVIRONMENTS__QA__PORT: error: environments has no 'QA'; a variable changes entries that exist, write new ones in the file")]
    [InlineData("GATEWAY__DRAIN__GRACE=5", "GATEWAY__DRAIN__GRACE: error: drain.grace: '5' is not a duration; allowed is a number with ms, s, m or h, like 250ms, 10s, 5m")]
    [InlineData("GATEWAY__DRAIN__GRACE=", "GATEWAY__DRAIN__GRACE: error: drain.grace has no value; allowed is a duration, 0s-24h")]
    [InlineData("GATEWAY__CATALOG__GUARD__ABOVE=30", "GATEWAY__CATALOG__GUARD__ABOVE: error: catalog.guard.above: '30' is not a percentage; allowed is 0%-100%, or off")]
    [InlineData("GATEWAY__ADMIN__LISTEN=:8500", "GATEWAY__ADMIN__LISTEN: error: admin.listen: ':8500' is the same address and port as catalog.embedded.listen (127.0.0.1:8500, default); choose another port")]
    [InlineData("GATEWAY__=1", "GATEWAY__: error: no such key; the nearest is GATEWAY__ENGINE")]
    public void Mistakes_in_variables_are_named_by_the_variable(string variable, string expected) =>
        Assert.Equal([expected], Findings("", variable));

    [Fact]
    public void A_variable_wins_over_the_file_and_is_compared_without_case()
    {
        GatewayOptions options = Options("drain: { grace: 1s }\nenvironments: { Live: { port: \"{port}\", host: \"{host}\" } }\ndefaultEnvironment: live",
            "gateway__Drain__grace=2s", "GATEWAY__ENVIRONMENTS__LIVE__PORT=3{port}", "GATEWAY__STATEDIRECTORY=/tmp/s");
        Assert.Equal(TimeSpan.FromSeconds(2), options.Drain.Grace);
        Assert.Equal("3{port}", options.Planning.Environments[0].Port);
        Assert.Equal("/tmp/s", options.StateDirectory);
    }

    [Fact]
    public void A_variable_changes_one_key_of_a_default_entry()
    {
        GatewayOptions options = Options("", "GATEWAY__ENVIRONMENTS__STAGING__PORT=2{port}");
        Assert.Equal([new("production", "{port}", "{host}"), new("staging", "2{port}", "staging-{host}")], options.Planning.Environments);
    }

    [Fact]
    public void A_variable_reaches_the_settings_of_a_service_in_the_file()
    {
        GatewayOptions options = Options("services: { Orders: { balance: leastconn } }", "GATEWAY__SERVICES__ORDERS__balance=roundrobin");
        Assert.Equal([new("balance", "roundrobin", "GATEWAY__SERVICES__ORDERS__balance")], options.Planning.Services[0].Entries);
    }

    [Fact]
    public void A_variable_for_a_key_of_consul_names_consul() =>
        Assert.Equal("dc7", Options("", "GATEWAY__CATALOG__CONSUL__DATACENTER=dc7").Consul!.Datacenter);

    [Fact]
    public void A_variable_can_turn_the_access_log_off() => Assert.Null(Options("log: { access: { format: json } }", "GATEWAY__LOG__ACCESS=off").Log.AccessFile);

    [Fact]
    public void A_variable_for_a_part_of_the_access_log_turns_it_on() =>
        Assert.Equal("-", Options("log: { access: off }", "GATEWAY__LOG__ACCESS__FILE=-").Log.AccessFile);

    [Fact]
    public void The_same_variable_twice_is_an_error() => Assert.Equal(
        ["gateway__engine: error: the same variable as GATEWAY__ENGINE (compared without case)"],
        Findings("", "GATEWAY__ENGINE=loops", "gateway__engine=kestrel"));

    [Theory]
    [InlineData("", "10.0.0.9:8500", "http://10.0.0.9:8500/")]
    [InlineData("", "https://consul.example:8501", "https://consul.example:8501/")]
    [InlineData("catalog: { consul: { stale: off } }", "10.0.0.9:8500", "http://10.0.0.9:8500/")]
    [InlineData("catalog: { consul: { address: \"http://10.0.0.1:8500\" } }", "10.0.0.9:8500", "http://10.0.0.1:8500/")]
    [InlineData("catalog: { embedded: {} }", "10.0.0.9:8500", null)]
    [InlineData("catalog: { files: [/tmp/*.yaml] }", "10.0.0.9:8500", null)]
    [InlineData("", "", null)]
    public void CONSUL_HTTP_ADDR_selects_consul_only_where_no_source_is_named(string yaml, string variable, string? address) =>
        Assert.Equal(address, Options(yaml, $"CONSUL_HTTP_ADDR={variable}").Consul?.Address.ToString());

    [Fact]
    public void A_bad_CONSUL_HTTP_ADDR_is_named() => Assert.Equal(
        ["CONSUL_HTTP_ADDR: error: catalog.consul.address: 'a b' is not Consul's address; allowed is http://HOST:PORT, https://HOST:PORT or HOST:PORT"],
        Findings("", "CONSUL_HTTP_ADDR=a b"));

    [Fact]
    public void The_command_line_wins_over_variables()
    {
        ConfigurationResult result = GatewayConfiguration.LoadDev(
            Variables("GATEWAY__STATEDIRECTORY=/tmp/a", "CONSUL_HTTP_ADDR=x:1"), [new("stateDirectory", "/tmp/b", "--state")]);
        Assert.Equal("/tmp/b", result.Options!.StateDirectory);
        Assert.Equal("--state", result.Source("stateDirectory"));
        Assert.Null(result.Options.Consul);
    }
}
