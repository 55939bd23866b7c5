using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.Tests.Planning;

/// <summary>Where each value in force comes from, in the words of <c>gateway services NAME</c>.</summary>
public sealed class SettingOriginsTests
{
    private static readonly PlanningOptions s_options = new()
    {
        Services =
        [
            new("app", null, [new("timeouts.response", "4s", "g.yaml:3:5"), new("balance", "roundrobin", "g.yaml:4:5")]),
            new("app", "staging", [new("balance", "leastconn", "g.yaml:6:5")]),
        ],
        Static =
        [
            new("consul", 18500, ["127.0.0.1:8500"], [new("check", "none", "g.yaml:9:5"), new("timeouts.response", "15m", "g.yaml:9:20")], "g.yaml:9:3"),
            new("raw", 18501, ["127.0.0.1:8500"], [new("protocol", "tcp", "g.yaml:10:5")], "g.yaml:10:3"),
        ],
    };

    private static readonly CatalogSnapshot s_catalog = CatalogSnapshot.Of(
    [
        Of("a-1", "production", "gateway-check.http=/up", "balance-leastconn"),
        Of("a-2", "production", "gateway-check.http=/up", "gateway-check.interval=500ms") with { Meta = [new("gateway_timeouts_connect", "1s")] },
        Of("a-3", "staging") with { Meta = [new("gateway_timeouts_connect", "1s")] },
    ]);

    [Theory]
    [InlineData("app@production", "balance", "roundrobin", "g.yaml:4:5")]
    [InlineData("app@production", "check.http", "/up", "tag gateway-check.http=/up (n1/a-1 and 1 other)")]
    [InlineData("app@production", "check.interval", "10s", "default (of most instances)")]
    [InlineData("app@production", "timeouts.response", "4s", "g.yaml:3:5")]
    [InlineData("app@production", "check.rise", "1", "default")]
    [InlineData("app@staging", "balance", "leastconn", "g.yaml:6:5")]
    [InlineData("app@staging", "timeouts.connect", "1s", "meta gateway_timeouts_connect=1s (n1/a-3)")]
    [InlineData("app@staging", "check", "auto", "default")]
    [InlineData("consul@static", "check", "none", "g.yaml:9:5")]
    [InlineData("consul@static", "timeouts.response", "15m", "g.yaml:9:20")]
    [InlineData("consul@static", "check.fall", "3", "default of static services")]
    [InlineData("consul@static", "protocol", "http", "default")]
    [InlineData("raw@static", "protocol", "tcp", "g.yaml:10:5")]
    [InlineData("raw@static", "check", "tcp", "default (auto, of a TCP service)")]
    public void Every_value_tells_where_it_comes_from(string cluster, string key, string value, string from)
    {
        Plan plan = new Planner().Plan(new PlanInput { Catalogs = [s_catalog], Options = s_options });
        IReadOnlyList<EffectiveSetting> settings = new SettingOrigins(s_options)
            .Of(Assert.Single(plan.Clusters, c => c.Id == cluster), [s_catalog]);
        Assert.Equal(new EffectiveSetting(key, value, from), Assert.Single(settings, s => s.Key == key));
    }

    [Fact]
    public void What_is_told_is_what_is_planned()
    {
        Plan plan = new Planner().Plan(new PlanInput { Catalogs = [s_catalog], Options = s_options });
        SettingOrigins origins = new(s_options);
        foreach (ClusterPlan cluster in plan.Clusters)
        {
            Dictionary<string, string> told = origins.Of(cluster, [s_catalog]).ToDictionary(s => s.Key, s => s.Value, StringComparer.Ordinal);
            Assert.Equal(cluster.Balance.ToString(), told["balance"], ignoreCase: true);
            Assert.Equal(Units.Duration(cluster.Timeouts.Response), told["timeouts.response"]);
            Assert.Equal(Units.Duration(cluster.Timeouts.Connect), told["timeouts.connect"]);
            Assert.Equal(Units.Duration(cluster.Check.Interval), told["check.interval"]);
            Assert.Equal(Units.Duration(cluster.Check.FastInterval), told["check.fastInterval"]);
            Assert.Equal($"{cluster.Check.Fall}", told["check.fall"]);
            Assert.Equal(cluster.ForwardedFor ? "on" : "off", told["forwardedFor"]);
        }
    }

    private static Instance Of(string id, params string[] tags) => new()
    {
        Service = "app",
        Node = "n1",
        ServiceId = id,
        Address = "10.0.0.1",
        Port = 31000,
        Tags = [.. tags, "internal-listen-http-3000"],
    };
}
