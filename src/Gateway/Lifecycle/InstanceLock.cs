using System.Globalization;

namespace Gateway.Lifecycle;

/// <summary>
/// One Gateway per state directory: an advisory lock on <c>run/gateway.lock</c>, which the kernel drops with the process however
/// it ends, and the pid beside it in <c>run/gateway.pid</c> for whoever comes second.
/// </summary>
internal sealed class InstanceLock : IDisposable
{
    private readonly FileStream _file;

    private InstanceLock(FileStream file) => _file = file;

    /// <summary>Takes the lock; null when another process has it, whose pid is then in <paramref name="holder"/> where readable.</summary>
    /// <exception cref="IOException">The directory can't be written.</exception>
    public static InstanceLock? TryTake(string stateDirectory, out int? holder)
    {
        string path = Path.Combine(stateDirectory, "run", "gateway.lock");
        holder = null;
        try
        {
            // On Linux .NET takes an exclusive flock(2) for FileShare.None only.
            FileStream file = new(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            File.WriteAllText(PidPath(stateDirectory), Environment.ProcessId.ToString(CultureInfo.InvariantCulture) + "\n");
            return new InstanceLock(file);
        }
        catch (IOException e) when (e is not (FileNotFoundException or DirectoryNotFoundException or PathTooLongException) && File.Exists(path))
        {
            holder = Holder(stateDirectory);
            return null;
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
        catch (IOException)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static string PidPath(string stateDirectory) => Path.Combine(stateDirectory, "run", "gateway.pid");
}
