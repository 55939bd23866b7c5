using System.Globalization;
using Gateway.Lifecycle;

namespace Gateway.Tests.Lifecycle;

public sealed class InstanceLockTests : IDisposable
{
    private readonly string _state = Directory.CreateTempSubdirectory("gwl").FullName;

    public InstanceLockTests() => Directory.CreateDirectory(Path.Combine(_state, "run"));

    private string LockPath => Path.Combine(_state, "run", "gateway.lock");

    private string PidPath => Path.Combine(_state, "run", "gateway.pid");

    public void Dispose() => Directory.Delete(_state, recursive: true);

    [Fact]
    public void Second_taker_is_told_who_has_it_and_gets_it_after_the_first()
    {
        using (InstanceLock? first = InstanceLock.TryTake(_state, out int? nobody))
        {
            Assert.NotNull(first);
            Assert.Null(nobody);
            Assert.Null(InstanceLock.TryTake(_state, out int? holder));
            Assert.Equal(Environment.ProcessId, holder);
        }

        using InstanceLock? next = InstanceLock.TryTake(_state, out _);
        Assert.NotNull(next);
    }

    [Fact]
    public void Files_of_a_killed_process_are_in_nobodys_way()
    {
        File.WriteAllText(LockPath, "");
        File.WriteAllText(PidPath, "1\n");
        using InstanceLock? taken = InstanceLock.TryTake(_state, out _);
        Assert.NotNull(taken);
        Assert.Equal(Environment.ProcessId, InstanceLock.Holder(_state));
        Assert.Equal(Environment.ProcessId.ToString(CultureInfo.InvariantCulture), File.ReadLines(PidPath).First());
    }

    [Fact]
    public void A_successor_with_the_same_pid_is_a_successor()
    {
        // Two containers that share a state directory: both are pid 1.
        using InstanceLock old = InstanceLock.TryTake(_state, out _)!;
        old.SayDraining();
        Assert.True(InstanceLock.IsHolderDraining(_state));
        Assert.False(old.IsSucceeded);
        old.Dispose();
        Assert.False(old.IsSucceeded);

        using InstanceLock next = InstanceLock.TryTake(_state, out _)!;
        Assert.True(old.IsSucceeded);
        Assert.False(next.IsSucceeded);
        Assert.Equal(Environment.ProcessId, InstanceLock.Holder(_state));
        Assert.False(InstanceLock.IsHolderDraining(_state));
    }

    [Fact]
    public void A_successor_of_an_older_version_that_writes_its_pid_alone_is_one()
    {
        using InstanceLock old = InstanceLock.TryTake(_state, out _)!;
        old.Dispose();
        File.WriteAllText(PidPath, "");
        Assert.False(old.IsSucceeded);
        File.WriteAllText(PidPath, "1\n");
        Assert.True(old.IsSucceeded);
    }

    [Fact]
    public void Once_let_go_it_is_taken_back_while_nobody_came()
    {
        using InstanceLock old = InstanceLock.TryTake(_state, out _)!;
        old.Dispose();
        Assert.True(old.TakeBack());
        Assert.Null(InstanceLock.TryTake(_state, out _));
        old.Dispose();
        using InstanceLock? last = InstanceLock.TryTake(_state, out _);
        Assert.NotNull(last);
    }

    [Fact]
    public void Once_somebody_came_it_is_never_taken_back_and_says_nothing_any_more()
    {
        using InstanceLock old = InstanceLock.TryTake(_state, out _)!;
        old.Dispose();
        using (InstanceLock next = InstanceLock.TryTake(_state, out _)!)
        {
            Assert.False(old.TakeBack());
            old.SayDraining();
            Assert.False(InstanceLock.IsHolderDraining(_state));
        }

        // Whatever is in the directory now is the successor's.
        Assert.False(old.TakeBack());
        using InstanceLock? last = InstanceLock.TryTake(_state, out _);
        Assert.NotNull(last);
    }

    [Fact]
    public async Task Who_reads_while_the_holder_says_that_it_drains_sees_the_one_or_the_other()
    {
        using InstanceLock held = InstanceLock.TryTake(_state, out _)!;
        using CancellationTokenSource stop = new();
        Task saying = Task.Run(
            () =>
            {
                while (!stop.IsCancellationRequested)
                {
                    held.SayDraining();
                }
            },
            TestContext.Current.CancellationToken);
        for (int i = 0; i < 2000; i++)
        {
            Assert.Equal(Environment.ProcessId, InstanceLock.Holder(_state));
        }

        await stop.CancelAsync();
        await saying;
    }

    [Fact]
    public void A_lock_that_is_no_file_is_a_failure_and_not_a_second_gateway()
    {
        Directory.CreateDirectory(LockPath);
        Assert.ThrowsAny<UnauthorizedAccessException>(() => InstanceLock.TryTake(_state, out _));
    }

    [Fact]
    public void A_pid_that_cannot_be_written_is_a_failure_and_lets_go_of_the_lock()
    {
        Directory.CreateDirectory(PidPath);
        Exception refused = Assert.ThrowsAny<Exception>(() => InstanceLock.TryTake(_state, out _));
        Assert.True(refused is IOException or UnauthorizedAccessException, refused.ToString());
        Assert.Null(InstanceLock.Holder(_state));
        Directory.Delete(PidPath);
        using InstanceLock? taken = InstanceLock.TryTake(_state, out _);
        Assert.NotNull(taken);
    }

    [Fact]
    public void Holder_of_a_directory_without_or_with_a_broken_pid_is_unknown()
    {
        Assert.Null(InstanceLock.Holder(_state));
        File.WriteAllText(PidPath, "garbage");
        Assert.Null(InstanceLock.Holder(_state));
    }
}
