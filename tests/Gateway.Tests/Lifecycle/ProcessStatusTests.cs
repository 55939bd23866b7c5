using Gateway.Lifecycle;

namespace Gateway.Tests.Lifecycle;

public sealed class ProcessStatusTests
{
    [Fact]
    public void It_only_goes_forward_so_a_late_ready_does_not_hide_a_drain()
    {
        ProcessStatus process = new(TimeProvider.System);
        Assert.True(process.Advance(ProcessState.Ready));
        Assert.False(process.Advance(ProcessState.Ready));
        Assert.True(process.Advance(ProcessState.Draining));
        Assert.False(process.Advance(ProcessState.Ready));
        Assert.Equal((503, "draining"), process.Readiness);
        Assert.True(process.Advance(ProcessState.Stopped));
        Assert.False(process.Advance(ProcessState.Draining));
        Assert.Equal(ProcessState.Stopped, process.State);
    }

    [Fact]
    public void Of_many_that_race_the_furthest_stands_and_each_step_is_taken_once()
    {
        for (int round = 0; round < 200; round++)
        {
            ProcessStatus process = new(TimeProvider.System);
            int ready = 0, draining = 0;
            Parallel.Invoke(
                () => Interlocked.Add(ref ready, process.Advance(ProcessState.Ready) ? 1 : 0),
                () => Interlocked.Add(ref ready, process.Advance(ProcessState.Ready) ? 1 : 0),
                () => Interlocked.Add(ref draining, process.Advance(ProcessState.Draining) ? 1 : 0));
            Assert.Equal((ProcessState.Draining, 1), (process.State, draining));
            Assert.InRange(ready, 0, 1);
        }
    }
}
