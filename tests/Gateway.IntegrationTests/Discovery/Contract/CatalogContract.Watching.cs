using System.Net;
using System.Text.Json.Nodes;

namespace Gateway.IntegrationTests.Discovery.Contract;

// What wakes a blocking query, and the rules of the index (reference/zero-downtime.md §3.1-3.2).
public abstract partial class CatalogContract
{
    [Fact]
    public async Task A_check_that_flips_wakes_health_and_state_but_not_services()
    {
        string name = Unique("flip");
        await Register($$$"""{"Name":"{{{name}}}","Check":{"TTL":"300s"}}""");
        await HasInstances(name, 1);
        Watcher health = await Watch($"v1/health/service/{name}");
        Watcher passing = await Watch($"v1/health/service/{name}?passing");
        Watcher checks = await Watch($"v1/health/checks/{name}");
        Watcher state = await Watch("v1/health/state/any");
        Watcher critical = await Watch("v1/health/state/critical");
        Watcher services = await Watch("v1/catalog/services");

        // catalog/service/NAME sleeps on too, but Consul reports a higher index to whoever asks just after the flip, so whether
        // our blocked query came first is a race here; a unit test holds it for the embedded catalog.
        await Done($"v1/agent/check/pass/service:{name}?note=fine");

        Assert.Equal("passing", (string)(await Wakes(health)).Json[0]!["Checks"]![1]!["Status"]!);
        Assert.Single((await Wakes(passing)).Json.AsArray());
        Assert.Equal("fine", (string)(await Wakes(checks)).Json[0]!["Output"]!);
        await Wakes(state);
        await Wakes(critical);
        await SleepsOn(services);
    }

    [Fact]
    public async Task A_heartbeat_with_the_same_status_wakes_nobody()
    {
        string name = Unique("beat");
        string other = Unique("beat");
        await Register($$$"""{"Name":"{{{name}}}","Check":{"TTL":"300s","Status":"passing"}}""");
        await Register($$$"""{"Name":"{{{other}}}","Check":{"TTL":"300s"}}""");
        await HasInstances(name, 1);
        await HasInstances(other, 1);
        await Done($"v1/agent/check/pass/service:{name}?note=a");
        await Done($"v1/agent/check/pass/service:{name}?note=a");
        Watcher health = await Watch($"v1/health/service/{name}");
        Watcher sentinel = await Watch($"v1/health/service/{other}");

        await Done($"v1/agent/check/pass/service:{name}?note=a");
        await Done($"v1/agent/check/pass/service:{other}");

        await Wakes(sentinel);
        await SleepsOn(health);
    }

    [Fact]
    public async Task The_same_registration_again_wakes_nobody_and_keeps_what_its_check_said()
    {
        string name = Unique("again");
        string other = Unique("again");
        string body = $$$"""{"Name":"{{{name}}}","Tags":["a"],"Meta":{"k":"v"},"Port":1,"Check":{"TTL":"300s","Status":"critical"}}""";
        await Register(body);
        await HasInstances(name, 1);
        await Done($"v1/agent/check/pass/service:{name}?note=up");
        await Sees($"v1/health/service/{name}?passing", a => a.Json.AsArray().Count == 1);
        Watcher health = await Watch($"v1/health/service/{name}");
        Watcher services = await Watch($"v1/catalog/service/{name}");
        Watcher sentinel = await Watch("v1/catalog/services");

        await Register(body);
        await Register($$$"""{"Name":"{{{other}}}"}""");

        await Wakes(sentinel);
        await SleepsOn(health);
        await SleepsOn(services);
        JsonNode check = (await Get($"v1/health/checks/{name}")).Json[0]!;
        Assert.Equal("passing", (string)check["Status"]!);
        Assert.Equal("up", (string)check["Output"]!);
    }

    [Fact]
    public async Task Instances_that_come_and_go_wake_their_watchers_and_no_other_services()
    {
        string name = Unique("come");
        string other = Unique("other");
        await Register($$$"""{"ID":"{{{name}}}-1","Name":"{{{name}}}","Check":{"TTL":"300s"}}""");
        await Register($$$"""{"Name":"{{{other}}}"}""");
        await HasInstances(name, 1);
        await HasInstances(other, 1);

        Watcher asleep = await Watch($"v1/health/service/{other}");
        Watcher never = await Watch($"v1/health/service/{Unique("never")}");
        Watcher health = await Watch($"v1/health/service/{name}");
        Watcher definition = await Watch($"v1/catalog/service/{name}");
        Watcher services = await Watch("v1/catalog/services");
        Watcher state = await Watch("v1/health/state/any");
        await Register($$$"""{"ID":"{{{name}}}-2","Name":"{{{name}}}","Check":{"TTL":"300s"}}""");
        Assert.Equal(2, (await Wakes(health)).Json.AsArray().Count);
        Assert.Equal(2, (await Wakes(definition)).Json.AsArray().Count);
        await Wakes(services);
        await Wakes(state);

        health = await Watch($"v1/health/service/{name}");
        await Done($"v1/agent/service/deregister/{name}-1");
        Answer left = await Wakes(health);
        Assert.Equal($"{name}-2", (string)left.Json.AsArray().Single()!["Service"]!["ID"]!);

        // The last one: an empty list with a higher index, and the index stays there.
        health = await Watch($"v1/health/service/{name}");
        services = await Watch("v1/catalog/services");
        await Done($"v1/agent/service/deregister/{name}-2");
        Answer extinct = await Wakes(health);
        Assert.Empty(extinct.Json.AsArray());
        Assert.False((await Wakes(services)).Json.AsObject().ContainsKey(name));
        Assert.True((await Get($"v1/health/service/{name}")).Index >= extinct.Index);

        health = await Watch($"v1/health/service/{name}");
        await Register($$$"""{"ID":"{{{name}}}-3","Name":"{{{name}}}"}""");
        Assert.Single((await Wakes(health)).Json.AsArray());
        await SleepsOn(asleep);
        await never.Stop.CancelAsync();
    }

    [Theory]
    [InlineData("""{"Name":"@","Tags":["b"],"Check":{"TTL":"300s"}}""")]
    [InlineData("""{"Name":"@","Tags":["a"],"Meta":{"k":"v"},"Check":{"TTL":"300s"}}""")]
    [InlineData("""{"Name":"@","Tags":["a"],"Weights":{"Passing":2,"Warning":1},"Check":{"TTL":"300s"}}""")]
    [InlineData("""{"Name":"@","Tags":["a"],"Port":99,"Check":{"TTL":"300s"}}""")]
    public async Task Tags_meta_weights_and_ports_wake_health_services_and_definition(string changed)
    {
        string name = Unique("content");
        await Register($$$"""{"Name":"{{{name}}}","Tags":["a"],"Check":{"TTL":"300s"}}""");
        await HasInstances(name, 1);
        Watcher health = await Watch($"v1/health/service/{name}");
        Watcher definition = await Watch($"v1/catalog/service/{name}");
        Watcher services = await Watch("v1/catalog/services");
        ulong created = (ulong)(await Get($"v1/catalog/service/{name}")).Json[0]!["CreateIndex"]!;

        await Register(changed.Replace("@", name, StringComparison.Ordinal));

        await Wakes(health);
        JsonNode now = (await Wakes(definition)).Json[0]!;
        await Wakes(services);
        Assert.Equal(created, (ulong)now["CreateIndex"]!);
        Assert.True((ulong)now["ModifyIndex"]! > created);
    }

    [Fact]
    public async Task Service_maintenance_wakes_its_watchers_only()
    {
        string name = Unique("maint");
        string other = Unique("maint");
        await Register($$$"""{"Name":"{{{name}}}"}""");
        await Register($$$"""{"Name":"{{{other}}}"}""");
        await HasInstances(name, 1);
        await HasInstances(other, 1);
        Watcher health = await Watch($"v1/health/service/{name}");
        Watcher services = await Watch("v1/catalog/services");
        Watcher asleep = await Watch($"v1/health/service/{other}");

        await Done($"v1/agent/service/maintenance/{name}?enable=true&reason=because");
        JsonNode check = (await Wakes(health)).Json[0]!["Checks"]!.AsArray()
            .Single(c => (string)c!["CheckID"]! == $"_service_maintenance:{name}")!;
        Assert.Equal("critical", (string)check["Status"]!);
        Assert.Equal("because", (string)check["Notes"]!);
        Assert.Equal("Service Maintenance Mode", (string)check["Name"]!);
        Assert.Equal("maintenance", (string)check["Type"]!);

        health = await Watch($"v1/health/service/{name}");
        await Done($"v1/agent/service/maintenance/{name}?enable=false");
        Assert.Single((await Wakes(health)).Json[0]!["Checks"]!.AsArray());
        await SleepsOn(services);
        await SleepsOn(asleep);
    }

    [Fact]
    public async Task Node_maintenance_wakes_every_service_on_the_node()
    {
        string one = Unique("node");
        string two = Unique("node");
        await Register($$$"""{"Name":"{{{one}}}"}""");
        await Register($$$"""{"Name":"{{{two}}}"}""");
        await HasInstances(one, 1);
        await HasInstances(two, 1);
        Watcher first = await Watch($"v1/health/service/{one}");
        Watcher second = await Watch($"v1/health/service/{two}?passing");
        Watcher services = await Watch("v1/catalog/services");
        await Done("v1/agent/maintenance?enable=true");
        try
        {
            Assert.Contains("_node_maintenance", (await Wakes(first)).Json[0]!["Checks"]!.AsArray().Select(c => (string)c!["CheckID"]!));
            Assert.Empty((await Wakes(second)).Json.AsArray());
            await SleepsOn(services);
        }
        finally
        {
            await Done("v1/agent/maintenance?enable=false");
        }

        await Sees($"v1/health/service/{two}?passing", a => a.Json.AsArray().Count == 1);
    }

    [Fact]
    public async Task An_index_is_waited_for_and_a_wait_ends_with_the_same_index()
    {
        string name = Unique("wait");
        await Register($$$"""{"Name":"{{{name}}}"}""");
        await HasInstances(name, 1);
        Answer now = await Get($"v1/health/service/{name}");
        Answer later = await Get($"v1/health/service/{name}?index={now.Index}&wait=200ms");
        Assert.Equal(HttpStatusCode.OK, later.Status);
        Assert.Equal(now.Index, later.Index);
        Assert.Equal(now.Body, later.Body);

        // Old and zero answer at once.
        Assert.Equal(now.Index, (await Get($"v1/health/service/{name}?index={now.Index - 1}&wait=10m")).Index);
        Assert.Equal(now.Index, (await Get($"v1/health/service/{name}?index=0&wait=10m")).Index);
        Assert.Equal(now.Index, (await Get($"v1/health/service/{name}?wait=10m")).Index);
    }

    [Theory]
    [InlineData("index=abc", "Invalid index")]
    [InlineData("index=-1", "Invalid index")]
    [InlineData("index=1&wait=abc", "Invalid wait time")]
    [InlineData("index=1&wait=5", "Invalid wait time")]
    [InlineData("stale&consistent", "Cannot specify ?stale with ?consistent, conflicting semantics.")]
    public async Task Bad_parameters_of_a_blocking_query_are_400(string query, string text)
    {
        foreach (string path in (string[])["v1/catalog/services", "v1/health/state/any", "v1/health/service/x", "v1/catalog/service/x", "v1/kv/x"])
        {
            Answer answer = await Get($"{path}?{query}");
            Assert.Equal(HttpStatusCode.BadRequest, answer.Status);
            Assert.StartsWith(text, answer.Body, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Another_datacenter_is_an_error_without_a_leader()
    {
        Answer answer = await Get("v1/health/service/x?dc=nope");
        Assert.Equal(HttpStatusCode.InternalServerError, answer.Status);
        Assert.Equal("false", answer.KnownLeader);
        Assert.StartsWith("No path to datacenter", answer.Body, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.OK, (await Get("v1/health/service/x?dc=dc1&stale")).Status);
    }
}
