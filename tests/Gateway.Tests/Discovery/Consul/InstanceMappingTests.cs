using System.Text.Json;
using Gateway.Catalog;
using Gateway.Discovery.Consul;

namespace Gateway.Tests.Discovery.Consul;

public sealed class InstanceMappingTests
{
    [Theory]
    [InlineData("", ReportedHealth.Unchecked)]
    [InlineData("serfHealth:passing", ReportedHealth.Passing)]
    [InlineData("serfHealth:critical service:a=passing", ReportedHealth.Critical)]
    [InlineData("serfHealth:passing service:a=warning", ReportedHealth.Warning)]
    [InlineData("service:a=critical service:b=warning", ReportedHealth.Critical)]
    [InlineData("service:a=passing other:z=critical", ReportedHealth.Passing)]
    [InlineData("_node_maintenance:critical service:a=passing", ReportedHealth.Maintenance)]
    [InlineData("service:a=critical _service_maintenance:a=critical", ReportedHealth.Maintenance)]
    [InlineData("service:a=whatever", ReportedHealth.Critical)]
    public void Worst_of_node_and_own_checks_counts_and_maintenance_before_all(string checks, ReportedHealth expected)
    {
        // CHECK:STATUS is a node check, SERVICECHECK:INSTANCE=STATUS one of the service; instances here are 'a' but for 'z'.
        List<WireCheck?> all = [.. checks.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(c =>
        {
            string[] parts = c.Split('=');
            string[] id = parts[0].Split(':');
            return parts.Length == 1
                ? new WireCheck(id[0], id[1], "")
                : new WireCheck(parts[0], parts[1], id[1] == "z" ? "z" : "a");
        })];

        Assert.Equal(expected, Map(new WireEntry(new("n", "10.0.0.1"), Service("a"), all)).Instances[0].Health);
    }

    [Fact]
    public void Node_address_stands_in_and_absent_things_have_Consuls_defaults()
    {
        Instance instance = Map(new WireEntry(new("n", "10.0.0.1"), Service("a") with { Address = "" }, null)).Instances[0];

        Assert.Equal("10.0.0.1", instance.Address);
        Assert.Equal((1, 1), (instance.WeightPassing, instance.WeightWarning));
        Assert.Empty(instance.Tags);
        Assert.Empty(instance.Meta);
        Assert.Equal(ReportedHealth.Unchecked, instance.Health);
    }

    [Fact]
    public void Absurd_numbers_of_one_instance_do_not_make_its_neighbours_unreadable()
    {
        const string Json = """
            [{"Node":{"Node":"n"},"Service":{"ID":"a","Service":"web","Port":99999999999,"Tags":["x",null],"Weights":{"Passing":-5}}},
             {"Node":{"Node":"n"},"Service":{"ID":"b","Service":"web","Port":80,"Meta":{"k":null},"Later":{"x":[1]}}}]
            """;
        List<WireEntry> entries = JsonSerializer.Deserialize(Json, ConsulJson.Default.ListWireEntry)!;

        Service service = InstanceMapping.Map("web", entries, null, out string? wrong);

        Assert.Null(wrong);
        Assert.Equal((int.MaxValue, 0), (service.Instances[0].Port, service.Instances[0].WeightPassing));
        Assert.Equal(["x"], service.Instances[0].Tags);
        Assert.Equal(new MetaEntry("k", ""), service.Instances[1].Meta[0]);
    }

    [Fact]
    public void Another_services_answer_is_wrong_but_another_case_is_only_left_out()
    {
        InstanceMapping.Map("web", [Entry("a", "api")], null, out string? wrong);
        Service both = InstanceMapping.Map("web", [Entry("a", "web"), Entry("b", "WEB")], null, out string? fine);

        Assert.Contains("api", wrong);
        Assert.Null(fine);
        Assert.Equal("a", Assert.Single(both.Instances).ServiceId);
    }

    [Fact]
    public void What_did_not_change_is_the_same_object_in_any_order()
    {
        Service before = InstanceMapping.Map("web", [Entry("a", "web"), Entry("b", "web")], null, out _);

        Assert.Same(before, InstanceMapping.Map("web", [Entry("b", "web"), Entry("a", "web")], before, out _));
        Service changed = InstanceMapping.Map("web", [Entry("a", "web"), Entry("b", "web", 81)], before, out _);
        Assert.NotSame(before, changed);
        Assert.Same(before.Instances[0], changed.Instances[0]);
    }

    [Fact]
    public void Additions_take_nothing_away_and_change_nothing()
    {
        Service before = InstanceMapping.Map("web", [Entry("a", "web"), Entry("b", "web")], null, out _);
        Service next = InstanceMapping.Map("web", [Entry("b", "web", 81), Entry("c", "web")], before, out _);

        Service sum = InstanceMapping.Additions(before, next);

        Assert.Equal(["a", "b", "c"], sum.Instances.Select(i => i.ServiceId));
        Assert.Equal(80, sum.Instances[1].Port);
        Assert.False(InstanceMapping.OnlyAdds(before, next));
        Assert.True(InstanceMapping.OnlyAdds(before, sum));
        Assert.True(InstanceMapping.OnlyAdds(null, next));
    }

    private static Service Map(WireEntry entry) => InstanceMapping.Map("web", [entry], null, out _);

    private static WireService Service(string id, string name = "web", long port = 80) =>
        new(id, name, null, "10.9.9.9", null, port, null, 1, 1);

    private static WireEntry Entry(string id, string name, long port = 80) => new(new("n", "10.0.0.1"), Service(id, name, port), []);
}
