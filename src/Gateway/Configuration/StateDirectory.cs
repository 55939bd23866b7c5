using System.Text;

namespace Gateway.Configuration;

/// <summary>The directory of state and of the sockets under <c>run/</c>.</summary>
public static class StateDirectory
{
    // sun_path takes 107 bytes on Linux; 90 leave room for a temporary name beside it while sockets are exchanged.
    private const int SocketPathBytesMax = 90;
    private const string LongestSocket = "/run/gateway.sock";

    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private const UnixFileMode OwnerAndGroup = OwnerOnly | UnixFileMode.GroupRead | UnixFileMode.GroupExecute;

    /// <summary>What is wrong with the length of a path, or null.</summary>
    public static string? PathProblem(string directory)
    {
        string socket = directory.TrimEnd('/') + LongestSocket;
        int bytes = Encoding.UTF8.GetByteCount(socket);
        return bytes <= SocketPathBytesMax
            ? null
            : $"the socket '{socket}' would have a path of {bytes} bytes, and {SocketPathBytesMax} are allowed; "
                + $"name a directory of at most {SocketPathBytesMax - LongestSocket.Length} bytes, like /var/lib/gateway, "
                + "or a symbolic link to this one";
    }

    /// <summary>
    /// Creates the directory and <c>run/</c> (mode 0700, because whoever reaches the sockets commands the gateway), and proves by
    /// a test file that both can be written. Null when all is well, else what to do; a process that gets one exits 2 before it
    /// binds anything.
    /// </summary>
    /// <param name="directory">Absolute path.</param>
    /// <param name="place">Where the operator wrote it, for the message: a place in the file, a variable, <c>--state</c>.</param>
    public static Diagnostic? Prepare(string directory, string place)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new PlatformNotSupportedException("Gateway runs on Linux");
        }

        if (PathProblem(directory) is { } length)
        {
            return new Diagnostic(place, DiagnosticSeverity.Error, $"stateDirectory: {length}");
        }

        string run = Path.Combine(directory, "run");
        string now = directory;
        try
        {
            Directory.CreateDirectory(directory, OwnerAndGroup);
            TestWrite(directory);
            now = run;
            Directory.CreateDirectory(run, OwnerOnly);
            if (File.GetUnixFileMode(run) != OwnerOnly)
            {
                File.SetUnixFileMode(run, OwnerOnly);
            }

            TestWrite(run);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            string user = Environment.UserName;
            string reason = File.Exists(now) ? "it is a file, not a directory" : NamedFiles.Reason(e).TrimEnd('.');
            return new Diagnostic(
                place,
                DiagnosticSeverity.Error,
                $"stateDirectory: '{now}' cannot be written by user {user}: {reason}; create it for that user "
                + $"(install -d -o {user} {directory}), or name another one with --state DIR, "
                + $"{Overlay.Prefix}STATEDIRECTORY or stateDirectory");
        }
    }

    /// <summary>Proves that a directory takes files.</summary>
    /// <exception cref="IOException">It does not.</exception>
    /// <exception cref="UnauthorizedAccessException">Nor may it.</exception>
    internal static void TestWrite(string directory)
    {
        string path = Path.Combine(directory, $".write-test-{Environment.ProcessId}-{Guid.NewGuid():N}");
        using FileStream file = new(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, FileOptions.DeleteOnClose);
        file.WriteByte(1);
    }
}
