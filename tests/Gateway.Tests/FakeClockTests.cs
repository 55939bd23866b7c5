namespace Gateway.Tests;

public sealed class FakeClockTests
{
    [Fact]
    public void Timers_fire_in_the_order_of_their_due_times_and_see_them_as_now()
    {
        FakeClock clock = new();
        List<string> seen = [];
        using ITimer late = clock.CreateTimer(_ => seen.Add($"late {clock.Elapsed.TotalSeconds}"), null, TimeSpan.FromSeconds(2), Timeout.InfiniteTimeSpan);
        using ITimer early = clock.CreateTimer(_ => seen.Add($"early {clock.Elapsed.TotalSeconds}"), null, TimeSpan.FromSeconds(1), Timeout.InfiniteTimeSpan);

        clock.Advance(TimeSpan.FromSeconds(3));

        Assert.Equal(["early 1", "late 2"], seen);
        Assert.Equal(TimeSpan.FromSeconds(3), clock.Elapsed);
        Assert.Equal(0, clock.Timers);
    }

    [Fact]
    public void A_period_repeats_until_the_timer_is_disposed()
    {
        FakeClock clock = new();
        int fired = 0;
        ITimer timer = clock.CreateTimer(_ => fired++, null, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
        clock.Advance(TimeSpan.FromSeconds(3));
        timer.Dispose();
        clock.Advance(TimeSpan.FromSeconds(3));

        Assert.Equal(3, fired);
    }

    [Fact]
    public async Task Delays_of_the_framework_follow_it()
    {
        FakeClock clock = new();
        Task delay = Task.Delay(TimeSpan.FromSeconds(5), clock, TestContext.Current.CancellationToken);
        clock.Advance(TimeSpan.FromSeconds(4));
        Assert.False(delay.IsCompleted);
        clock.Advance(TimeSpan.FromSeconds(1));
        await delay;
    }
}
