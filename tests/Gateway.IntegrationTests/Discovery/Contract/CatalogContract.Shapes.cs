using System.Net;
using System.Text.Json.Nodes;

namespace Gateway.IntegrationTests.Discovery.Contract;

// What was registered comes back in Consul's shapes.
public abstract partial class CatalogContract
{
    [Fact]
    public async Task Marathon_registrators_shape_is_taken_and_read_back()
    {
        string name = Unique("test-server");
        string id = $"{name}.5f1c:3000";
        await Register($$$"""{"ID":"{{{id}}}","Name":"{{{name}}}","Tags":["production"," internal-listen-http-3000"],"Address":"10.0.0.5","Port":31000}""");

        JsonNode service = (await Get("v1/agent/services")).Json[id]!;
        Same($$$"""
            {"ID":"{{{id}}}","Service":"{{{name}}}","Tags":["production"," internal-listen-http-3000"],"Meta":{},"Port":31000,
             "Address":"10.0.0.5",
             "TaggedAddresses":{"lan_ipv4":{"Address":"10.0.0.5","Port":31000},"wan_ipv4":{"Address":"10.0.0.5","Port":31000}},
             "Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false}
            """, service);

        await HasInstances(name, 1);
        JsonNode health = (await Get($"v1/health/service/{name}")).Json[0]!;
        Assert.Null(health["Service"]!["Meta"]);
        Same("""{"Passing":1,"Warning":1}""", health["Service"]!["Weights"]!);
        Same("""{"MeshGateway":{},"Expose":{}}""", health["Service"]!["Proxy"]!);
        Same("{}", health["Service"]!["Connect"]!);
        Assert.Equal(
            ["ID", "Service", "Tags", "Address", "TaggedAddresses", "Meta", "Port", "Weights", "EnableTagOverride", "Proxy", "Connect", "CreateIndex", "ModifyIndex"],
            health["Service"]!.AsObject().Select(p => p.Key));
        Assert.Equal(
            ["ID", "Node", "Address", "Datacenter", "TaggedAddresses", "Meta", "CreateIndex", "ModifyIndex"],
            health["Node"]!.AsObject().Select(p => p.Key));

        // No check of its own: the node's check stands alone.
        JsonNode serf = Assert.Single(health["Checks"]!.AsArray())!;
        Assert.Equal(
            ["Node", "CheckID", "Name", "Status", "Notes", "Output", "ServiceID", "ServiceName", "ServiceTags", "Type", "Definition", "CreateIndex", "ModifyIndex"],
            serf.AsObject().Select(p => p.Key));
        Assert.Equal("serfHealth", (string)serf["CheckID"]!);
        Assert.Equal("passing", (string)serf["Status"]!);
        Assert.Equal("", (string)serf["ServiceID"]!);
        Same("[]", serf["ServiceTags"]!);

        JsonNode catalog = (await Get($"v1/catalog/service/{name}")).Json[0]!;
        Assert.Equal(
            ["ID", "Node", "Address", "Datacenter", "TaggedAddresses", "NodeMeta", "ServiceKind", "ServiceID", "ServiceName", "ServiceTags", "ServiceAddress", "ServiceTaggedAddresses", "ServiceWeights", "ServiceMeta", "ServicePort", "ServiceEnableTagOverride", "ServiceProxy", "ServiceConnect", "CreateIndex", "ModifyIndex"],
            catalog.AsObject().Select(p => p.Key));
        Same("{}", catalog["ServiceMeta"]!);
        Assert.Equal(31000, (int)catalog["ServicePort"]!);
        Assert.Equal("10.0.0.5", (string)catalog["ServiceAddress"]!);
        Assert.Equal("[]", Compact((await Get($"v1/health/checks/{name}")).Json));
    }

    [Fact]
    public async Task Gliderlabs_registrators_shape_is_taken_with_its_check_critical_at_first()
    {
        string name = Unique("redis");
        string id = $"host:{name}:6379";
        await Register($$$"""
            {"ID":"{{{id}}}","Name":"{{{name}}}","Port":32768,"Address":"172.17.0.2","Tags":["a","b"],"Meta":{"k":"v"},
             "Check":{"TTL":"30s","DeregisterCriticalServiceAfter":"10m"},"Checks":null}
            """);
        await HasInstances(name, 1);
        JsonArray checks = (await Get($"v1/health/checks/{name}")).Json.AsArray();
        JsonNode check = Assert.Single(checks)!;
        Assert.Equal($"service:{id}", (string)check["CheckID"]!);
        Assert.Equal($"Service '{name}' check", (string)check["Name"]!);
        Assert.Equal("critical", (string)check["Status"]!);
        Assert.Equal("ttl", (string)check["Type"]!);
        Assert.Equal(id, (string)check["ServiceID"]!);
        Assert.Equal(name, (string)check["ServiceName"]!);
        Same("""["a","b"]""", check["ServiceTags"]!);
        Same("{}", check["Definition"]!);
        Same("""{"k":"v"}""", (await Get($"v1/health/service/{name}")).Json[0]!["Service"]!["Meta"]!);
        Same("[]", (await Get($"v1/health/service/{name}?passing")).Json);
    }

    [Fact]
    public async Task Udp_ids_and_ids_with_slashes_and_blanks_are_ids_like_others()
    {
        string name = Unique("dns");
        string id = $"host/{name} x:53:udp";
        await Register($$$"""{"ID":"{{{id}}}","Name":"{{{name}}}","Port":53}""");
        Answer one = await Get($"v1/agent/service/{Uri.EscapeDataString(id)}");
        Assert.Equal(HttpStatusCode.OK, one.Status);
        Assert.Equal(id, (string)one.Json["ID"]!);
        Assert.NotEqual("", (string)one.Json["ContentHash"]!);
        await Done($"v1/agent/service/deregister/{Uri.EscapeDataString(id)}");
        Assert.Equal(HttpStatusCode.NotFound, (await Get($"v1/agent/service/{Uri.EscapeDataString(id)}")).Status);
    }

    [Theory]
    [InlineData("""{"id":"@","name":"@","port":7,"tags":["x"],"meta":{"a":"b"},"weights":{"passing":3,"warning":2},"enabletagoverride":true,"check":{"ttl":"30s","status":"passing","deregistercriticalserviceafter":"2m"}}""")]
    [InlineData("""{"ID":"@","NAME":"@","PORT":7,"Tags":["x"],"Meta":{"a":"b"},"Weights":{"Passing":3,"Warning":2},"EnableTagOverride":true,"Check":{"TTL":"30s","Status":"passing","DeregisterCriticalServiceAfter":"2m"}}""")]
    [InlineData("""{"ID":"@","Name":"@","Port":7,"Tags":["x"],"Meta":{"a":"b"},"Weights":{"Passing":3,"Warning":2},"enable_tag_override":true,"Check":{"TTL":"30s","Status":"passing","deregister_critical_service_after":"2m"}}""")]
    public async Task Field_names_are_taken_in_every_case(string body)
    {
        string name = Unique("cases");
        await Register(body.Replace("@", name, StringComparison.Ordinal));
        await Sees($"v1/health/service/{name}?passing", a => a.Json.AsArray().Count == 1);
        JsonNode service = (await Get($"v1/health/service/{name}")).Json[0]!["Service"]!;
        Assert.Equal(7, (int)service["Port"]!);
        Assert.True((bool)service["EnableTagOverride"]!);
        Same("""{"Passing":3,"Warning":2}""", service["Weights"]!);
        Same("""{"a":"b"}""", service["Meta"]!);
    }

    [Fact]
    public async Task Nulls_mean_absent()
    {
        string name = Unique("nulls");
        await Register($$$"""{"Name":"{{{name}}}","ID":null,"Tags":null,"Meta":null,"Port":null,"Address":null,"Check":null,"Checks":null,"Weights":null,"Connect":null,"Proxy":null,"TaggedAddresses":null}""");
        JsonNode service = (await Get("v1/agent/services")).Json[name]!;
        Same($$$"""{"ID":"{{{name}}}","Service":"{{{name}}}","Tags":[],"Meta":{},"Port":0,"Address":"","Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false}""", service);
    }

    [Fact]
    public async Task A_weight_left_out_of_a_block_is_zero_and_tagged_addresses_are_kept()
    {
        string name = Unique("weights");
        await Register($$$"""{"Name":"{{{name}}}","Address":"::1","Port":9,"Weights":{"Passing":10},"TaggedAddresses":{"wan":{"Address":"1.2.3.4","Port":5} } }""");
        JsonNode service = (await Get("v1/agent/services")).Json[name]!;
        Same("""{"Passing":10,"Warning":0}""", service["Weights"]!);
        Same("""{"lan_ipv6":{"Address":"::1","Port":9},"wan":{"Address":"1.2.3.4","Port":5},"wan_ipv6":{"Address":"::1","Port":9}}""", service["TaggedAddresses"]!);
    }

    [Fact]
    public async Task Several_checks_are_numbered_and_keep_their_own_ids()
    {
        string name = Unique("several");
        await Register($$$"""{"Name":"{{{name}}}","Port":81,"Checks":[{"TTL":"300s","Name":"first"},{"TTL":"300s","Status":"passing"},{"CheckID":"{{{name}}}-own","TTL":"200s","Status":"warning","Notes":"no"}]}""");
        await Sees($"v1/health/checks/{name}", a => a.Json.AsArray().Count == 3);
        Assert.Equal(
            [$"service:{name}:1 first critical", $"service:{name}:2 Service '{name}' check passing", $"{name}-own Service '{name}' check warning"],
            (await Get($"v1/health/checks/{name}")).Json.AsArray()
                .Select(c => $"{c!["CheckID"]} {c["Name"]} {c["Status"]}").OrderByDescending(c => c.StartsWith("service:", StringComparison.Ordinal)).ThenBy(c => c, StringComparer.Ordinal));
    }

    [Fact]
    public async Task Services_are_listed_with_the_union_of_their_tags()
    {
        string name = Unique("union");
        await Register($$$"""{"ID":"{{{name}}}-1","Name":"{{{name}}}","Tags":["a","b"]}""");
        await Register($$$"""{"ID":"{{{name}}}-2","Name":"{{{name}}}","Tags":["b","c"]}""");
        await HasInstances(name, 2);
        Answer services = await Get("v1/catalog/services");
        Assert.Equal(["a", "b", "c"], services.Json[name]!.AsArray().Select(t => (string)t!).Order());
        Assert.Equal("application/json", services.ContentType);
        Assert.Equal("true", services.KnownLeader);
        Assert.Equal("0", services.LastContact);
        Assert.True(services.Index > 0);
    }

    [Fact]
    public async Task Tag_selects_without_case_and_several_must_all_be_there()
    {
        string name = Unique("tags");
        await Register($$$"""{"ID":"{{{name}}}-1","Name":"{{{name}}}","Tags":["Production","x"]}""");
        await Register($$$"""{"ID":"{{{name}}}-2","Name":"{{{name}}}","Tags":["staging"]}""");
        await HasInstances(name, 2);
        foreach (string api in (string[])["health", "catalog"])
        {
            Assert.Single((await Get($"v1/{api}/service/{name}?tag=production")).Json.AsArray());
            Assert.Single((await Get($"v1/{api}/service/{name}?tag=production&tag=x")).Json.AsArray());
            Assert.Empty((await Get($"v1/{api}/service/{name}?tag=production&tag=staging")).Json.AsArray());
        }
    }

    [Fact]
    public async Task The_agent_tells_who_it_is()
    {
        JsonNode self = (await Get("v1/agent/self")).Json;
        Assert.Equal("dc1", (string)self["Config"]!["Datacenter"]!);
        Assert.Equal("contract", (string)self["Config"]!["NodeName"]!);
        Assert.True((bool)self["Config"]!["Server"]!);
        Assert.Equal("127.0.0.1", (string)self["Member"]!["Addr"]!);
        Assert.Equal("127.0.0.1", (string)self["DebugConfig"]!["AdvertiseAddrLAN"]!);
        Assert.Matches("^\"127.0.0.1:[0-9]+\"$", (await Get("v1/status/leader")).Body.Trim());
        Assert.Single((await Get("v1/status/peers")).Json.AsArray());
        JsonNode node = Assert.Single((await Get("v1/catalog/nodes")).Json.AsArray())!;
        Assert.Equal("contract", (string)node["Node"]!);
        Assert.Equal("127.0.0.1", (string)node["TaggedAddresses"]!["lan_ipv4"]!);
    }

    [Fact]
    public async Task Filters_select_checks_and_services()
    {
        string name = Unique("filter");
        await Register($$$"""{"Name":"{{{name}}}","Tags":["{{{name}}}-tag"],"Meta":{"zone":"a"},"Check":{"TTL":"300s"}}""");
        await Sees($"v1/health/checks/{name}", a => a.Json.AsArray().Count == 1);

        string filter = Uri.EscapeDataString($"\"{name}-tag\" in ServiceTags or ServiceID == \"\"");
        Assert.Contains($"service:{name}", (await Get($"v1/health/state/any?filter={filter}")).Json.AsArray().Select(c => (string)c!["CheckID"]!));
        Assert.Contains("serfHealth", (await Get($"v1/health/state/any?filter={filter}")).Json.AsArray().Select(c => (string)c!["CheckID"]!));
        foreach ((string expression, int count) in ((string, int)[])[
            ("Service.Meta.zone == a", 1), ("Service.Meta.zone != a", 0), ("Service.Tags contains \"no\"", 0), ("Service.Tags is empty", 0),
            ("not (Service.Tags is empty) and Service.ID matches \"^filter-\"", 1), ("Service.Meta is not empty", 1)])
        {
            Answer answer = await Get($"v1/health/service/{name}?filter={Uri.EscapeDataString(expression)}");
            Assert.True(answer.Status == HttpStatusCode.OK && answer.Json.AsArray().Count == count, $"{expression}: {answer.Body}");
        }

        Assert.Equal([name], (await Get($"v1/agent/services?filter={Uri.EscapeDataString($"Service == \"{name}\"")}")).Json.AsObject().Select(s => s.Key));

        Answer operation = await Get($"v1/health/service/{name}?filter={Uri.EscapeDataString("Service.Meta.zone is empty")}");
        Assert.Equal(HttpStatusCode.InternalServerError, operation.Status);
        Assert.Contains("Invalid match operator \"Is Empty\" for selector \"Service.Meta.zone\"", operation.Body, StringComparison.Ordinal);
        Answer bad = await Get("v1/health/state/any?filter=bogus");
        Assert.Equal(HttpStatusCode.InternalServerError, bad.Status);
        Assert.Equal("false", bad.KnownLeader);
        Assert.StartsWith("Failed to create boolean expression evaluator: ", bad.Body, StringComparison.Ordinal);
        Answer unknown = await Get("v1/agent/services?filter=Bogus%20==%20two");
        Assert.Equal(HttpStatusCode.InternalServerError, unknown.Status);
        Assert.Contains("Selector \"Bogus\" is not valid", unknown.Body, StringComparison.Ordinal);
    }

    private static string Compact(JsonNode node) => node.ToJsonString();

    private static void Same(string expected, JsonNode actual) =>
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(expected), actual), $"expected {expected}\nactual {actual.ToJsonString()}");
}
