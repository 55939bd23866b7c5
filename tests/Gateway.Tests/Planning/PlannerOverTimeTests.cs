using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.Tests.Planning;

/// <summary>What a plan owes to the one before it.</summary>
public sealed class PlannerOverTimeTests
{
    private static readonly Instance App = new()
    {
        Service = "app",
        Node = "n1",
        ServiceId = "app-1",
        Address = "10.0.0.1",
        Port = 31000,
        Tags = ["production", "internal-listen-http-3000", "external-host-app.example.com"],
        CreateIndex = 10,
    };

    private static readonly PlanningOptions Edge = new() { Edge = true, Environments = [new("production", "{port}", "{host}")] };

    private readonly Planner _planner = new();
    private Plan _plan = Plan.Empty;

    [Fact]
    public void A_port_lingers_until_its_grace_is_over_and_is_itself_again_when_its_service_comes_back()
    {
        Next([App]);
        Next([]);
        ListenerPlan lingering = Assert.Single(_plan.Listeners);
        Assert.True(lingering.Lingering);
        Assert.Empty(Assert.Single(_plan.Clusters).Destinations);
        Assert.Equal("app@production", Assert.Single(_plan.Routes).Cluster);

        // Still there, still the same objects.
        Next([]);
        Assert.Same(lingering, Assert.Single(_plan.Listeners));

        Next([App]);
        Assert.False(Assert.Single(_plan.Listeners).Lingering);
        Assert.Single(Assert.Single(_plan.Clusters).Destinations);

        Next([]);
        Next([], lingering.Key);
        Assert.Equal(Plan.Empty, _plan);
    }

    [Fact]
    public void A_host_stays_with_its_owner_when_that_is_split_by_port()
    {
        Instance one = App with { Tags = ["production", "internal-listen-http-3000", "internal-listen-http-3010", "external-host-app.example.com"] };
        Instance older = App with { Service = "older", ServiceId = "older-1", CreateIndex = 1, Tags = ["production", "external-host-app.example.com"] };
        Next([one with { ServiceId = "h:app:3000" }, one with { ServiceId = "odd" }]);
        Assert.Contains(_plan.Routes, r => r is { Host: "app.example.com", Cluster: "app@production" });

        Next([one with { ServiceId = "h:app:3000" }, one with { ServiceId = "h:app:3010" }, older]);
        Assert.Contains(_plan.Routes, r => r is { Host: "app.example.com", Cluster: "app@production:3000" });

        Next([one with { ServiceId = "h:app:3000" }, one with { ServiceId = "odd" }, older]);
        Assert.Contains(_plan.Routes, r => r is { Host: "app.example.com", Cluster: "app@production" });
        Assert.Contains("belongs to app@production, which has it already", Assert.Single(_plan.Problems, p => p.Code == "host-taken").Now, StringComparison.Ordinal);
    }

    [Fact]
    public void An_older_newcomer_waits_until_the_present_owner_gives_up()
    {
        Instance older = App with { Service = "older", ServiceId = "older-1", CreateIndex = 1 };
        Next([App]);
        Next([App, older]);
        Assert.Equal("app", Assert.Single(_plan.Listeners).Service);
        Assert.Equal(["app@production", "app@production"], _plan.Routes.Select(r => r.Cluster));
        Assert.Equal(["host-taken", "port-taken"], _plan.Problems.Select(p => p.Code).Order());

        Next([App with { Tags = ["production"] }, older]);
        Assert.Equal("older", Assert.Single(_plan.Listeners).Service);
        Assert.Equal(["older@production", "older@production"], _plan.Routes.Select(r => r.Cluster));
        Assert.Empty(_plan.Problems);
    }

    [Fact]
    public void A_service_keeps_its_port_when_it_changes_protocol()
    {
        Instance older = App with { Service = "older", ServiceId = "older-1", CreateIndex = 1 };
        Next([App]);
        Next([App with { Tags = ["production", "internal-listen-tcp-3000"] }, older]);
        ListenerPlan listener = Assert.Single(_plan.Listeners);
        Assert.Equal(("app", ListenProtocol.Tcp), (listener.Service, listener.Protocol));
    }

    [Fact]
    public void A_port_that_Gateway_needs_itself_does_not_linger()
    {
        Next([App]);
        Plan plan = _planner.Plan(new PlanInput
        {
            Catalogs = [CatalogSnapshot.Empty],
            Options = Edge with { Reserved = [new(3000, "Gateway's admin")] },
            Present = _plan.Listeners,
        });
        Assert.Equal(Plan.Empty, plan);
    }

    [Fact]
    public void A_lingering_port_is_ours_so_a_destination_there_is_a_loop()
    {
        Next([App]);
        Next([App with { Service = "other", ServiceId = "other-1", Address = "127.0.0.1", Port = 3000, Tags = ["internal-listen-http-4000"] }]);
        Assert.Equal("loop-destination", Assert.Single(_plan.Problems).Code);
        Assert.Empty(_plan.Clusters.Single(c => c.Service == "other").Destinations);
    }

    private void Next(Instance[] instances, params ListenerKey[] expired) => _plan = _planner.Plan(new PlanInput
    {
        Catalogs = [CatalogSnapshot.Of(instances)],
        Options = Edge,
        Present = _plan.Listeners,
        PresentRoutes = _plan.Routes,
        Expired = expired.ToHashSet(),
    });
}
