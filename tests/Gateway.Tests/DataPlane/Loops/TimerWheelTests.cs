using Gateway.DataPlane.Loops;

namespace Gateway.Tests.DataPlane.Loops;

/// <summary>Goal: a timer is never early, at most one tick late, and never lost, whatever else happens in the same moment.</summary>
public sealed class TimerWheelTests
{
    private readonly List<string> _faults = [];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    public void It_does_what_a_list_of_deadlines_does(int seed)
    {
        Random random = new(seed);
        long now = random.Next(0, 1_000_000);
        TimerWheel wheel = Wheel(now);
        Probe[] timers = [.. Enumerable.Range(0, 60).Select(_ => new Probe())];
        Dictionary<Probe, long> model = [];
        for (int step = 0; step < 20_000; step++)
        {
            Probe timer = timers[random.Next(timers.Length)];
            switch (random.Next(4))
            {
                case 0 or 1:
                    // Now and then beyond the wheel's turn of 65 s, or already past.
                    long due = now + random.Next(6) switch { 0 => random.Next(-50, 50), 1 => random.Next(60_000, 400_000), _ => random.Next(5_000) };
                    wheel.Set(timer, due);
                    model[timer] = Math.Max(due, now); // what is past is due with the next tick
                    break;
                case 2:
                    wheel.Cancel(timer);
                    model.Remove(timer);
                    break;
                default:
                    now += random.Next(20) switch { 0 => random.Next(300_000), 1 => random.Next(70_000), _ => random.Next(100) };
                    Advance(wheel, now, timers, model);
                    break;
            }

            Assert.Equal(model.Count, wheel.Count);
            if (model.Count > 0)
            {
                int delay = wheel.Delay(now);
                Assert.InRange(delay, 0, Math.Max(TimerWheel.TickMs, model.Values.Min() - now + (2 * TimerWheel.TickMs)));
            }
            else
            {
                Assert.Equal(-1, wheel.Delay(now));
            }
        }
    }

    [Fact]
    public void Timers_may_set_and_cancel_any_other_while_they_run()
    {
        Random random = new(7);
        for (int round = 0; round < 500; round++)
        {
            TimerWheel wheel = Wheel(0);
            Probe[] timers = [.. Enumerable.Range(0, 12).Select(_ => new Probe())];
            Dictionary<Probe, long> model = [];
            long now = 0;
            foreach (Probe timer in timers)
            {
                timer.Does = () =>
                {
                    model.Remove(timer);
                    for (int i = random.Next(4); i > 0; i--)
                    {
                        Probe other = timers[random.Next(timers.Length)];
                        if (random.Next(2) == 0)
                        {
                            wheel.Cancel(other);
                            model.Remove(other);
                        }
                        else
                        {
                            long due = now + random.Next(1, 200);
                            wheel.Set(other, due);
                            model[other] = due;
                        }
                    }
                };
                long first = random.Next(1, 100);
                wheel.Set(timer, first);
                model[timer] = first;
            }

            for (int turn = 0; turn < 40; turn++)
            {
                now += random.Next(1, 150);
                wheel.Advance(now);
                Assert.Equal(model.Count, wheel.Count);
                Assert.All(model.Values, due => Assert.True(due > now - TimerWheel.TickMs, $"{due} was due before {now}"));
            }
        }
    }

    [Fact]
    public void A_timer_that_throws_is_told_and_holds_nobody_up()
    {
        TimerWheel wheel = Wheel(0);
        int ran = 0;
        Probe[] timers = [.. Enumerable.Range(0, 3).Select(i => new Probe
        {
            Does = () =>
            {
                ran++;
                throw new InvalidOperationException("mine");
            },
        })];
        foreach (Probe timer in timers)
        {
            wheel.Set(timer, 10);
        }

        wheel.Advance(100);
        Assert.Equal((3, 3, 0), (ran, _faults.Count, wheel.Count));
        wheel.Set(timers[0], 200);
        wheel.Advance(300);
        Assert.Equal(4, ran);
    }

    [Fact]
    public void After_a_long_sleep_a_timer_counts_from_the_present()
    {
        TimerWheel wheel = Wheel(0);
        Probe timer = new();
        wheel.Set(timer, 3_600_000 + 1000);
        wheel.Advance(3_600_000 + 999);
        Assert.Equal(0, timer.Runs);
        wheel.Advance(3_600_000 + 1100);
        Assert.Equal(1, timer.Runs);
    }

    [Fact]
    public void A_timer_that_sets_itself_anew_runs_once_per_deadline()
    {
        TimerWheel wheel = Wheel(0);
        Probe timer = new();
        timer.Does = () => wheel.Set(timer, timer.Due + 1000);
        wheel.Set(timer, 1000);
        for (long now = 0; now <= 100_000; now += 25)
        {
            wheel.Advance(now);
        }

        Assert.InRange(timer.Runs, 96, 100);
    }

    private TimerWheel Wheel(long now) => new(now, (e, _) => _faults.Add(e.Message));

    private static void Advance(TimerWheel wheel, long now, Probe[] timers, Dictionary<Probe, long> model)
    {
        Dictionary<Probe, int> before = timers.ToDictionary(t => t, t => t.Runs);
        wheel.Advance(now);
        foreach (Probe timer in timers)
        {
            int runs = timer.Runs - before[timer];
            if (!model.TryGetValue(timer, out long due) || due > now)
            {
                Assert.Equal(0, runs); // never early, never after a cancel
            }
            else if (due <= now - TimerWheel.TickMs)
            {
                Assert.Equal(1, runs); // at most one tick late
            }

            Assert.InRange(runs, 0, 1);
            if (runs == 1)
            {
                model.Remove(timer);
            }
        }
    }

    private sealed class Probe : LoopTimer
    {
        public Action? Does { get; set; }

        public int Runs { get; private set; }

        protected internal override void OnDue()
        {
            Runs++;
            Does?.Invoke();
        }
    }
}
