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
        Assert.Equal(Environment.ProcessId.ToString(CultureInfo.InvariantCulture), File.ReadAllText(PidPath).Trim());
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
        Assert.ThrowsAny<UnauthorizedAccessException>(() => InstanceLock.TryTake(_state, out _));
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
