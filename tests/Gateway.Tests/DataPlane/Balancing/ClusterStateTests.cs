using Gateway.Catalog;
using Gateway.DataPlane.Balancing;
using Gateway.Planning;
using static Gateway.Tests.DataPlane.Balancing.Clusters;

namespace Gateway.Tests.DataPlane.Balancing;

public sealed class ClusterStateTests
{
    private static readonly ClusterPlan Abc = Plan(Destination("a"), Destination("b"), Destination("c"));

    [Fact]
    public void Roundrobin_takes_everybody_in_turn()
    {
        ClusterState cluster = new(Abc);

        Assert.Equal(new() { ["a"] = 100, ["b"] = 100, ["c"] = 100 }, cluster.Count(300));
    }

    [Fact]
    public void Roundrobin_respects_weights_exactly_over_a_period_wherever_it_begins()
    {
        ClusterState cluster = new(Plan(Destination("a", 5), Destination("b", 2), Destination("c", 1)));
        cluster.Count(3);

        Assert.Equal(new() { ["a"] = 50, ["b"] = 20, ["c"] = 10 }, cluster.Count(80));
    }

    [Fact]
    public void Roundrobin_is_exact_from_many_threads()
    {
        ClusterState cluster = new(Plan(Destination("a", 3), Destination("b", 1)));
        int[] counts = new int[2];

        Parallel.For(0, 4, _ =>
        {
            for (int i = 0; i < 10_000; i++)
            {
                Interlocked.Increment(ref counts[cluster.PickId() == "a" ? 0 : 1]);
            }
        });

        Assert.Equal([30_000, 10_000], counts);
    }

    [Fact]
    public void Gateways_do_not_begin_at_the_same_instance()
    {
        ClusterPlan plan = Numbered(10);
        IEnumerable<string?> firsts = Enumerable.Range(0, 100).Select(_ => new ClusterState(plan).PickId());

        Assert.True(firsts.Distinct().Count() > 3);
    }

    [Fact]
    public void Leastconn_takes_the_one_with_the_least_in_flight()
    {
        ClusterState cluster = new(Abc with { Balance = BalanceAlgorithm.LeastConn });
        cluster.Of("a").Begin();
        cluster.Of("c").Begin();
        Assert.Equal(new() { ["b"] = 10 }, cluster.Count(10));

        cluster.Of("b").Begin();
        cluster.Of("b").Begin();
        cluster.Of("c").End();
        Assert.Equal(new() { ["c"] = 10 }, cluster.Count(10));
    }

    [Fact]
    public void Leastconn_gives_equals_their_turns()
    {
        ClusterState cluster = new(Abc with { Balance = BalanceAlgorithm.LeastConn });

        Assert.Equal(new() { ["a"] = 10, ["b"] = 10, ["c"] = 10 }, cluster.Count(30));
    }

    [Fact]
    public void Leastconn_fills_in_proportion_to_weights()
    {
        ClusterState cluster = new(Plan(Destination("a", 3), Destination("b", 1)) with { Balance = BalanceAlgorithm.LeastConn });
        for (int i = 0; i < 80; i++)
        {
            cluster.Pick([])!.Begin();
        }

        Assert.Equal(60, cluster.Of("a").InFlight);
        Assert.Equal(20, cluster.Of("b").InFlight);
    }

    [Fact]
    public void The_algorithm_changes_live_and_in_flight_counts_survive()
    {
        ClusterPlan plan = Plan(Destination("a"), Destination("b"));
        ClusterState cluster = new(plan);
        cluster.Of("a").Begin();
        Assert.Equal(new() { ["a"] = 5, ["b"] = 5 }, cluster.Count(10));

        cluster.Apply(plan with { Balance = BalanceAlgorithm.LeastConn });
        Assert.Equal(new() { ["b"] = 10 }, cluster.Count(10));

        cluster.Apply(plan);
        Assert.Equal(new() { ["a"] = 5, ["b"] = 5 }, cluster.Count(10));
        Assert.Equal(1, cluster.Of("a").InFlight);
    }

    [Theory]
    [InlineData(0, ReportedHealth.Passing, false)]
    [InlineData(1, ReportedHealth.Maintenance, false)]
    [InlineData(1, ReportedHealth.Critical, false)]
    [InlineData(1, ReportedHealth.Warning, true)]
    [InlineData(1, ReportedHealth.Unchecked, true)]
    public void Weight_zero_maintenance_and_critical_take_no_new_work(int weight, ReportedHealth reported, bool usable)
    {
        ClusterState cluster = new(Plan(Destination("a", weight, reported), Destination("b")));

        Assert.Equal(usable ? 50 : 0, cluster.Count(100).GetValueOrDefault("a"));
        Assert.Equal(usable ? 2 : 1, cluster.UsableCount);
    }

    [Theory]
    [InlineData("RoundRobin")]
    [InlineData("LeastConn")]
    public void Nobody_is_tried_twice_and_null_ends_it(string algorithm)
    {
        ClusterPlan plan = Plan(Destination("a", 7), Destination("b"), Destination("c", 2));
        ClusterState cluster = new(plan with { Balance = Enum.Parse<BalanceAlgorithm>(algorithm) });
        for (int round = 0; round < 50; round++)
        {
            List<DestinationState> tried = [];
            while (cluster.Pick([.. tried]) is DestinationState next)
            {
                Assert.DoesNotContain(next, tried);
                tried.Add(next);
            }

            Assert.Equal(3, tried.Count);
        }
    }

    [Theory]
    [InlineData("RoundRobin", 2)]
    [InlineData("RoundRobin", 3)]
    [InlineData("LeastConn", 2)]
    [InlineData("LeastConn", 3)]
    public void Retries_do_not_turn_the_round_so_one_that_resets_has_its_share_of_first_attempts_and_no_more(string algorithm, int instances)
    {
        // With two, a retry that took a turn of the round would bring every next request to the broken one again.
        ClusterState cluster = new(Numbered(instances) with { Balance = Enum.Parse<BalanceAlgorithm>(algorithm) });
        DestinationState broken = cluster.Destinations[0];
        int first = 0;
        for (int i = 0; i < 30 * instances; i++)
        {
            if (ReferenceEquals(cluster.Pick([]), broken))
            {
                first++;
                Assert.NotSame(broken, cluster.Pick([broken]));
            }
        }

        Assert.Equal(30, first);
    }

    [Fact]
    public void What_one_instance_breaks_is_shared_evenly_by_the_others()
    {
        ClusterState cluster = new(Plan(Destination("a"), Destination("b"), Destination("c", 2), Destination("d")));
        DestinationState broken = cluster.Of("a");
        Dictionary<string, int> counts = [];
        for (int i = 0; i < 400; i++)
        {
            string id = cluster.PickId(broken)!;
            counts[id] = counts.GetValueOrDefault(id) + 1;
        }

        Assert.Equal(new() { ["b"] = 100, ["c"] = 200, ["d"] = 100 }, counts);
    }

    [Fact]
    public void A_cluster_without_usable_destinations_picks_nobody()
    {
        Assert.Null(new ClusterState(Plan()).Pick([]));
        Assert.Null(new ClusterState(Plan(Destination("a", 0))).Pick([]));
    }

    [Fact]
    public void A_single_destination_is_picked_each_time_and_not_again_once_tried()
    {
        ClusterState cluster = new(Plan(Destination("a")));

        Assert.Equal("a", cluster.PickId());
        Assert.Null(cluster.Pick([cluster.Of("a")]));
    }

    [Theory]
    [InlineData("RoundRobin")]
    [InlineData("LeastConn")]
    public void One_that_refused_a_connect_comes_last_at_once_and_is_still_used_when_alone(string algorithm)
    {
        ClusterState cluster = new(Abc with { Balance = Enum.Parse<BalanceAlgorithm>(algorithm) });
        cluster.Of("b").Health.ConnectFailed("connect refused");

        Assert.Equal(new() { ["a"] = 50, ["c"] = 50 }, cluster.Count(100));
        Assert.Equal("b", cluster.PickId(cluster.Of("a"), cluster.Of("c")));

        cluster.Of("b").Health.ConnectSucceeded();
        Assert.True(cluster.Count(30)["b"] == 10, "nobody probes here, so a connect of traffic ends the suspicion");
    }

    [Fact]
    public void Identity_keeps_counters_and_health_over_every_other_change_of_plan()
    {
        ClusterState cluster = new(Plan(Destination("a"), Destination("b")));
        DestinationState a = cluster.Of("a");
        a.Begin();
        a.Failed();
        a.RetriedAway();
        a.Health.ConnectFailed("connect refused");

        ClusterPlan next = Plan(Destination("a", 7, ReportedHealth.Warning), Destination("c"));
        cluster.Apply(next with { Check = new CheckPlan { Rise = 2 } });

        Assert.Same(a, cluster.Of("a"));
        Assert.Equal(7, a.Plan.Weight);
        Assert.True(a.Health.IsSuspect);
        DestinationView view = cluster.View().Destinations[0];
        Assert.Equal((1, 1L, 1L, 1L, 1L), (view.InFlight, view.Requests, view.Failures, view.ConnectFailures, view.RetriesAway));
        Assert.Equal("connect refused", view.Suspicion);
    }

    [Theory]
    [InlineData("10.0.0.1", 2000)]
    [InlineData("10.0.0.2", 1000)]
    public void Another_address_or_port_is_another_destination_and_the_old_one_drains(string address, int port)
    {
        ClusterState cluster = new(Plan(Destination("a", port: 1000)));
        DestinationState old = cluster.Of("a");
        old.Begin();
        old.Health.ConnectFailed("connect refused");

        cluster.Apply(Plan(Destination("a", address: address, port: port)));

        DestinationState fresh = cluster.Of("a");
        Assert.NotSame(old, fresh);
        Assert.False(fresh.Health.IsSuspect);
        Assert.Equal(0, fresh.InFlight);
        Assert.Same(old, Assert.Single(cluster.Draining));
        Assert.True(cluster.View().Draining[0].Draining);

        old.End();
        Assert.Empty(cluster.Draining);
        Assert.Equal(0, old.InFlight);
    }

    [Fact]
    public void One_that_returns_while_it_drains_goes_on_as_the_same()
    {
        ClusterState cluster = new(Plan(Destination("a"), Destination("b")));
        DestinationState a = cluster.Of("a");
        a.Begin();
        cluster.Apply(Plan(Destination("b")));
        cluster.Apply(Plan(Destination("a"), Destination("b")));

        Assert.Same(a, cluster.Of("a"));
        Assert.Empty(cluster.Draining);
        a.Health.ConnectFailed("connect refused");
        Assert.Equal(new() { ["b"] = 10 }, cluster.Count(10));
    }

    [Fact]
    public void The_position_survives_a_change_of_plan_between_any_two_picks()
    {
        // P12, traefik #8787: a round that begins anew with each change sends nearly everything to the first instance.
        ClusterPlan more = Abc with { Destinations = [.. Abc.Destinations, Destination("d")] };
        ClusterState cluster = new(Abc);
        Dictionary<string, int> counts = [];
        for (int i = 0; i < 1200; i++)
        {
            cluster.Apply(i % 2 == 0 ? more : Abc);
            string id = cluster.PickId()!;
            counts[id] = counts.GetValueOrDefault(id) + 1;
        }

        Assert.All(["a", "b", "c"], id => Assert.InRange(counts[id], 200, 500));
    }

    [Fact]
    public void Last_used_and_since_come_from_the_clock()
    {
        FakeClock clock = new();
        ClusterState cluster = new(Plan(Destination("a")), clock: clock);
        Assert.Null(cluster.Of("a").LastUsed);
        clock.Advance(TimeSpan.FromMinutes(1));
        cluster.Of("a").Begin();
        DateTimeOffset used = clock.GetUtcNow();
        clock.Advance(TimeSpan.FromMinutes(1));

        Assert.Equal(used, cluster.Of("a").LastUsed);
        Assert.Equal(clock.GetUtcNow() - TimeSpan.FromMinutes(2), cluster.View().Destinations[0].Since);
    }

    [Fact]
    public async Task Picks_during_changes_of_plan_and_health_always_find_somebody()
    {
        ClusterPlan[] plans = [Numbered(3), Numbered(5), Numbered(4) with { Balance = BalanceAlgorithm.LeastConn }];
        ClusterState cluster = new(plans[0]);
        using CancellationTokenSource done = new();
        Task<int> picker = Task.Run(() =>
        {
            int missed = 0;
            while (!done.IsCancellationRequested)
            {
                DestinationState? one = cluster.Pick([]);
                one?.Begin();
                one?.End();
                missed += one is null ? 1 : 0;
            }

            return missed;
        });
        for (int i = 0; i < 3000; i++)
        {
            cluster.Apply(plans[i % 3]);
            cluster.Destinations[i % 3].Health.ConnectFailed("connect refused");
            cluster.Destinations[(i + 1) % 3].Health.ConnectSucceeded();
        }

        await done.CancelAsync();
        Assert.Equal(0, await picker);
        Assert.All(cluster.Destinations, one => Assert.Equal(0, one.InFlight));
    }
}
