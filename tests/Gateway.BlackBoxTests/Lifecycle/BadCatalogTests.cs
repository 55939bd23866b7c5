using System.Text.Json;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Lifecycle;

/// <summary>
/// The issue's bad input, from a real catalog. Goal: each mistake is a named problem in <c>gateway problems --json</c> and
/// leaves every other service untouched. Method: each mistake is registered with Consul while a neighbour is under load.
/// </summary>
[Trait("Needs", "consul")]
public sealed class BadCatalogTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulTheory]
    [InlineData("internal-listen-http-0")]
    [InlineData("internal-listen-http-65536")]
    [InlineData("internal-listen-http-03000")]
    [InlineData("internal-listen-http-131000")]
    [InlineData("internal-listen-http-")]
    [InlineData("internal-listen-http-3000y")]
    [InlineData("internal-listen-udp-3000")]
    [InlineData("balance-fastest")]
    [InlineData("gateway-check.intervall=1s")]
    [InlineData("gateway-timeouts.response=5 parsecs")]
    public async Task Malformed_tag_is_named_and_the_rest_of_the_instance_counts(string tag)
    {
        await Beside(async (port, service) =>
        {
            await platform.Serve(service, "one", "production", tag, $"internal-listen-http-{port}");
            JsonElement problem = await Problem(service, tag);
            Assert.Equal(service, problem.GetProperty("service").GetString());
            await Platform.Serves(port, "one");
        });
    }

    [ConsulFact]
    public async Task Staging_port_that_cannot_be_is_a_problem_only_with_a_staging_instance()
    {
        await Beside(async (port, service) =>
        {
            int production = Ports.Any();   // five digits: 1P is beyond 65535
            NodeServer server = await platform.Serve(service, "one", "production", $"internal-listen-http-{production}", $"internal-listen-http-{port}");
            await Platform.Serves(production, "one");
            Assert.DoesNotContain(
                await platform.Gateway.Problems(), problem => GatewayProcess.Plain(problem).Contains($"1{production}", StringComparison.Ordinal));
            await platform.Consul.Register(server.AsService(
                service, "production", "staging", $"internal-listen-http-{production}", $"internal-listen-http-{port}"));
            await Problem(service, $"1{production}");
            await Platform.Serves(production, "one");
        });
    }

    [ConsulFact]
    public async Task Two_services_on_one_port_have_one_owner_and_a_problem()
    {
        await Beside(async (port, service) =>
        {
            await platform.Serve(service, "first", "production", $"internal-listen-http-{port}");
            await Platform.Serves(port, "first");
            await platform.Serve($"a-{service}", "second", "production", $"internal-listen-http-{port}");
            await Problem($"a-{service}", port.ToString());
            Assert.Equal(["first"], (await Platform.Spread(port, 20)).Keys);   // the present owner keeps it

            await platform.Consul.Deregister($"{service}-first");
            await Platform.Serves(port, "second");
        });
    }

    [ConsulFact]
    public async Task Blanks_around_tags_do_not_matter()
    {
        await Beside(async (port, service) =>
        {
            await platform.Serve(service, "one", " production ", $"\t internal-listen-http-{port}  ");
            await Platform.Serves(port, "one");
        });
    }

    [ConsulFact]
    public async Task Name_of_four_kilobytes_is_served_and_readable()
    {
        await Beside(async (port, service) =>
        {
            string name = service + new string('n', 4096);
            NodeServer server = platform.Keep(await NodeServer.Start("long"));
            await platform.Consul.Register(new Registration(name, $"{service}-long", server.Port, "production", $"internal-listen-http-{port}"));
            await Platform.Serves(port, "long");
            CommandResult table = await platform.Gateway.Command("services");
            Assert.Equal(0, table.Exit);
        });
    }

    [ConsulFact]
    public async Task Ten_thousand_tags_are_read_and_the_bad_ones_named()
    {
        await Beside(async (port, service) =>
        {
            string[] tags = [.. Enumerable.Range(0, 9_990).Select(static i => $"note-{i}"), "internal-listen-http-x", "production", $"internal-listen-http-{port}"];
            await platform.Serve(service, "many", tags);
            await Platform.Serves(port, "many");
            await Problem(service, "internal-listen-http-x");
        });
    }

    [ConsulFact]
    public async Task Invalid_utf8_in_tags_and_names_breaks_nothing()
    {
        await Beside(async (port, service) =>
        {
            NodeServer server = platform.Keep(await NodeServer.Start("bytes"));
            byte[] body =
            [
                .. System.Text.Encoding.ASCII.GetBytes($$"""{"Name":"{{service}}","ID":"{{service}}-1","Address":"127.0.0.1","Port":{{server.Port}},"Tags":["production","internal-listen-http-{{port}}","balance-"""),
                0xff, 0xfe, 0xc0, 0x80,
                .. "\"]}"u8,
            ];
            using HttpClient client = new();
            using ByteArrayContent content = new(body);
            using HttpResponseMessage answer = await client.PutAsync($"{platform.Consul.Address}/v1/agent/service/register", content);
            Assert.True(answer.IsSuccessStatusCode);
            await Platform.Serves(port, "bytes");
            await Problem(service, "balance-");
        });
    }

    [ConsulFact]
    public async Task Instances_that_disagree_follow_the_majority_and_are_named()
    {
        await Beside(async (port, service) =>
        {
            string listen = $"internal-listen-http-{port}";
            await platform.Serve(service, "a", "production", listen, "balance-leastconn");
            await platform.Serve(service, "b", "production", listen, "balance-leastconn");
            await platform.Serve(service, "c", "production", listen, "balance-roundrobin");
            await Problem(service, "roundrobin");
            Assert.Contains("leastconn", (await platform.Gateway.Command("services", service)).Out, StringComparison.Ordinal);
            await Eventually.True(async () => (await Platform.Spread(port, 9)).Count > 0, "it serves");
        });
    }

    [ConsulFact]
    public async Task Instance_without_a_usable_port_is_left_out_and_named()
    {
        await Beside(async (port, service) =>
        {
            string listen = $"internal-listen-http-{port}";
            await platform.Serve(service, "good", "production", listen);
            await platform.Consul.Register(new Registration(service, $"{service}-zero", 0, "production", listen));
            await platform.Consul.Register(new Registration(service, $"host:{service}:53:udp", 53, "production", listen));
            await Problem(service, $"{service}-zero");
            await Problem(service, ":udp");
            await Platform.Serves(port, "good");
            Assert.Equal(["good"], (await Platform.Spread(port, 20)).Keys);
        });
    }

    [ConsulFact]
    public async Task Instance_that_is_our_own_listener_is_a_problem_and_never_a_destination()
    {
        await Beside(async (port, service) =>
        {
            string listen = $"internal-listen-http-{port}";
            await platform.Serve(service, "good", "production", listen);
            await platform.Consul.Register(new Registration(service, $"{service}-self", port, "production", listen));
            await Problem(service, $"{service}-self");
            Assert.Equal(["good"], (await Platform.Spread(port, 20)).Keys);
        });
    }

    [ConsulFact]
    public async Task Port_of_gateways_own_admin_is_refused_to_a_service()
    {
        await Beside(async (port, service) =>
        {
            await platform.Serve(service, "thief", "production", $"internal-listen-http-{platform.Gateway.AdminPort}", $"internal-listen-http-{port}");
            await Problem(service, platform.Gateway.AdminPort.ToString());
            await Platform.Serves(port, "thief");
            Assert.Equal(200, (await platform.Gateway.Readiness()).Status);
        });
    }

    [ConsulFact]
    public async Task Consul_that_answers_another_services_json_loses_nobody_and_is_named()
    {
        int victim = Ports.Production(), other = Ports.Production(), later = Ports.Production();
        string unique = Guid.NewGuid().ToString("N")[..6];
        string about = $"victim-{unique}", with = $"other-{unique}";
        NodeServer server = await platform.Serve(about, "victim", "production", $"internal-listen-http-{victim}");
        await platform.Serve(with, "other", "production", $"internal-listen-http-{other}");
        using NodeServer liar = await NodeServer.StartLiar(platform.Consul.HttpPort, about, with);
        using GatewayProcess gateway = await GatewayProcess.StartReady(
            $$"""
            catalog: { consul: { address: "http://127.0.0.1:{{liar.Port}}" } }
            internal: { addresses: [127.0.0.7] }
            """);
        await Platform.Serves(victim, "victim", "127.0.0.7");
        await Platform.Serves(other, "other", "127.0.0.7");

        await liar.Ask("/liar/on");
        await platform.Consul.Register(server.AsService(about, "production", $"internal-listen-http-{victim}", "note"));
        await Eventually.True(async () => int.Parse((await liar.Ask("/liar/count")).Text) > 0, "the lie was told");
        JsonElement problem = await gateway.Problem(about, with);
        Assert.False(string.IsNullOrEmpty(problem.GetProperty("now").GetString()));
        await Eventually.Stays(
            async () => (await Wire.Get(victim, address: "127.0.0.7")).ServedBy == "victim"
                && (await Wire.Get(other, address: "127.0.0.7")).ServedBy == "other",
            "each port serves its own",
            seconds: 2);
        await platform.Serve($"later-{unique}", "later", "production", $"internal-listen-http-{later}");
        await Platform.Serves(later, "later", "127.0.0.7");
    }

    // A problem as `gateway problems --json` prints it.
    private async Task<JsonElement> Problem(params string[] parts)
    {
        await platform.Gateway.Problem(parts);
        JsonElement problems = await platform.Gateway.CommandJson("problems");
        JsonElement found = problems.EnumerateArray()
            .First(problem => Array.TrueForAll(parts, part => GatewayProcess.Plain(problem).Contains(part, StringComparison.Ordinal)));
        foreach (string field in new[] { "code", "service", "instance", "place", "value", "allowed", "now", "since" })
        {
            Assert.True(found.TryGetProperty(field, out _), $"no '{field}' in {found}");
        }

        Assert.False(string.IsNullOrWhiteSpace(found.GetProperty("now").GetString()), $"nothing says what happens now: {found}");
        return found;
    }

    // Runs a mistake beside a neighbour under load, which must not notice.
    private async Task Beside(Func<int, string, Task> mistake)
    {
        int neighbour = await platform.Shared();
        string service = $"bad-{Guid.NewGuid().ToString("N")[..8]}";
        LoadClient load = new LoadClient().Http(neighbour, keepAlive: 1, fresh: 1);
        LoadReport report;
        try
        {
            await mistake(Ports.Production(), service);
        }
        finally
        {
            report = await load.Stop();
        }

        Assert.True(report.Failures == 0, report.ToString());
    }
}
