using System.Diagnostics;

namespace Gateway.BlackBoxTests.Harness;

/// <summary>
/// Ends what we started when the test run itself is killed. A shell reads our pids from a pipe; the kernel closes the pipe
/// when we die, however we die, and the shell then kills each pid that still is the process we meant (same start time).
/// </summary>
internal static class Reaper
{
    private const string Script =
        """
        exec >/dev/null 2>&1
        trap '' INT TERM HUP
        list=
        while read -r pid start; do list="$list $pid:$start"; done
        for entry in $list; do
          pid=${entry%%:*}
          now=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d' ' -f20)
          [ -n "$now" ] && [ "$now" = "${entry#*:}" ] && kill -9 "$pid" 2>/dev/null
        done
        exit 0
        """;

    private static readonly Lock Gate = new();
    private static Process? shell;

    /// <summary>From now on <paramref name="pid"/> does not outlive us.</summary>
    public static void Watch(int pid)
    {
        string start;
        try
        {
            string stat = File.ReadAllText($"/proc/{pid}/stat");
            start = stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[19];
        }
        catch (IOException)
        {
            return;   // it has ended already
        }

        lock (Gate)
        {
            if (shell is null)
            {
                ProcessStartInfo info = new("/bin/sh") { UseShellExecute = false, RedirectStandardInput = true };
                info.ArgumentList.Add("-c");
                info.ArgumentList.Add(Script);
                shell = Process.Start(info)!;
                shell.StandardInput.AutoFlush = true;
            }

            shell.StandardInput.WriteLine($"{pid} {start}");
        }
    }
}
