using System.Globalization;

namespace Gateway.Lifecycle;

/// <summary>
/// One Gateway per state directory: an advisory lock on <c>run/gateway.lock</c>, which the kernel drops with the process however
/// it ends, and the pid beside it in <c>run/gateway.pid</c> for whoever comes second.
/// </summary>
internal sealed class InstanceLock : IDisposable
{
    // EWOULDBLOCK: .NET keeps the errno of flock(2) here. Any other failure is one of the directory, not of a second gateway.
    private const int WouldBlock = 11;

    private const string DrainingMark = "draining";

    private readonly FileStream _file;
    private readonly string _stateDirectory;

    private InstanceLock(FileStream file, string stateDirectory) => (_file, _stateDirectory) = (file, stateDirectory);

    /// <summary>Takes the lock; null when another process has it, whose pid is then in <paramref name="holder"/> where readable.</summary>
    /// <exception cref="IOException">The files can't be written.</exception>
    /// <exception cref="UnauthorizedAccessException">Nor may they be.</exception>
    public static InstanceLock? TryTake(string stateDirectory, out int? holder)
    {
        string path = Path.Combine(stateDirectory, "run", "gateway.lock");
        holder = null;
        FileStream file;
        try
        {
            // On Linux .NET takes an exclusive flock(2) for FileShare.None only.
            file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e) when (e.HResult == WouldBlock)
        {
            holder = Holder(stateDirectory);
            return null;
        }

        try
        {
            File.WriteAllText(PidPath(stateDirectory), Environment.ProcessId.ToString(CultureInfo.InvariantCulture) + "\n");
            return new InstanceLock(file, stateDirectory);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Pid of the process that holds the lock of a state directory, or null where nobody wrote one.</summary>
    public static int? Holder(string stateDirectory)
    {
        try
        {
            string text = File.ReadAllText(PidPath(stateDirectory)).Split('\n')[0];
            return int.TryParse(text.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out int pid) ? pid : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Whether the holder said that it is ending: the next one waits for its lock instead of giving up.</summary>
    public static bool IsHolderDraining(string stateDirectory)
    {
        try
        {
            return File.ReadAllText(PidPath(stateDirectory)).Contains(DrainingMark, StringComparison.Ordinal);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>Says beside the lock that this process is ending. Best effort: without it the next one only gives up at once.</summary>
    public void SayDraining()
    {
        try
        {
            File.WriteAllText(
                PidPath(_stateDirectory), string.Create(CultureInfo.InvariantCulture, $"{Environment.ProcessId}\n{DrainingMark}\n"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The directory went away under us.
        }
    }

    /// <summary>Whether another process took the lock after this one let go of it.</summary>
    public bool IsSucceeded => Holder(_stateDirectory) is { } pid && pid != Environment.ProcessId;

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static string PidPath(string stateDirectory) => Path.Combine(stateDirectory, "run", "gateway.pid");
}
