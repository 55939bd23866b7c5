using Gateway.DataPlane.Health;
using Gateway.Planning;

namespace Gateway.Tests.DataPlane.Health;

public sealed class DestinationHealthTests
{
    private static readonly ProbeResult Good = new(true, "HTTP 200 in 1 ms", Answered: true);
    private static readonly ProbeResult Bad = new(false, "HTTP 503 in 1 ms");
    private static readonly CheckPlan Once = new();
    private static readonly CheckPlan Patient = new() { Rise = 2, Fall = 3 };

    [Fact]
    public void It_is_up_and_trusted_before_the_first_result()
    {
        DestinationHealth health = new();

        Assert.True(health.IsUp);
        Assert.False(health.IsSuspect);
        Assert.Null(health.View().LastCheck);
    }

    [Fact]
    public void One_failure_takes_it_down_and_one_success_brings_it_back()
    {
        DestinationHealth health = new();
        Assert.True(health.Observe(Bad, Once, 0));
        Assert.False(health.IsUp);
        Assert.False(health.Observe(Bad, Once, 0));
        Assert.True(health.Observe(Good, Once, 0));
        Assert.True(health.IsUp);
    }

    [Fact]
    public void Rise_and_fall_count_results_in_a_row()
    {
        DestinationHealth health = new();
        health.Observe(Good, Patient, 0);
        ProbeResult[] results = [Bad, Bad, Good, Bad, Bad, Bad, Good, Bad, Good, Good];
        bool[] up = [true, true, true, true, true, false, false, false, false, true];

        Assert.Equal(up, results.Select(result =>
        {
            health.Observe(result, Patient, 0);
            return health.IsUp;
        }));
    }

    [Fact]
    public void The_first_result_decides_alone()
    {
        DestinationHealth health = new();
        health.Observe(Bad, Patient, 0);

        Assert.False(health.IsUp, "up was only an assumption, as in HAProxy");
    }

    [Fact]
    public void It_is_in_question_between_the_first_contradiction_and_the_verdict_and_while_suspect()
    {
        DestinationHealth health = new();
        health.Observe(Good, Patient, 0);
        Assert.False(health.InQuestion);
        health.Observe(Bad, Patient, 0);
        Assert.True(health.InQuestion);
        health.Observe(Bad, Patient, 0);
        health.Observe(Bad, Patient, 0);
        Assert.False(health.InQuestion, "firmly down");
        health.Observe(Good, Patient, 0);
        Assert.True(health.InQuestion, "rising");
        health.Observe(Good, Patient, 0);
        Assert.False(health.InQuestion);
        health.ConnectFailed("connect refused");
        Assert.True(health.InQuestion, "suspect");
    }

    [Fact]
    public void Suspicion_ends_with_a_good_probe_that_began_after_the_last_failed_connect()
    {
        DestinationHealth health = new();
        int changes = 0;
        health.Changed = () => changes++;
        long before = health.Suspicions;
        health.ConnectFailed("connect refused");
        health.ConnectFailed("connect timed out");
        Assert.Equal(1, changes);
        Assert.Equal("connect timed out", health.View().Suspicion);

        health.Observe(Good, Once, before);
        Assert.True(health.IsSuspect, "that probe had begun before");
        health.Observe(Good, Once, health.Suspicions);
        Assert.False(health.IsSuspect);
        Assert.Equal(2, changes);
        Assert.Equal(2, health.ConnectFailures);
    }

    [Fact]
    public void A_connect_of_traffic_ends_suspicion_only_where_there_is_no_check()
    {
        DestinationHealth health = new();
        health.CheckChanged(CheckKind.Tcp);
        health.ConnectFailed("connect refused");
        health.ConnectSucceeded();
        Assert.True(health.IsSuspect);

        health.CheckChanged(CheckKind.None);
        health.ConnectSucceeded();
        Assert.False(health.IsSuspect);
    }

    [Fact]
    public void Another_check_keeps_the_verdict_until_its_first_result_and_no_check_means_up()
    {
        DestinationHealth health = new();
        health.Observe(Good, Patient, 0);
        Assert.True(health.HasAnswered);
        health.CheckChanged(CheckKind.Http);
        Assert.True(health.IsUp);
        Assert.False(health.HasAnswered);
        health.Observe(Bad, Patient, 0);
        Assert.False(health.IsUp);
        health.CheckChanged(CheckKind.None);
        Assert.True(health.IsUp);
        health.Observe(Bad, new CheckPlan { Kind = CheckKind.None }, 0);
        Assert.True(health.IsUp, "the catalog's verdict stands");
    }

    [Fact]
    public void The_last_ten_changes_are_kept_with_time_and_evidence()
    {
        FakeClock clock = new();
        DestinationHealth health = new(clock);
        for (int i = 0; i < 12; i++)
        {
            clock.Advance(TimeSpan.FromSeconds(1));
            health.Observe(i % 2 == 0 ? Bad : Good, Once, 0);
        }

        HealthView view = health.View();
        Assert.Equal(10, view.History.Count);
        Assert.Equal((false, "HTTP 503 in 1 ms"), (view.History[0].Up, view.History[0].Evidence));
        Assert.Equal(clock.GetUtcNow() - TimeSpan.FromSeconds(9), view.History[0].At);
        Assert.Equal(clock.GetUtcNow(), view.Since);
        Assert.Equal("HTTP 200 in 1 ms", view.LastCheck);
        Assert.True(view.Up);
    }
}
