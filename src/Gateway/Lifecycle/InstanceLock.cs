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

    private readonly FileStream _file;

    private InstanceLock(FileStream file) => _file = file;

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
            return new InstanceLock(file);
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
            string text = File.ReadAllText(PidPath(stateDirectory));
            return int.TryParse(text.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out int pid) ? pid : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static string PidPath(string stateDirectory) => Path.Combine(stateDirectory, "run", "gateway.pid");
}
