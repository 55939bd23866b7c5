using FsCheck;
using FsCheck.Fluent;
using Gateway.DataPlane.Balancing;

namespace Gateway.Tests.DataPlane.Balancing;

public sealed class WeightedScheduleTests
{
    [Fact]
    public void A_heavy_one_does_not_get_its_turns_in_a_row() =>
        Assert.Equal("abaaaca", string.Concat(WeightedSchedule.Build([5, 1, 1]).Select(i => "abc"[i])));

    [Fact]
    public void Weights_are_reduced_by_their_common_divisor() =>
        Assert.Equal(3, WeightedSchedule.Build([200, 100]).Length);

    [Fact]
    public void Nobody_gives_an_empty_period() => Assert.Empty(WeightedSchedule.Build([]));

    [Fact]
    public void Over_a_period_everybody_has_exactly_its_weight_spread_evenly() =>
        Prop.ForAll(
            Gen.Choose(1, 30).ArrayOf().Where(weights => weights.Length is > 0 and <= 12).ToArbitrary(),
            weights =>
            {
                int[] order = WeightedSchedule.Build(weights);
                int sum = weights.Sum();
                int times = sum / order.Length;
                for (int i = 0; i < weights.Length; i++)
                {
                    Assert.Equal(weights[i], order.Count(turn => turn == i) * times);

                    // Evenly: at no point of the period is anybody ahead or behind its share by more than one turn and a half
                    // for each weight class that may share a moment with it.
                    double share = (double)weights[i] / sum;
                    int had = 0;
                    for (int at = 0; at < order.Length; at++)
                    {
                        had += order[at] == i ? 1 : 0;
                        Assert.InRange(had - ((at + 1) * share), -1.5 - weights.Distinct().Count(), 1.5 + weights.Distinct().Count());
                    }
                }
            }).QuickCheckThrowOnFailure();

    [Fact]
    public void Equal_weights_never_meet_the_same_one_twice_before_the_others()
    {
        int[] order = WeightedSchedule.Build([3, 3, 3, 3]);
        Assert.Equal([0, 1, 2, 3], order);
    }

    [Fact]
    public void The_largest_weights_keep_the_period_bounded_and_the_ratio_close()
    {
        int[] order = WeightedSchedule.Build([65535, 65534, 1]);

        Assert.InRange(order.Length, 1000, WeightedSchedule.LengthMax + 3);
        Assert.Equal(1, order.Count(turn => turn == 2));
        Assert.InRange(order.Count(turn => turn == 0), (order.Length / 2) - 2, (order.Length / 2) + 2);
    }

    [Fact]
    public void Ten_thousand_different_weights_leave_nobody_out()
    {
        int[] order = WeightedSchedule.Build([.. Enumerable.Range(1, 10_000)]);

        Assert.Equal(10_000, order.Distinct().Count());
        Assert.InRange(order.Length, 10_000, 40_000);
    }
}
