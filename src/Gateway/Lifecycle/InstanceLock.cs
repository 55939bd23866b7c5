using System.Globalization;

namespace Gateway.Lifecycle;

/// <summary>
/// One Gateway per state directory: an advisory lock on <c>run/gateway.lock</c>, which the kernel drops with the process however
/// it ends, and beside it <c>run/gateway.pid</c> for whoever comes second: a line with the pid, one with a token that no other
/// holder has (two containers that share the directory are both pid 1), and one that says so when the holder is ending.
/// </summary>
internal sealed class InstanceLock : IDisposable
{
    // EWOULDBLOCK: .NET keeps the errno of flock(2) here. Any other failure is one of the directory, not of a second gateway.
    private const int WouldBlock = 11;

    private const string DrainingMark = "draining";

    private readonly Lock _gate = new();
    private readonly string _stateDirectory;
    private readonly string _token = Guid.NewGuid().ToString("N");
    private FileStream? _file;

    private InstanceLock(FileStream file, string stateDirectory) => (_file, _stateDirectory) = (file, stateDirectory);

    /// <summary>Takes the lock; null when another process has it, whose pid is then in <paramref name="holder"/> where readable.</summary>
    /// <exception cref="IOException">The files can't be written.</exception>
    /// <exception cref="UnauthorizedAccessException">Nor may they be.</exception>
    public static InstanceLock? TryTake(string stateDirectory, out int? holder)
    {
        holder = null;
        if (TryLock(stateDirectory) is not { } file)
        {
            holder = Holder(stateDirectory);
            return null;
        }

        InstanceLock taken = new(file, stateDirectory);
        try
        {
            taken.Say(mark: null);
            return taken;
        }
        catch
        {
            taken.Dispose();
            throw;
        }
    }

    /// <summary>Pid of the process that holds the lock of a state directory, or null where nobody wrote one.</summary>
    public static int? Holder(string stateDirectory) => Read(stateDirectory).Pid;

    /// <summary>Whether the holder said that it is ending: the next one waits for its lock instead of giving up.</summary>
    public static bool IsHolderDraining(string stateDirectory) => Read(stateDirectory).IsDraining;

    /// <summary>
    /// Says beside the lock that this process is ending, unless it has let go of it: what stands there then is a successor's. Best
    /// effort: without it the next one only gives up at once.
    /// </summary>
    public void SayDraining()
    {
        lock (_gate)
        {
            try
            {
                if (_file is not null)
                {
                    Say(DrainingMark);
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // The directory went away under us.
            }
        }
    }

    /// <summary>Whether another holder took the lock after this one let go of it.</summary>
    public bool IsSucceeded => Read(_stateDirectory) is { Pid: not null } there && there.Token != _token;

    /// <summary>
    /// Takes the lock again, so that what this process left in the directory may be cleared away; false: another one has it, or
    /// had it, and what is there is not ours any more.
    /// </summary>
    public bool TakeBack()
    {
        lock (_gate)
        {
            try
            {
                _file ??= TryLock(_stateDirectory);
                if (IsSucceeded)
                {
                    _file?.Dispose();
                    _file = null;
                }

                return _file is not null;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                return false;
            }
        }
    }

    /// <summary>Lets go of it; the next may come.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _file?.Dispose();
            _file = null;
        }
    }

    private static FileStream? TryLock(string stateDirectory)
    {
        try
        {
            // On Linux .NET takes an exclusive flock(2) for FileShare.None only.
            return new FileStream(
                Path.Combine(stateDirectory, "run", "gateway.lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e) when (e.HResult == WouldBlock)
        {
            return null;
        }
    }

    private static (int? Pid, string Token, bool IsDraining) Read(string stateDirectory)
    {
        try
        {
            string[] lines = File.ReadAllText(PidPath(stateDirectory)).Split('\n');
            int? pid = int.TryParse(lines[0].Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : null;
            return (pid, lines.ElementAtOrDefault(1) ?? "", lines.Contains(DrainingMark));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return (null, "", false);
        }
    }

    private static string PidPath(string stateDirectory) => Path.Combine(stateDirectory, "run", "gateway.pid");

    // Under another name first: whoever reads meanwhile must not find a file without a pid, and take that for a live holder.
    private void Say(string? mark)
    {
        string path = PidPath(_stateDirectory), temporary = path + ".new";
        File.WriteAllText(temporary, string.Create(CultureInfo.InvariantCulture, $"{Environment.ProcessId}\n{_token}\n{(mark is null ? "" : mark + "\n")}"));
        File.Move(temporary, path, overwrite: true);
    }
}
