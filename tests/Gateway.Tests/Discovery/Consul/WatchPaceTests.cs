using Gateway.Discovery.Consul;

namespace Gateway.Tests.Discovery.Consul;

public sealed class WatchPaceTests
{
    private readonly StandingClock _clock = new();

    [Fact]
    public void Index_that_goes_backwards_starts_over_and_nought_counts_as_one()
    {
        WatchPace pace = new(new WatchTiming(), _clock);

        Assert.True(pace.Advance(0));
        Assert.Equal(1ul, pace.Index);
        Assert.True(pace.Advance(39));
        Assert.True(pace.Advance(39));
        Assert.False(pace.Advance(11));
        Assert.Equal(0ul, pace.Index);
        Assert.True(pace.Advance(11));
        Assert.Equal(11ul, pace.Index);
    }

    [Fact]
    public async Task Bucket_gives_a_burst_and_then_a_rate()
    {
        using CancellationTokenSource end = new();
        WatchPace pace = new(new WatchTiming { Burst = 5, RequestsPerSecond = 5 }, _clock);
        for (int round = 0; round < 2; round++)
        {
            for (int i = 0; i < 5; i++)
            {
                Assert.True(pace.TakeAsync(end.Token).IsCompleted);
            }

            // An hour of rest earns no more than the burst.
            _clock.Seconds += 3600;
        }

        _clock.Seconds -= 3600;
        Task sixth = pace.TakeAsync(end.Token);
        Assert.False(sixth.IsCompleted);
        await end.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sixth);
        _clock.Seconds += 0.2;
        Assert.True(pace.TakeAsync(default).IsCompleted);
        Assert.False(pace.TakeAsync(end.Token).IsCompletedSuccessfully);
    }

    [Fact]
    public void Pauses_grow_with_full_jitter_up_to_their_bound_and_begin_short_again()
    {
        WatchTiming timing = new();
        WatchPace pace = new(timing, _clock);
        double[] bounds = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10];
        foreach (double bound in bounds)
        {
            pace.Advance(100);
            Assert.InRange(pace.Fail().TotalSeconds, 0, bound);
            Assert.Equal(0ul, pace.Index);
        }

        Assert.Contains(Enumerable.Range(0, 200), _ => pace.Fail().TotalSeconds > 5);
        pace.Settle();
        Assert.InRange(pace.Fail().TotalSeconds, 0, 0.2);
    }

    [Fact]
    public void Waits_are_jittered_between_45_and_60_of_55()
    {
        double[] waits = [.. Enumerable.Range(0, 500).Select(_ => WatchPace.Jitter(TimeSpan.FromSeconds(55)).TotalSeconds)];

        Assert.All(waits, w => Assert.InRange(w, 45, 60));
        Assert.True(waits.Max() - waits.Min() > 10);
    }

    [Fact]
    public void Filter_of_checks_is_sent_only_where_it_spares_most_of_them()
    {
        Assert.Equal(
            "ServiceName == \"\" or ServiceName matches \"^(?:a[.]b|web-1)$\"", StateWatch.FilterFor(["web-1", "a.b"], 10));
        Assert.Null(StateWatch.FilterFor(["web-1", "a.b"], 3));
        Assert.Null(StateWatch.FilterFor(["we\"b"], 10));
        Assert.Null(StateWatch.FilterFor(["a(b"], 10));
        Assert.Null(StateWatch.FilterFor([.. Enumerable.Range(0, 251).Select(i => $"s{i}")], 5000));
    }

    private sealed class StandingClock : TimeProvider
    {
        public double Seconds { get; set; }

        public override long TimestampFrequency => 1000;

        public override long GetTimestamp() => (long)(Seconds * 1000);
    }
}
