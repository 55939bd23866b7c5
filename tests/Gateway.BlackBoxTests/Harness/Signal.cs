using System.Runtime.InteropServices;

namespace Gateway.BlackBoxTests.Harness;

/// <summary>kill(2), always by one pid that we started.</summary>
internal static partial class Signal
{
    public const int Hangup = 1;
    public const int Interrupt = 2;
    public const int Kill = 9;
    public const int Terminate = 15;
    public const int Continue = 18;
    public const int Stop = 19;

    /// <summary>Sends it; false where there is no such process any more.</summary>
    public static bool Send(int pid, int signal) => pid > 1 && NativeKill(pid, signal) == 0;

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int NativeKill(int pid, int signal);
}
