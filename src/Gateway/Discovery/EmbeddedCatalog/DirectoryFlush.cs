using System.Runtime.InteropServices;

namespace Gateway.Discovery.EmbeddedCatalog;

/// <summary>Flushes a directory, so that a rename in it survives power loss. .NET opens files only.</summary>
internal static partial class DirectoryFlush
{
    private const int ReadOnly = 0;
    private const int CloseOnExec = 0x80000; // O_CLOEXEC on Linux

    public static void Flush(string directory)
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        int descriptor = Open(directory, ReadOnly | CloseOnExec);
        if (descriptor < 0)
        {
            throw new IOException($"{directory}: {Marshal.GetLastPInvokeErrorMessage()}");
        }

        try
        {
            // EINVAL: a file system that does not know it; there is nothing better to do there.
            if (Fsync(descriptor) < 0 && Marshal.GetLastPInvokeError() != 22)
            {
                throw new IOException($"{directory}: {Marshal.GetLastPInvokeErrorMessage()}");
            }
        }
        finally
        {
            _ = Close(descriptor);
        }
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Fsync(int descriptor);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int Close(int descriptor);
}
