using System.Diagnostics;
using Gateway.Catalog;
using Gateway.Discovery.Consul;

namespace Gateway.IntegrationTests.Discovery.Consul;

/// <summary>The source against the real Consul.</summary>
[Trait("Needs", "consul")]
public sealed class RealConsulTests : IAsyncLifetime
{
    private static readonly string[] Routed = ["routed"];
    private ConsulAgent _consul = null!;

    public async ValueTask InitializeAsync() => _consul = await ConsulAgent.StartAsync();

    public ValueTask DisposeAsync() => _consul is null ? default : _consul.DisposeAsync();

    [Fact]
    public async Task Facts_of_a_registration_arrive_as_they_are()
    {
        await _consul.RegisterAsync(new
        {
            Name = "web",
            ID = "web-1",
            Port = 8080,
            Address = "10.1.2.3",
            Tags = new[] { "routed", "Production " },
            Meta = new { b = "2", a = "1" },
            Weights = new { Passing = 7, Warning = 3 },
            Check = new { TTL = "1h", Status = "passing" },
        });
        await _consul.RegisterAsync(new { Name = "web", ID = "web-2", Port = 8081, Tags = Routed });
        await _consul.RegisterAsync(new { Name = "unrouted", Port = 1 });
        await using Watching watching = new(_consul.Address);

        await watching.Until("both", () => watching.Instances("web").Count == 2);

        Instance first = watching.Instances("web")[0];
        Assert.Equal(
            new Instance
            {
                Service = "web",
                Node = _consul.Node,
                ServiceId = "web-1",
                Address = "10.1.2.3",
                Port = 8080,
                Tags = ["routed", "Production "],
                Meta = [new("a", "1"), new("b", "2")],
                Health = ReportedHealth.Passing,
                WeightPassing = 7,
                WeightWarning = 3,
                CreateIndex = first.CreateIndex,
            },
            first);
        Assert.True(first.CreateIndex > 0);
        Assert.Equal("127.0.0.1:8081", watching.Instances("web")[1].EndPoint);
        Assert.Equal(["web"], watching.Names);
        Assert.Equal("1 service watch", watching.Status.Mode);
        Assert.Empty(watching.Status.Problems);
    }

    [Fact]
    public async Task Names_that_differ_in_case_are_two_services()
    {
        // Consul's index of names has no case: asked for one, it returns the instances of both.
        await _consul.RegisterAsync(new { Name = "web", ID = "a", Port = 1, Tags = Routed });
        await _consul.RegisterAsync(new { Name = "Web", ID = "b", Port = 2, Tags = Routed });
        await using Watching watching = new(_consul.Address);

        await watching.Until("both", () => watching.Names.Count == 2);

        Assert.Equal("a", Assert.Single(watching.Instances("web")).ServiceId);
        Assert.Equal("b", Assert.Single(watching.Instances("Web")).ServiceId);
    }

    [Fact]
    public async Task Odd_names_are_asked_for_as_they_are()
    {
        string[] names = ["..", "a b", "a/b", "ü%41", "x?y#z", new string('n', 4096)];
        for (int i = 0; i < names.Length; i++)
        {
            await _consul.RegisterAsync(new { Name = names[i], ID = $"id-{i}", Port = 1, Tags = Routed });
        }

        await using Watching watching = new(_consul.Address);

        // Consul's own router cannot be asked for '..'; that harms nobody else.
        await watching.Until("all but one", () => watching.Names.Count == names.Length - 1);
        Assert.Equal(names.Skip(1).Order(StringComparer.Ordinal), watching.Names);
        await watching.Until("the problem", () => watching.Status.Problems.Any(p => p.Service == ".."));
    }

    [Fact]
    public async Task Checks_and_maintenance_turn_into_health_and_deregistration_removes_at_once()
    {
        await _consul.RegisterAsync(new { Name = "web", Port = 1, Tags = Routed, Check = new { TTL = "1h" } });
        await using Watching watching = new(_consul.Address);
        await watching.Until("critical", Is(ReportedHealth.Critical));

        await _consul.CheckAsync("pass", "service:web");
        await watching.Until("passing", Is(ReportedHealth.Passing));
        await _consul.CheckAsync("warn", "service:web");
        await watching.Until("warning", Is(ReportedHealth.Warning));
        await _consul.CheckAsync("pass", "service:web");
        await watching.Until("passing again", Is(ReportedHealth.Passing));
        await _consul.MaintenanceAsync("web", true);
        await watching.Until("service maintenance", Is(ReportedHealth.Maintenance));
        await _consul.MaintenanceAsync("web", false);
        await watching.Until("back", Is(ReportedHealth.Passing));
        await _consul.MaintenanceAsync(null, true);
        await watching.Until("node maintenance", Is(ReportedHealth.Maintenance));
        await _consul.MaintenanceAsync(null, false);
        await watching.Until("back again", Is(ReportedHealth.Passing));
        await _consul.DeregisterAsync("web");
        await watching.Until("gone", () => watching.Names.Count == 0);
        Assert.Empty(watching.Status.Problems);

        Func<bool> Is(ReportedHealth health) => () => watching.Instances("web") is [{ } one] && one.Health == health;
    }

    [Fact]
    public async Task A_change_of_one_service_leaves_all_others_the_same_objects()
    {
        await _consul.RegisterAsync(new { Name = "a", Port = 1, Tags = Routed });
        await _consul.RegisterAsync(new { Name = "b", Port = 2, Tags = Routed });
        await using Watching watching = new(_consul.Address);
        await watching.Until("both", () => watching.Names.Count == 2);
        Service untouched = watching.Now.Services["a"];

        await _consul.RegisterAsync(new { Name = "b", Port = 3, Tags = Routed });
        await watching.Until("the new port", () => watching.Instances("b") is [{ Port: 3 }]);

        Assert.Same(untouched, watching.Now.Services["a"]);
    }

    [Fact]
    public async Task Agent_killed_and_restarted_takes_nothing_away_and_is_followed_again()
    {
        await _consul.RegisterAsync(new { Name = "web", Port = 1, Tags = Routed });
        await using Watching watching = new(_consul.Address);
        await watching.Until("web", () => watching.Names.Count == 1);
        int reports = watching.Reports.Count;

        await _consul.KillAsync();
        await watching.Until("the problem", () => watching.HasProblem("consul-unreachable"));
        Assert.Single(watching.Status.Problems);
        Assert.Equal(reports, watching.Reports.Count);
        await _consul.StartAgainAsync();
        await _consul.RegisterAsync(new { Name = "web", ID = "second", Port = 2, Tags = Routed });

        await watching.Until("both instances", () => watching.Instances("web").Count == 2, 30);
        await watching.Until("no problem", () => watching.Status.Problems.Count == 0);
    }

    [Fact]
    public async Task Above_the_limit_one_state_watch_follows_every_kind_of_change()
    {
        for (int i = 0; i < 160; i++)
        {
            await _consul.RegisterAsync(new { Name = $"s{i}", Port = i + 1, Tags = Routed, Check = new { TTL = "1h", Status = "passing" } });
        }

        await using Watching watching = new(_consul.Address);
        await watching.Until("all", () => watching.Names.Count == 160);
        await watching.Until("the state watch", () => watching.Status.Mode == "state watch");
        Assert.Single(watching.Reports);
        Service untouched = watching.Now.Services["s9"];

        // What checks show.
        await _consul.CheckAsync("fail", "service:s7");
        await watching.Until("critical", () => watching.Instances("s7") is [{ Health: ReportedHealth.Critical }]);
        await _consul.MaintenanceAsync("s8", true);
        await watching.Until("maintenance", () => watching.Instances("s8") is [{ Health: ReportedHealth.Maintenance }]);
        await _consul.RegisterAsync(new { Name = "s6", ID = "more", Port = 9, Tags = Routed, Check = new { TTL = "1h" } });
        await watching.Until("an instance more", () => watching.Instances("s6").Count == 2);
        await _consul.DeregisterAsync("more");
        await watching.Until("an instance less", () => watching.Instances("s6").Count == 1);

        // What catalog/services shows.
        await _consul.RegisterAsync(new { Name = "new", Port = 5, Tags = Routed });
        await watching.Until("a service more", () => watching.Instances("new") is [{ Port: 5 }]);
        await _consul.RegisterAsync(new { Name = "new", Port = 5, Tags = new[] { "routed", "more" } });
        await watching.Until("a tag more", () => watching.Instances("new") is [{ Tags.Count: 2 }]);
        await _consul.DeregisterAsync("s5");
        await watching.Until("a service less", () => !watching.Names.Contains("s5"));

        // What neither shows.
        await _consul.RegisterAsync(new { Name = "new", ID = "unchecked", Port = 6, Tags = Routed });
        await watching.Until("an unchecked instance", () => watching.Instances("new").Count == 2);
        await _consul.RegisterAsync(new { Name = "s4", Port = 5, Tags = Routed, Weights = new { Passing = 9, Warning = 1 } });
        await watching.Until("a weight", () => watching.Instances("s4") is [{ WeightPassing: 9 }]);

        // Serf and node checks count for every service of the node.
        await _consul.MaintenanceAsync(null, true);
        await watching.Until("node maintenance", () =>
            watching.Now.Services.Values.All(s => s.Instances.All(i => i.Health == ReportedHealth.Maintenance)));
        await _consul.MaintenanceAsync(null, false);
        await watching.Until("and back", () => watching.Instances("s9") is [{ Health: ReportedHealth.Passing }]);
        Assert.Equal(untouched, watching.Now.Services["s9"]);

        // Below the limit with some distance, every service gets its own watch again.
        for (int i = 100; i < 130; i++)
        {
            await _consul.DeregisterAsync($"s{i}");
        }

        await watching.Until("service watches", () => watching.Status.Mode == "130 service watches");
        await _consul.CheckAsync("warn", "service:s9");
        await watching.Until("warning", () => watching.Instances("s9") is [{ Health: ReportedHealth.Warning }]);
        Assert.Empty(watching.Status.Problems);
    }

    [Fact]
    public async Task State_watch_filters_where_most_services_are_not_routed()
    {
        for (int i = 0; i < 60; i++)
        {
            string[] tags = i < 20 ? Routed : [];
            await _consul.RegisterAsync(new { Name = $"s.{i}", Port = i + 1, Tags = tags, Check = new { TTL = "1h", Status = "passing" } });
        }

        Assert.NotNull(StateWatch.FilterFor([.. Enumerable.Range(0, 20).Select(i => $"s.{i}")], 61));
        await using Watching watching = new(_consul.Address, new WatchTiming { ServiceWatchesMax = 5 });
        await watching.Until("all", () => watching.Names.Count == 20);

        await _consul.CheckAsync("warn", "service:s.7");
        await watching.Until("warning", () => watching.Instances("s.7") is [{ Health: ReportedHealth.Warning }]);
        await _consul.RegisterAsync(new { Name = "s.30", Port = 31, Tags = Routed });
        await watching.Until("newly routed", () => watching.Names.Count == 21);
        await _consul.CheckAsync("fail", "service:s.30");
        await watching.Until("critical", () => watching.Instances("s.30") is [{ Health: ReportedHealth.Critical }]);
        await _consul.MaintenanceAsync(null, true);
        await watching.Until("node maintenance", () =>
            watching.Now.Services.Values.All(s => s.Instances.All(i => i.Health == ReportedHealth.Maintenance)));
        Assert.Empty(watching.Status.Problems);
    }

    [Fact]
    public async Task Connection_limit_of_Consul_is_found_and_told_without_a_busy_loop()
    {
        for (int i = 0; i < 300; i++)
        {
            await _consul.RegisterAsync(new { Name = $"s{i}", Port = i + 1, Tags = Routed, Check = new { TTL = "1h", Status = "passing" } });
        }

        // Consul 1.8 closes connection 201 of a client without a word.
        TimeSpan cpuBefore = Process.GetCurrentProcess().TotalProcessorTime;
        await using Watching watching = new(_consul.Address, new WatchTiming { ServiceWatchesMax = 1000 });
        await watching.Until("all", () => watching.Names.Count == 300);
        await watching.Until("the state watch", () => watching.Status.Mode == "state watch");

        Problem limit = Assert.Single(watching.Status.Problems, p => p.Code == "consul-watch-limit");
        Assert.Contains("limits.http_max_conns_per_client", limit.Allowed);
        await _consul.CheckAsync("fail", "service:s299");
        await watching.Until("critical", () => watching.Instances("s299") is [{ Health: ReportedHealth.Critical }]);
        await watching.Until("other problems gone", () => watching.Status.Problems.Count == 1);
        Assert.InRange(Process.GetCurrentProcess().TotalProcessorTime - cpuBefore, TimeSpan.Zero, TimeSpan.FromSeconds(20));
        Assert.Single(watching.Reports.Take(1));
    }

    [Fact]
    public async Task Client_asks_who_answers()
    {
        await using Watching watching = new(_consul.Address);

        ConsulReply<ConsulSelf> self = await watching.Source.Client.ReadSelfAsync(CancellationToken.None);

        Assert.Equal(new ConsulSelf(false, "127.0.0.1"), self.Value);
        await watching.Until("an empty first report", () => watching.Reports.Count == 1);
        Assert.Empty(watching.Names);
    }
}
