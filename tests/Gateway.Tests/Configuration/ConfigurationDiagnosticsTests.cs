using Gateway.Configuration;
using static Gateway.Tests.Configuration.ConfigurationTesting;

namespace Gateway.Tests.Configuration;

public sealed class ConfigurationDiagnosticsTests
{
    private const string DurationForm = "a number with ms, s, m or h, like 250ms, 10s, 5m";

    [Theory]

    // Keys
    [InlineData("drain:\n  garce: 5s", "g.yaml:2:3: error: unknown key 'garce' in 'drain'; the nearest valid key is 'grace'")]
    [InlineData("darin: {}", "g.yaml:1:1: error: unknown key 'darin'; the nearest valid key is 'drain'")]
    [InlineData("drain: { GRACE: 5s }", "g.yaml:1:10: error: unknown key 'GRACE' in 'drain'; the nearest valid key is 'grace'")]
    [InlineData("stateDirectory: /x\nminInstances: 3", "g.yaml:2:1: error: unknown key 'minInstances'; the nearest valid key is 'catalog.guard.minInstances'")]
    [InlineData("drain: { grace: 5s, grace: 6s }", "g.yaml:1:21: error: duplicate key 'grace'; it is already at line 1")]
    [InlineData("engine: loops\ndrain: {}\nengine: kestrel", "g.yaml:3:1: error: duplicate key 'engine'; it is already at line 1")]
    [InlineData("external: { htps: [\":443\"] }", "g.yaml:1:13: error: unknown key 'htps' in 'external'; the nearest valid key is 'https'")]
    [InlineData("log: { access: { fromat: json } }", "g.yaml:1:18: error: unknown key 'fromat' in 'log.access'; the nearest valid key is 'format'")]

    // Durations
    [InlineData("drain: { grace: 5 }", "g.yaml:1:17: error: drain.grace: '5' is not a duration; allowed is " + DurationForm)]
    [InlineData("drain: { grace: 5sec }", "g.yaml:1:17: error: drain.grace: '5sec' is not a duration; allowed is " + DurationForm)]
    [InlineData("drain: { grace: -5s }", "g.yaml:1:17: error: drain.grace: '-5s' is not a duration; allowed is " + DurationForm)]
    [InlineData("catalog: { consul: { wait: 11m } }", "g.yaml:1:28: error: catalog.consul.wait: '11m' is out of range; allowed is 1s-10m")]
    [InlineData("upgrade: { timeout: 9999h }", "g.yaml:1:21: error: upgrade.timeout: '9999h' is out of range; allowed is 0s-168h")]
    [InlineData("drain: { grace: [5s] }", "g.yaml:1:17: error: drain.grace takes one value, not a list; allowed is a duration, 0s-24h")]
    [InlineData("drain: { grace: { s: 5 } }", "g.yaml:1:17: error: drain.grace takes one value, not a mapping; allowed is a duration, 0s-24h")]
    [InlineData("drain:\n  grace:\n", "g.yaml:2:3: error: drain.grace has no value; allowed is a duration, 0s-24h")]

    // Booleans, numbers, words
    [InlineData("catalog: { consul: { stale: yes } }", "g.yaml:1:29: error: catalog.consul.stale: 'yes' is not a boolean; allowed is on, off, true or false")]
    [InlineData("catalog: { consul: { stale: \"on\" } }", "g.yaml:1:29: error: catalog.consul.stale: 'on' is text because of its quotes; write on without them")]
    [InlineData("limits: { maxConnections: many }", "g.yaml:1:27: error: limits.maxConnections: 'many' is not a whole number; allowed is 1-10000000")]
    [InlineData("limits: { maxConnections: 0 }", "g.yaml:1:27: error: limits.maxConnections: '0' is out of range; allowed is 1-10000000")]
    [InlineData("limits: { maxConnections: 99999999999 }", "g.yaml:1:27: error: limits.maxConnections: '99999999999' is out of range; allowed is 1-10000000")]
    [InlineData("limits: { maxConnections: 1e3 }", "g.yaml:1:27: error: limits.maxConnections: '1e3' is not a whole number; allowed is 1-10000000")]
    [InlineData("limits: { maxConnections: \"10\" }", "g.yaml:1:27: error: limits.maxConnections: '10' is text because of its quotes; write 10 without them")]
    [InlineData("engine: kestral", "g.yaml:1:9: error: engine: 'kestral' is not one of the values here; allowed is loops or kestrel, the nearest is 'kestrel'")]
    [InlineData("catalog: { guard: { above: 50 } }", "g.yaml:1:28: error: catalog.guard.above: '50' is not a percentage; allowed is 0%-100%, or off")]

    // Shapes
    [InlineData("drain: 5s", "g.yaml:1:8: error: drain takes a mapping of grace, idle, timeout, not '5s'")]
    [InlineData("internal: { addresses: 127.0.0.1 }", "g.yaml:1:24: error: internal.addresses takes a list of an IP address or an interface name, not '127.0.0.1'; for one write [127.0.0.1]")]
    [InlineData("internal: { addresses: [] }", "g.yaml:1:24: error: internal.addresses is empty; it needs at least one: an IP address or an interface name")]
    [InlineData("internal: { addresses: [127.0.0.1, 127.0.0.1] }", "g.yaml:1:36: error: internal.addresses: '127.0.0.1' is in the list twice")]
    [InlineData("internal: { addresses: [127.0.0.300] }", "g.yaml:1:25: error: internal.addresses: '127.0.0.300' is neither an IP address (without port) nor an interface name of at most 15 characters")]
    [InlineData("internal: { addresses: [localhost] }", "g.yaml:1:25: error: internal.addresses: 'localhost' is a host name; write 127.0.0.1 and \"::1\"")]
    [InlineData("- a", "g.yaml:1:1: error: the file must be a mapping of keys like 'catalog:' and 'drain:'")]
    [InlineData("just text", "g.yaml:1:1: error: the file must be a mapping of keys like 'catalog:' and 'drain:'")]

    // Addresses
    [InlineData("admin: { listen: 9900 }", "g.yaml:1:18: error: admin.listen: '9900' is not an address to listen on; allowed is ADDRESS:PORT, [V6]:PORT or :PORT (every address), port 1-65535")]
    [InlineData("admin: { listen: \"127.0.0.1:65536\" }", "g.yaml:1:18: error: admin.listen: '127.0.0.1:65536' is not an address to listen on; allowed is ADDRESS:PORT, [V6]:PORT or :PORT (every address), port 1-65535")]
    [InlineData("catalog: { consul: { address: \"unix:///x\" } }", "g.yaml:1:31: error: catalog.consul.address: 'unix:///x': Consul is not asked over unix sockets; allowed is http://HOST:PORT or https://HOST:PORT")]
    [InlineData("catalog: { consul: { address: \"ftp://x:1\" } }", "g.yaml:1:31: error: catalog.consul.address: 'ftp://x:1' is not Consul's address; allowed is http://HOST:PORT, https://HOST:PORT or HOST:PORT")]
    [InlineData("admin: { names: [\"a b\"] }", "g.yaml:1:18: error: admin.names: 'a b' is not allowed; allowed is a host name")]

    // What YAML could do and we do not
    [InlineData("drain: &d { grace: 5s }", "g.yaml:1:8: error: anchors (&d) are not used here; write the value out where it is needed")]
    [InlineData("drain: { <<: { grace: 5s } }", "g.yaml:1:10: error: merge keys (<<) are not used here; write the keys out")]
    [InlineData("engine: !!str loops", "g.yaml:1:9: error: tags (tag:yaml.org,2002:str) are not used here; write the value alone")]
    [InlineData("drain: {}\n---\nengine: loops", "g.yaml:2:1: error: a second document begins here; the file must be one document")]
    [InlineData("drain:\n\tgrace: 5s", "g.yaml:2:1: error: a tab is in this line's indentation; YAML takes only spaces there")]
    [InlineData("drain:\n  grace: 5s\n\tidle: 2s", "g.yaml:3:1: error: a tab is in this line's indentation; YAML takes only spaces there")]

    // Environments
    [InlineData("environments: { production: { port: \"{port}\", host: \"{host}\" }, Production: { port: \"1{port}\", host: \"x{host}\" } }",
        "g.yaml:1:65: error: environments: duplicate name 'Production' (compared without case); it is already at g.yaml:1:17")]
    [InlineData("environments: { production: { port: \"{port}\" } }", "g.yaml:1:17: error: environments.production.host is missing; allowed is {host} with text around it, like {host} or staging-{host}")]
    [InlineData("environments: { production: { port: \"3000\", host: \"{host}\" } }", "g.yaml:1:37: error: environments.production.port: '3000' is not a port rule; allowed is {port} with digits around it, like {port} or 1{port}")]
    [InlineData("environments: { production: { port: \"0{port}\", host: \"{host}\" } }", "g.yaml:1:37: error: environments.production.port: '0{port}' is not a port rule; allowed is {port} with digits around it, like {port} or 1{port}; with '0{port}' no port is ever in 1-65535")]
    [InlineData("environments: { production: { port: \"{port}\", host: \"-{host}\" } }", "g.yaml:1:53: error: environments.production.host: '-{host}' is not a host rule; allowed is {host} with text around it, like {host} or staging-{host}")]
    [InlineData("environments: { balance-x: { port: \"{port}\", host: \"{host}\" } }\ndefaultEnvironment: balance-y", "g.yaml:1:17: error: environments: 'balance-x' cannot name an environment: tags that begin with 'balance-' mean something else",
        "g.yaml:2:21: error: defaultEnvironment: 'balance-y' cannot name an environment: tags that begin with 'balance-' mean something else")]
    [InlineData("defaultEnvironment: staging2", "g.yaml:1:21: error: defaultEnvironment: 'staging2' is not in environments; allowed is production, staging")]
    [InlineData("services: { \"a@stagin\": {} }", "g.yaml:1:13: error: services: 'a@stagin': unknown environment 'stagin'; the nearest is 'staging'")]

    // Rules between values
    [InlineData("admin: { listen: \"127.0.0.1:8500\" }", "g.yaml:1:18: error: admin.listen: '127.0.0.1:8500' is the same address and port as catalog.embedded.listen (127.0.0.1:8500, default); choose another port")]
    [InlineData("catalog: { embedded: { listen: \":9900\" } }", "g.yaml:1:32: error: catalog.embedded.listen: ':9900' is the same address and port as admin.listen (127.0.0.1:9900, default); choose another port")]
    [InlineData("catalog: { embedded: {}, consul: {} }", "g.yaml:1:26: error: catalog.consul.address: 'http://127.0.0.1:8500' is Gateway's own catalog.embedded.listen (default), not a Consul; change one of them or name only one source")]
    [InlineData("external: { http: [\":80\"], https: [\"10.0.0.1:80\"] }", "g.yaml:1:35: error: external.https: '10.0.0.1:80' is the same address and port as external.http (:80, g.yaml:1:19); choose another")]
    [InlineData("external: { http: [\":9900\"] }", "g.yaml:1:19: error: external.http: ':9900' is the same address and port as admin.listen (127.0.0.1:9900, default); choose another")]
    [InlineData("external: { http: [\":80\"], hosts: { A.example: a, a.example.: b } }", "g.yaml:1:51: error: external.hosts: 'a.example.' is already at g.yaml:1:37; hosts are compared without case")]
    [InlineData("external: { http: [\":80\"], hosts: { a.example: a@stagin } }", "g.yaml:1:48: error: external.hosts.a.example: 'a@stagin': unknown environment 'stagin'; allowed is production, staging")]
    [InlineData("external: { hosts: { a.example: a } }", "g.yaml:1:22: warning: external.hosts: not used, because neither external.http nor external.https names an address")]
    [InlineData("external: { headers: { Connection: close } }", "g.yaml:1:24: error: external.headers: 'Connection' belongs to the connection or the message and is not set here")]
    [InlineData("trustedProxies: [10.0.0.0/33]", "g.yaml:1:18: error: trustedProxies: '10.0.0.0/33' is not allowed; allowed is an IP address or a network like 10.0.0.0/8")]
    [InlineData("static: { a: { port: 9900, servers: [\"10.0.0.1:80\"] } }", "g.yaml:1:22: error: static.a.port: 9900 is the port of admin.listen (127.0.0.1:9900, default); choose another")]
    [InlineData("static: { a: { port: 80, servers: [\"h:1\"] }, b: { port: 80, servers: [\"h:2\"] } }", "g.yaml:1:57: error: static.b.port: 80 is the port of static.a too; choose another")]
    [InlineData("static: { a@b: { port: 80, servers: [\"h:1\"] } }", "g.yaml:1:11: error: static: 'a@b' is not a name for a static service; allowed is NAME, without @: static services have no environments")]
    [InlineData("static: { a: { port: 80, servers: [\"h\"] } }", "g.yaml:1:36: error: static.a.servers: 'h' is not allowed; allowed is HOST:PORT or [V6]:PORT")]
    [InlineData("static: { a: { port: 80, servers: [\"h:1\"], protocol: udp } }", "g.yaml:1:54: error: static.a: protocol 'udp' is not allowed; allowed is http, tcp, http1, h2c")]
    [InlineData("services: { a: { protocol: tcp } }", "g.yaml:1:28: error: services.a: protocol 'tcp' is not allowed; allowed is auto, http1, h2c")]
    [InlineData("environments: { static: { port: \"{port}\", host: \"{host}\" }, production: { port: \"1{port}\", host: \"a{host}\" } }\nstatic: { a: { port: 80, servers: [\"h:1\"] } }", "g.yaml:1:17: error: environments: 'static' is what static services call theirs; choose another name")]
    [InlineData("drain: { grace: 80s }", "g.yaml:1:17: error: drain.grace 80s is longer than drain.timeout 75s; it must fit into it")]
    [InlineData("drain: { timeout: 3s }", "g.yaml:1:19: error: drain.grace 5s is longer than drain.timeout 3s; it must fit into it")]
    public void Mistakes_are_named_with_line_column_and_what_is_allowed(string yaml, params string[] expected) =>
        Assert.Equal(expected, Findings(yaml));

    [Theory]
    [InlineData("admin: { tokensFile: /t }", "g.yaml:1:22: error: admin.tokensFile: a file of tokens is not built yet; leave it out or write null")]
    [InlineData("log: { syslog: \"10.0.0.1:514\" }", "g.yaml:1:16: error: log.syslog: syslog is not built yet; leave it out or write null")]
    [InlineData("log: { access: { format: haproxy } }", "g.yaml:1:26: error: log.access.format: 'haproxy' is not built yet; allowed is json")]
    public void Features_that_are_not_built_say_so(string yaml, string expected) => Assert.Equal([expected], Findings(yaml));

    [Theory]
    [InlineData("")]
    [InlineData("# nothing\n")]
    [InlineData("---\n")]
    [InlineData("--- {}\n...\n")]
    [InlineData("catalog: { guard: { above: 50%, minInstances: 3, holdFor: 300s } }")]
    [InlineData("catalog: { guard: { above: off, minInstances: 1, holdFor: 0 } }")]
    [InlineData("external: null")]
    [InlineData("external:")]
    [InlineData("external: { http: [], https: null, certificates: /etc/gateway/certs, strictSni: off, hosts: {}, headers: null }")]
    [InlineData("static: {}")]
    [InlineData("static: null\nservices: null\ntrustedProxies: []")]
    [InlineData("limits: { maxConnectionsKey: null }\nadmin: { tokensFile: null, group: ~ }\nlog: { syslog: null }")]
    [InlineData("engine: kestrel")]
    [InlineData("log: { access: off }")]
    [InlineData("environments: { production: { port: \"{port}\", host: \"{host}\" }, qa: { port: \"{port}1\", host: \"{host}.qa\" } }")]
    [InlineData("drain:\r\n  grace: 5s\r\n")]
    public void Null_off_and_default_values_are_accepted(string yaml) => Assert.Empty(Findings(yaml));

    [Fact]
    public void A_key_that_is_missing_in_a_static_service_is_named_before_anything_else()
    {
        Assert.Equal(
            [
                "g.yaml:1:11: error: static.a.servers is missing; allowed is a list of HOST:PORT or [V6]:PORT",
                "g.yaml:1:22: error: static.a.port: '03000' is not a whole number; allowed is 1-65535",
            ],
            Findings("static: { a: { port: 03000 } }"));
    }

    [Fact]
    public void All_mistakes_are_reported_at_once_in_reading_order()
    {
        Assert.Equal(
            [
                "g.yaml:1:13: error: unknown key 'consol' in 'catalog'; the nearest valid key is 'consul'",
                "g.yaml:2:9: error: engine: 'x' is not one of the values here; allowed is loops or kestrel, the nearest is 'loops'",
                "g.yaml:3:17: error: drain.grace: 'a' is not a duration; allowed is " + DurationForm,
                "g.yaml:3:26: error: drain.idle: 'b' is not a duration; allowed is " + DurationForm,
                "GATEWAY__DRAIN__TIMEOUT: error: drain.timeout: 'c' is not a duration; allowed is " + DurationForm,
            ],
            Findings("catalog:  { consol: {} }\nengine: x\ndrain: { grace: a, idle: b }".Replace("  {", " {", StringComparison.Ordinal).Replace("catalog: {", "catalog:  {", StringComparison.Ordinal), "GATEWAY__DRAIN__TIMEOUT=c"));
    }

    [Fact]
    public void Equal_rules_of_two_environments_are_a_warning()
    {
        ConfigurationResult result = Read("environments: { production: { port: \"{port}\", host: \"{host}\" }, qa: { port: \"{port}\", host: \"qa-{host}\" } }");
        Assert.NotNull(result.Options);
        Assert.Equal(
            "g.yaml:1:77: warning: environments: 'production' and 'qa' have the same port rule '{port}'; a service that is in both is reached in only one of them",
            Assert.Single(result.Diagnostics).ToString());
    }

    [Fact]
    public void A_file_with_errors_has_no_options() => Assert.Null(Read("engine: x").Options);

    [Theory]
    [InlineData("{{{{{{{{{{")]
    [InlineData("a: [")]
    [InlineData("\"")]
    [InlineData("a: *x")]
    [InlineData("? [a]\n: b")]
    [InlineData(": x")]
    [InlineData("a: b: c")]
    [InlineData("%YAML 9.9\n---\na: b")]
    [InlineData("drain: \u0000")]
    [InlineData("drain: {}\n\u0000\nunknown: x")]
    [InlineData("engine: loops # \u001b")]
    [InlineData("drain: \ud800")]
    public void Garbage_is_an_error_with_a_place_and_never_an_exception(string yaml)
    {
        string[] findings = Findings(yaml);
        Assert.NotEmpty(findings);
        Assert.All(findings, f => Assert.Matches(@"^g\.yaml:\d+:\d+: error: ", f));
    }

    [Fact]
    public void Any_damage_to_a_whole_file_gives_findings_or_options_and_never_an_exception()
    {
        // A fixed seed: a failure is found again by running again.
        Random random = new(20240229);
        const string Alphabet = "{}[]:,\"'#&*!|>%@`~- \n\t0aé\u0000";
        string whole = SchemaFileTests.Whole();
        for (int i = 0; i < 3000; i++)
        {
            char[] text = whole.ToCharArray();
            for (int edits = random.Next(1, 6); edits > 0; edits--)
            {
                text[random.Next(text.Length)] = Alphabet[random.Next(Alphabet.Length)];
            }

            string damaged = new string(text).Remove(random.Next(whole.Length / 2), random.Next(whole.Length / 2));
            ConfigurationResult result = Read(damaged, "GATEWAY__DRAIN__GRACE=1s", "GATEWAY__SERVICES__TEST-SERVER__BALANCE=leastconn");
            Assert.Equal(result.Options is null, result.Diagnostics.Any(d => d.Severity == DiagnosticSeverity.Error));
        }
    }

    [Fact]
    public void Deep_nesting_is_an_error_and_no_stack_overflow() =>
        Assert.Contains("nested deeper than 32 levels", Assert.Single(Findings("a: " + new string('[', 100_000))), StringComparison.Ordinal);

    [Fact]
    public void A_key_of_a_megabyte_is_shortened_in_its_message() =>
        Assert.All(Findings($"? {new string('x', 1_000_000)}\n: 1"), f => Assert.True(f.Length < 400, f[..100]));
}
