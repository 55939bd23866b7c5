using System.Diagnostics;
using System.Text;

namespace Gateway.BlackBoxTests.Harness;

/// <summary>
/// One process that we started: what it printed (the last lines of it), its end, and signals by pid. Disposing it kills it.
/// </summary>
internal sealed class ChildProcess : IDisposable
{
    private const int LinesKept = 5000;
    private readonly Process process;
    private readonly Queue<string> lines = new();
    private readonly StringBuilder standardOutput = new();
    private readonly Task pumps;
    private int disposed;

    private ChildProcess(Process process)
    {
        this.process = process;
        Pid = process.Id;
        pumps = Task.WhenAll(Pump(process.StandardOutput, keep: true), Pump(process.StandardError, keep: false));
    }

    public int Pid { get; }

    public bool HasExited => disposed != 0 || process.HasExited;

    /// <summary>Both streams, the last lines, as they came.</summary>
    public string Output
    {
        get
        {
            lock (lines)
            {
                return string.Join('\n', lines);
            }
        }
    }

    /// <summary>Standard output alone, from the beginning (the first 4 MiB of it).</summary>
    public string StandardOutput
    {
        get
        {
            lock (lines)
            {
                return standardOutput.ToString();
            }
        }
    }

    public static ChildProcess Start(
        string file,
        IEnumerable<string> arguments,
        IReadOnlyDictionary<string, string?>? environment = null,
        string? folder = null)
    {
        ProcessStartInfo info = new(file)
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            WorkingDirectory = folder ?? Path.GetTempPath(),
        };
        foreach (string argument in arguments)
        {
            info.ArgumentList.Add(argument);
        }

        // What the machine's operator has set for a real gateway or agent must not leak into a test.
        foreach (string name in info.Environment.Keys.Where(static key =>
            key.StartsWith("GATEWAY__", StringComparison.OrdinalIgnoreCase) || key.StartsWith("CONSUL_", StringComparison.Ordinal)).ToArray())
        {
            info.Environment.Remove(name);
        }

        foreach ((string name, string? value) in environment ?? new Dictionary<string, string?>())
        {
            if (value is null)
            {
                info.Environment.Remove(name);
            }
            else
            {
                info.Environment[name] = value;
            }
        }

        Process launched = Process.Start(info) ?? throw new InvalidOperationException($"{file} did not start.");
        Reaper.Watch(launched.Id);
        launched.StandardInput.Close();
        return new ChildProcess(launched);
    }

    /// <summary>Runs a program to its end and gives what it printed; one that does not end in time is killed, and the test fails.</summary>
    public static async Task<CommandResult> Run(
        string file,
        IEnumerable<string> arguments,
        IReadOnlyDictionary<string, string?>? environment = null,
        double seconds = 30,
        string? folder = null)
    {
        using ChildProcess child = Start(file, arguments, environment, folder);
        int code = await child.WaitForExit(seconds);
        return new CommandResult(code, child.StandardOutput, child.Output);
    }

    public bool Send(int signal) => !HasExited && Signal.Send(Pid, signal);

    /// <summary>The exit code; fails the test (and leaves the process to <see cref="Dispose"/>) when it does not end in time.</summary>
    public async Task<int> WaitForExit(double seconds)
    {
        using CancellationTokenSource deadline = new(Eventually.Seconds(seconds));
        try
        {
            await process.WaitForExitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            Assert.Fail($"{process.StartInfo.FileName} {string.Join(' ', process.StartInfo.ArgumentList)} (pid {Pid}) "
                + $"did not end within {seconds} s. It printed:\n{Tail(60)}");
        }

        await Task.WhenAny(pumps, Task.Delay(TimeSpan.FromSeconds(2)));
        return process.ExitCode;
    }

    /// <summary>The last lines of output, for a failure's message.</summary>
    public string Tail(int count)
    {
        lock (lines)
        {
            return string.Join('\n', lines.TakeLast(count));
        }
    }

    /// <summary>Resident memory in bytes.</summary>
    public long ResidentBytes() => Memory("VmRSS:");

    /// <summary>Resident anonymous memory in bytes: what the process itself has allocated and touched.</summary>
    public long AnonymousBytes() => Memory("RssAnon:");

    public void Dispose()
    {
        if (Interlocked.Exchange(ref disposed, 1) != 0)
        {
            return;
        }

        try
        {
            if (!process.HasExited)
            {
                Signal.Send(Pid, Signal.Continue);
                Signal.Send(Pid, Signal.Kill);
                process.WaitForExit(TimeSpan.FromSeconds(10));
            }
        }
        finally
        {
            process.Dispose();
        }
    }

    private long Memory(string field)
    {
        string line = File.ReadLines($"/proc/{Pid}/status").First(text => text.StartsWith(field, StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]) * 1024;
    }

    private async Task Pump(StreamReader reader, bool keep)
    {
        while (await reader.ReadLineAsync() is { } line)
        {
            lock (lines)
            {
                lines.Enqueue(line);
                if (lines.Count > LinesKept)
                {
                    lines.Dequeue();
                }

                if (keep && standardOutput.Length < 4 * 1024 * 1024)
                {
                    standardOutput.Append(line).Append('\n');
                }
            }
        }
    }
}

/// <summary>How a command ended.</summary>
/// <param name="Exit">Its exit code.</param>
/// <param name="Out">Its standard output.</param>
/// <param name="All">Both streams together.</param>
internal sealed record CommandResult(int Exit, string Out, string All);
