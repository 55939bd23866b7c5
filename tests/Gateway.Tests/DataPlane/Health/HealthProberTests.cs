using Gateway.Catalog;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Health;
using Gateway.Observability;
using Gateway.Planning;
using Gateway.Tests.DataPlane.Balancing;
using Microsoft.Extensions.Logging.Abstractions;
using static Gateway.Tests.DataPlane.Balancing.Clusters;

namespace Gateway.Tests.DataPlane.Health;

/// <summary>The prober under fake time with probes that answer as the test says.</summary>
public sealed class HealthProberTests : IAsyncDisposable
{
    private static readonly ProbeResult Good = new(true, "HTTP 200 in 1 ms", Answered: true);
    private static readonly ProbeResult Bad = new(false, "HTTP 503 in 1 ms");

    private readonly FakeClock _clock = new();
    private readonly List<(TimeSpan At, string Id)> _probes = [];
    private readonly Dictionary<string, ProbeResult> _answers = [];
    private readonly Dictionary<string, TaskCompletionSource<ProbeResult>> _hanging = [];
    private readonly HealthProber _prober;
    private readonly ClusterTable _table;
    private int _underWay;
    private int _underWayMost;

    public HealthProberTests()
    {
        _prober = new HealthProber(_clock, NullLogger.Instance, new GatewayMetrics(), Answer, concurrency: 4);
        _table = new ClusterTable(_prober, _clock);
    }

    public ValueTask DisposeAsync() => _prober.DisposeAsync();

    [Fact]
    public void The_first_probe_goes_out_at_once_and_one_failure_takes_the_instance_out()
    {
        _answers["b"] = Bad;
        ClusterState cluster = Publish(Plan(Destination("a"), Destination("b")));
        Assert.Equal(2, cluster.UsableCount);

        Advance(0.01);
        Assert.Equal(["a", "b"], _probes.Select(probe => probe.Id).Order());
        Assert.Equal(new() { ["a"] = 10 }, cluster.Count(10));

        _answers["b"] = Good;
        Advance(11.1);
        Assert.Equal(new() { ["a"] = 5, ["b"] = 5 }, cluster.Count(10));
    }

    [Fact]
    public void With_all_down_nobody_is_picked()
    {
        _answers["a"] = _answers["b"] = Bad;
        ClusterState cluster = Publish(Plan(Destination("a"), Destination("b")));
        Advance(0.01);

        Assert.Null(cluster.Pick([]));
    }

    [Fact]
    public void Probes_come_at_the_interval_give_or_take_a_tenth()
    {
        Publish(Plan(Destination("a")));
        Advance(1000);

        double[] gaps = Gaps("a");
        Assert.InRange(gaps.Length, 90, 112);
        Assert.All(gaps, gap => Assert.InRange(gap, 9, 11.002));
        Assert.True(gaps.Max() - gaps.Min() > 0.5, "a thousand gateways must not probe in step");
    }

    [Fact]
    public void Probes_are_fast_while_the_state_is_in_question_and_at_the_interval_when_it_is_not()
    {
        ClusterState cluster = Publish(Plan(Destination("a")) with { Check = new CheckPlan { Rise = 2, Fall = 3 } });
        Advance(5);
        _answers["a"] = Bad;
        Advance(10);
        Assert.False(cluster.Of("a").Health.IsUp);
        double[] gaps = Gaps("a");
        Assert.Equal(2, gaps.Count(gap => gap < 1.2));

        _probes.Clear();
        Advance(50);
        Assert.All(Gaps("a"), gap => Assert.InRange(gap, 9, 11.002));

        _answers["a"] = Good;
        Advance(12.2);
        Assert.True(cluster.Of("a").Health.IsUp);
        Assert.Single(Gaps("a"), gap => gap < 1.2);
    }

    [Fact]
    public void A_refused_connect_is_probed_at_once_and_a_good_probe_ends_the_suspicion()
    {
        ClusterState cluster = Publish(Plan(Destination("a"), Destination("b")));
        Advance(5);
        _probes.Clear();
        DestinationHealth health = cluster.Of("a").Health;
        health.ConnectFailed("connect refused");
        Assert.True(health.IsSuspect);
        Assert.Empty(_probes);

        Advance(0);
        Assert.Equal("a", Assert.Single(_probes).Id);
        Assert.False(health.IsSuspect);
        Assert.Equal(2, cluster.Count(10).Count);
    }

    [Fact]
    public void A_refused_connect_that_the_probe_confirms_takes_it_out()
    {
        ClusterState cluster = Publish(Plan(Destination("a"), Destination("b")));
        Advance(5);
        _answers["a"] = new ProbeResult(false, "connect refused");
        cluster.Of("a").Health.ConnectFailed("connect refused");
        Advance(0);

        Assert.False(cluster.Of("a").Health.IsUp);
        Assert.Equal("connect refused", cluster.View().Destinations[0].LastCheck);
        Assert.Null(cluster.Pick([cluster.Of("b")]));
    }

    [Fact]
    public void An_instance_that_passes_its_probes_and_refuses_its_traffic_is_not_probed_in_a_loop()
    {
        ClusterState cluster = Publish(Plan(Destination("a")));
        Advance(5);
        _probes.Clear();
        for (int i = 0; i < 1000; i++)
        {
            cluster.Of("a").Health.ConnectFailed("connect refused");
            Advance(0.01);
        }

        Assert.InRange(_probes.Count, 9, 45);
    }

    [Fact]
    public void Without_a_check_nothing_is_probed_but_a_suspect_until_it_takes_a_connect()
    {
        CheckPlan none = new() { Kind = CheckKind.None };
        ClusterState cluster = Publish(Plan(Destination("a"), Destination("b")) with { Check = none });
        Advance(100);
        Assert.Empty(_probes);
        Assert.True(_prober.FirstResultsAsync(TimeSpan.FromSeconds(2), CancellationToken.None).IsCompletedSuccessfully);

        _answers["a"] = Bad;
        cluster.Of("a").Health.ConnectFailed("connect refused");
        Advance(5);
        Assert.InRange(_probes.Count, 4, 7);
        Assert.True(cluster.Of("a").Health.IsUp, "up is the catalog's business");

        _answers["a"] = Good;
        Advance(1.2);
        Assert.False(cluster.Of("a").Health.IsSuspect);
        _probes.Clear();
        Advance(100);
        Assert.Empty(_probes);
        Assert.Equal(0, _prober.Queued);
    }

    [Fact]
    public void Health_survives_every_plan_that_does_not_touch_the_check()
    {
        // P11, traefik PR#13223: a reload that marks everything up again sends requests to a server that was dead for a day.
        _answers["b"] = Bad;
        ClusterPlan plan = Plan(Destination("a"), Destination("b"));
        ClusterState cluster = Publish(plan);
        Advance(1);
        int probes = _probes.Count;
        for (int i = 0; i < 100; i++)
        {
            DestinationPlan other = Destination($"x{i % 3}", port: 7000 + (i % 3));
            ClusterPlan next = plan with
            {
                Balance = (BalanceAlgorithm)(i % 2),
                Timeouts = new TimeoutsPlan { Response = TimeSpan.FromSeconds(i + 1) },
                Destinations = [plan.Destinations[0], plan.Destinations[1] with { Weight = i + 1 }, other],
            };
            _table.Publish([], [new Change<ClusterPlan>(cluster.Plan, next)]);
            Assert.False(cluster.Of("b").Health.IsUp);
            Assert.NotEqual("b", cluster.PickId());
        }

        Assert.Equal(probes, _probes.Count);
    }

    [Fact]
    public void Another_timing_resets_nothing_and_applies_from_now_on()
    {
        _answers["b"] = Bad;
        ClusterPlan plan = Plan(Destination("a"), Destination("b"));
        ClusterState cluster = Publish(plan);
        Advance(1);
        _probes.Clear();
        Publish(plan with { Check = new CheckPlan { Interval = TimeSpan.FromSeconds(2), Rise = 2, Fall = 3 } });
        Assert.False(cluster.Of("b").Health.IsUp);
        Assert.True(cluster.Of("a").Health.HasAnswered);
        Advance(60);
        Assert.InRange(_probes.Count(probe => probe.Id == "a"), 26, 34);
        Assert.False(cluster.Of("b").Health.IsUp);
    }

    [Fact]
    public void Another_check_keeps_the_verdict_until_its_first_result_which_comes_at_once()
    {
        _answers["b"] = Bad;
        ClusterPlan plan = Plan(Destination("a"), Destination("b"));
        ClusterState cluster = Publish(plan);
        Advance(1);
        _answers["b"] = Good;
        Publish(plan with { Check = new CheckPlan { Kind = CheckKind.Http, Path = "/up", Rise = 3 } });
        Assert.False(cluster.Of("b").Health.IsUp);
        Advance(0);
        Assert.True(cluster.Of("b").Health.IsUp);
    }

    [Fact]
    public async Task The_answer_to_an_old_check_does_not_count_for_the_new_one()
    {
        _hanging["a"] = new();
        ClusterPlan plan = Plan(Destination("a"));
        ClusterState cluster = Publish(plan);
        Advance(0);
        _hanging.Remove("a");
        Publish(plan with { Check = new CheckPlan { Kind = CheckKind.Tcp } });

        // The old probe is canceled, which would be a failure, on a thread of its own.
        await HealthEventually.True(
            () =>
            {
                Assert.True(cluster.Of("a").Health.IsUp);
                Advance(0.01);
                return cluster.View().Destinations[0].LastCheck == "HTTP 200 in 1 ms";
            },
            "the new check is asked");
        Assert.Empty(cluster.View().Destinations[0].History);
    }

    [Fact]
    public async Task The_answer_to_an_old_check_does_not_count_either_when_a_plan_brings_that_check_back()
    {
        // The old probe is canceled, and ends as a failure some time later: after the third plan here.
        TaskCompletionSource<ProbeResult> stubborn = new();
        Queue<Task<ProbeResult>> answers = new([Task.FromResult(Good), stubborn.Task]);
        await using HealthProber prober = new(
            _clock, NullLogger.Instance, new GatewayMetrics(), (_, _, _) => answers.TryDequeue(out Task<ProbeResult>? next) ? next : Task.FromResult(Good));
        ClusterPlan plan = Plan(Destination("a"));
        ClusterState cluster = new(plan, prober, _clock);
        Advance(12);
        Assert.Empty(answers);
        cluster.Apply(plan with { Check = new CheckPlan { Kind = CheckKind.Tcp } });
        cluster.Apply(plan);
        stubborn.SetResult(new ProbeResult(false, "canceled"));
        await HealthEventually.True(
            () =>
            {
                Advance(0.3);
                return cluster.View().Destinations[0].LastCheckAt > _clock.GetUtcNow() - TimeSpan.FromSeconds(1);
            },
            "the check is asked anew");

        Assert.Empty(cluster.View().Destinations[0].History);
    }

    [Fact]
    public void A_probe_that_Gateway_itself_could_not_send_changes_no_verdict_and_is_shown()
    {
        // Out of descriptors, every probe fails: that must not take every instance of every service out.
        _answers["b"] = Bad;
        ClusterState cluster = Publish(Plan(Destination("a"), Destination("b"), Destination("c")));
        Advance(1);
        _answers["a"] = _answers["b"] = ProbeResult.Unsent("no descriptor free");
        _answers["d"] = ProbeResult.Unsent("no descriptor free");
        Publish(Plan(Destination("a"), Destination("b"), Destination("c"), Destination("d")));
        cluster.Of("a").Health.ConnectFailed("connect refused");
        Advance(30);

        Assert.Equal([true, false, true, true], cluster.Destinations.Select(one => one.Health.IsUp));
        Assert.True(cluster.Of("a").Health.IsSuspect, "nothing was proven for it either");
        Assert.Equal("no descriptor free", cluster.View().Destinations[0].LastCheck);
        Assert.True(_prober.FirstResultsAsync(TimeSpan.FromSeconds(2), CancellationToken.None).IsCompletedSuccessfully);
        _answers["d"] = Bad;
        Advance(11.1);
        Assert.False(cluster.Of("d").Health.IsUp, "its first result decides alone, now that there is one");
    }

    [Theory]
    [InlineData("web@production", "web@staging")]
    [InlineData("web@staging", "web@production")]
    public void An_instance_that_moves_between_clusters_which_both_stay_keeps_its_verdict(string from, string to)
    {
        // The changes of a plan come in the order of ids: whoever loses it may be first.
        _answers["b"] = Bad;
        ClusterPlan source = Plan(Destination("a"), Destination("b")) with { Id = from };
        ClusterPlan target = Plan(Destination("c")) with { Id = to };
        _table.Publish([source, target], []);
        Advance(1);
        ClusterPlan without = source with { Destinations = [source.Destinations[0]] };
        ClusterPlan with = target with { Destinations = [source.Destinations[1], target.Destinations[0]] };
        _table.Publish([], [.. new[] { new Change<ClusterPlan>(source, without), new Change<ClusterPlan>(target, with) }
            .OrderBy(change => change.New.Id, StringComparer.Ordinal)]);

        Assert.Equal(new() { ["c"] = 10 }, _table.Find(to)!.Count(10));
        Assert.Equal(3, _prober.Tracked);
    }

    [Fact]
    public void A_move_to_another_cluster_does_not_make_one_bad_probe_decide_alone()
    {
        CheckPlan patient = new() { Rise = 2, Fall = 3 };
        ClusterPlan plan = Plan(Destination("a"), Destination("b")) with { Check = patient };
        Publish(plan);
        Advance(1);
        ClusterPlan moved = plan with { Id = "web@production:3000" };
        _answers["b"] = Bad;
        _table.Publish([moved], []);
        _table.Retire([plan]);
        ClusterState cluster = _table.Find(moved.Id)!;
        Advance(0.1);
        Assert.Equal("HTTP 503 in 1 ms", cluster.View().Destinations[1].LastCheck);
        Assert.Equal(2, cluster.UsableCount);
        Advance(2.4);
        Assert.Equal(1, cluster.UsableCount);
    }

    [Fact]
    public void An_instance_of_two_clusters_that_leaves_one_is_still_known_when_it_moves_from_the_other()
    {
        _answers["b"] = Bad;
        ClusterPlan one = Plan(Destination("a"), Destination("b"));
        ClusterPlan two = one with { Id = "web@staging", Environment = "staging" };
        _table.Publish([one, two], []);
        Advance(1);
        _table.Retire([two]);
        ClusterPlan moved = one with { Id = "web@production:3000" };
        _table.Publish([moved], []);
        _table.Retire([one]);

        Assert.Equal(new() { ["a"] = 10 }, _table.Find(moved.Id)!.Count(10));
    }

    [Fact]
    public void An_instance_that_a_plan_moves_to_another_cluster_keeps_its_verdict()
    {
        _answers["b"] = Bad;
        ClusterPlan plan = Plan(Destination("a"), Destination("b"));
        ClusterState old = Publish(plan);
        Advance(1);
        ClusterPlan moved = plan with { Id = "web@production:3000" };
        _table.Publish([moved], []);
        _table.Retire([plan]);

        Assert.Equal(new() { ["a"] = 10 }, _table.Find(moved.Id)!.Count(10));
        _answers["b"] = Good;
        Advance(0.01);
        Assert.Equal(2, _table.Find(moved.Id)!.UsableCount);
        Assert.Equal(1, old.UsableCount);
    }

    [Fact]
    public void An_instance_that_the_catalog_admits_again_is_probed_at_once()
    {
        _answers["a"] = Bad;
        ClusterState cluster = Publish(Plan(Destination("a", reported: ReportedHealth.Critical)));
        Advance(5);
        _answers["a"] = Good;
        Publish(Plan(Destination("a")));
        Assert.Null(cluster.Pick([]));
        Advance(0);
        Assert.Equal("a", cluster.PickId());
    }

    [Fact]
    public void No_more_probes_are_under_way_than_allowed_and_one_that_hangs_is_ended_by_its_timeout()
    {
        for (int i = 0; i < 20; i++)
        {
            _hanging[$"{i:d5}"] = new();
        }

        ClusterState cluster = Publish(Numbered(20));
        Advance(0.1);
        Assert.Equal(4, _underWay);
        Advance(10.1);

        Assert.Equal(4, _underWayMost);
        Assert.Equal(0, cluster.UsableCount);
        Assert.All(cluster.View().Destinations, one => Assert.Equal("no answer in 2s", one.LastCheck));
    }

    [Fact]
    public async Task First_results_are_awaited_until_the_limit()
    {
        _hanging["a"] = new();
        Publish(Plan(Destination("a"), Destination("b")) with { Check = new CheckPlan { Timeout = TimeSpan.FromSeconds(30) } });
        Task limited = _prober.FirstResultsAsync(TimeSpan.FromSeconds(2), CancellationToken.None);
        Task all = _prober.FirstResultsAsync(TimeSpan.FromSeconds(20), CancellationToken.None);
        Advance(1);
        Assert.False(limited.IsCompleted);
        Advance(1);
        await limited;
        Assert.False(all.IsCompleted);

        _hanging["a"].SetResult(Good);
        await all;
        await _prober.FirstResultsAsync(TimeSpan.FromSeconds(2), CancellationToken.None);
    }

    [Fact]
    public async Task First_results_are_not_awaited_from_whom_a_plan_removed_and_cancellation_is_heard()
    {
        _hanging["a"] = new();
        ClusterPlan plan = Plan(Destination("a"));
        Publish(plan);
        Advance(0);
        using CancellationTokenSource cancel = new();
        Task canceled = _prober.FirstResultsAsync(TimeSpan.FromSeconds(2), cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => canceled);

        Task first = _prober.FirstResultsAsync(TimeSpan.FromSeconds(2), CancellationToken.None);
        _table.Retire([plan]);
        await first;
    }

    [Fact]
    public void Many_at_once_are_spread_a_little()
    {
        Publish(Numbered(10_000));
        Advance(0);
        Assert.InRange(_probes.Count, 1, 100);
        Advance(3);
        Assert.Equal(10_000, _probes.Count);
    }

    [Fact]
    public void Churn_leaves_no_entry_and_no_timer_behind()
    {
        CheckPlan rare = new() { Interval = TimeSpan.FromDays(30) };
        for (int i = 0; i < 200; i++)
        {
            Publish(Plan(Destination("a", port: 2000 + i), Destination($"b{i}")) with { Check = rare });
            Advance(0.01);
        }

        Assert.Equal(2, _prober.Tracked);
        Assert.Equal(2, _prober.Queued);
        _table.Retire([Plan()]);
        Assert.Equal(0, _prober.Tracked);
        Assert.Equal(0, _prober.Queued);
        Advance(TimeSpan.FromDays(31).TotalSeconds);
        Assert.Equal(0, _clock.Timers);
    }

    [Fact]
    public async Task A_disposed_prober_probes_no_more()
    {
        Publish(Plan(Destination("a")));
        Advance(1);
        _probes.Clear();
        await _prober.DisposeAsync();
        Advance(100);
        Assert.Empty(_probes);
    }

    [Fact]
    public void No_check_however_mad_stops_the_probing_of_others()
    {
        TimeSpan[] mad = [TimeSpan.MinValue, TimeSpan.FromSeconds(-1), TimeSpan.Zero, TimeSpan.FromTicks(1), TimeSpan.MaxValue];
        ClusterPlan[] plans = [.. mad.Select((time, i) => Plan(Destination($"x{i}")) with
        {
            Id = $"mad{i}@production",
            Check = new CheckPlan { Interval = time, FastInterval = time, Timeout = time, Rise = 0, Fall = -1 },
        })];
        _table.Publish(plans, []);
        Publish(Plan(Destination("a")));
        Advance(100);

        Assert.InRange(_probes.Count(probe => probe.Id == "a"), 10, 12);
        Assert.InRange(_probes.Count, 10, 10_000);
        Assert.All(_table.Clusters, cluster => Assert.Equal(1, cluster.UsableCount));
    }

    [Fact]
    public void A_mistake_within_a_probe_does_not_end_the_probing()
    {
        ClusterState cluster = Publish(Plan(Destination("!")));
        Advance(0);
        Assert.Contains("own failure", cluster.View().Destinations[0].LastCheck, StringComparison.Ordinal);
        Advance(30);
        Assert.InRange(_probes.Count, 3, 5);
    }

    private async Task<ProbeResult> Answer(ProbeTarget target, bool answered, CancellationToken cancel)
    {
        string id = target.Instance.ServiceId;
        lock (_probes)
        {
            _probes.Add((_clock.Elapsed, id));
        }

        if (id == "!")
        {
            throw new InvalidOperationException("a mistake");
        }

        _underWayMost = Math.Max(_underWayMost, Interlocked.Increment(ref _underWay));
        try
        {
            return _hanging.TryGetValue(id, out TaskCompletionSource<ProbeResult>? hanging)
                ? await hanging.Task.WaitAsync(cancel)
                : _answers.GetValueOrDefault(id, Good);
        }
        catch (OperationCanceledException)
        {
            return new ProbeResult(false, $"no answer in {Units.Duration(target.Check.Timeout)}");
        }
        finally
        {
            Interlocked.Decrement(ref _underWay);
        }
    }

    private ClusterState Publish(ClusterPlan plan)
    {
        ClusterState? present = _table.Find(plan.Id);
        if (present is null)
        {
            _table.Publish([plan], []);
        }
        else
        {
            _table.Publish([], [new Change<ClusterPlan>(present.Plan, plan)]);
        }

        return _table.Find(plan.Id)!;
    }

    private void Advance(double seconds) => _clock.Advance(TimeSpan.FromSeconds(seconds));

    private double[] Gaps(string id)
    {
        TimeSpan[] at = [.. _probes.Where(probe => probe.Id == id).Select(probe => probe.At)];
        return [.. at.Skip(1).Zip(at, (later, earlier) => (later - earlier).TotalSeconds)];
    }
}
