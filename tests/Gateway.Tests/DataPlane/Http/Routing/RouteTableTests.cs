using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Http;
using Gateway.DataPlane.Http.Routing;
using Gateway.Planning;

namespace Gateway.Tests.DataPlane.Http.Routing;

public sealed class RouteTableTests
{
    private readonly Dictionary<string, RouteTarget> _targets = [];

    [Fact]
    public void Listeners_are_told_apart_by_scope_and_port()
    {
        RouteTable table = Build(Route("internal", 80, "*", "a"), Route("10.0.0.1", 80, "*", "b"), Route("internal", 336, "*", "c"));

        Assert.Equal("a", Find(table, new("internal", 80)));
        Assert.Equal("b", Find(table, new("10.0.0.1", 80)));
        Assert.Equal("c", Find(table, new("internal", 336)));
        Assert.Null(Find(table, new("internal", 81)));
    }

    [Fact]
    public void Edge_listeners_without_their_own_routes_have_those_of_the_edge()
    {
        RouteTable table = Build(Route("edge", 0, "a.example", "a"), Route("internal", 80, "*", "b"));

        Assert.Equal("a", Find(table, new("0.0.0.0", 443)));
        Assert.Null(Find(table, new("internal", 443)));
    }

    [Fact]
    public void A_change_builds_only_its_own_listener_and_the_old_table_stays_as_it_was()
    {
        RoutePlan[] routes = [.. Enumerable.Range(1, 20_000).Select(port => Route("internal", port, "*", "a"))];
        RouteTable old = Build(routes);
        RoutePlan changed = routes[4999] with { Cluster = "b" };
        RoutePlan[] after = [.. routes];
        after[4999] = changed;

        RouteTable table = old.With(
            new Plan { Routes = [.. after] }, new PlanDiff { RoutesChanged = [new(routes[4999], changed)] }, Target);

        Assert.Equal("b", Find(table, new("internal", 5000)));
        Assert.Equal("a", Find(old, new("internal", 5000)));
        Assert.Same(old.Find(new("internal", 5001)), table.Find(new("internal", 5001)));
        Assert.Same(old.Find(new("internal", 1)), table.Find(new("internal", 1)));
    }

    [Fact]
    public void A_listener_whose_last_route_goes_has_none()
    {
        RoutePlan one = Route("internal", 80, "*", "a");
        RouteTable table = Build(one, Route("x", 80, "*", "b")).With(
            new Plan { Routes = [Route("x", 80, "*", "b")] }, new PlanDiff { RoutesRemoved = [one] }, Target);

        Assert.Null(table.Find(new("internal", 80)));
        Assert.Equal("b", Find(table, new("x", 80)));
    }

    [Fact]
    public void An_empty_change_is_the_same_table()
    {
        RouteTable table = Build(Route("internal", 80, "*", "a"));
        Assert.Same(table, table.With(new Plan(), new PlanDiff(), Target));
    }

    [Fact]
    public void A_route_to_nowhere_is_our_mistake_and_loud() =>
        Assert.Throws<InvalidOperationException>(() => RouteTable.Empty.With(
            new Plan { Routes = [Route("internal", 80, "*", "a")] },
            new PlanDiff { RoutesAdded = [Route("internal", 80, "*", "a")] },
            _ => null));

    private static RoutePlan Route(string scope, int port, string host, string cluster) =>
        new() { Listener = new ListenerKey(scope, port), Host = host, Cluster = cluster };

    private static string? Find(RouteTable table, ListenerKey listener) =>
        table.Find(listener)?.Hosts.Find("a.example", "/")?.Cluster.Plan.Id;

    private RouteTable Build(params RoutePlan[] routes)
    {
        RoutePlan[] sorted = [.. routes.OrderBy(route => route.Listener)];
        return RouteTable.Empty.With(new Plan { Routes = [.. sorted] }, new PlanDiff { RoutesAdded = sorted }, Target);
    }

    private RouteTarget Target(string id)
    {
        if (!_targets.TryGetValue(id, out RouteTarget? target))
        {
            ClusterPlan plan = new() { Id = id, Service = id, Environment = "production" };
            _targets.Add(id, target = new RouteTarget(new ClusterState(plan), new RetryBudget()));
        }

        return target;
    }
}
