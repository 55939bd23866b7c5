using System.Diagnostics;
using System.Text.RegularExpressions;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Commands;

/// <summary>
/// SPEC §1. Goal: <c>gateway dev</c> is the main job in one command: it prints five lines that work when pasted, takes other
/// ports when its own are busy, and Ctrl-C ends it within 3 s. Method: start it, paste, interrupt; two at a time.
/// </summary>
[Collection(Alone.Name)]
public sealed partial class DevTests
{
    [Fact]
    public async Task Five_lines_work_when_pasted_and_ctrl_c_ends_it_within_3_seconds()
    {
        using Dev dev = await Dev.Start();
        string[] lines = dev.Lines();
        Assert.True(lines.Length >= 5, $"only {lines.Length} lines to paste:\n{dev.Process.Output}");
        foreach (string line in lines)
        {
            CommandResult pasted = await ChildProcess.Run("/bin/sh", ["-c", line], seconds: 15);
            Assert.True(pasted.Exit == 0 && pasted.Out.Trim().Length > 0, $"{line}\nexit {pasted.Exit}: {pasted.All}");
        }

        long start = Stopwatch.GetTimestamp();
        dev.Process.Send(Signal.Interrupt);
        Assert.Equal(0, await dev.Process.WaitForExit(3));
        TestContext.Current.TestOutputHelper?.WriteLine($"Ctrl-C to exit: {Stopwatch.GetElapsedTime(start).TotalMilliseconds:0} ms");
    }

    [Fact]
    public async Task Ctrl_c_ends_it_within_3_seconds_with_connections_open()
    {
        using Dev dev = await Dev.Start();
        using CancellationTokenSource deadline = new(Eventually.Seconds(30));
        int web = dev.PortOf("curl");
        using Wire kept = await Wire.Connect(web, cancel: deadline.Token);
        Assert.Equal(200, (await kept.Exchange(Wire.Request("GET", "/", $"localhost:{web}"), deadline.Token)).Status);
        using Wire unused = await Wire.Connect(web, cancel: deadline.Token);
        using Wire relay = await Wire.Connect(dev.PortOf("nc"), cancel: deadline.Token);
        await relay.Send("x\n", deadline.Token);
        await relay.ReadBytes(1, deadline.Token);
        dev.Process.Send(Signal.Interrupt);
        Assert.Equal(0, await dev.Process.WaitForExit(3));
    }

    [Fact]
    public async Task Busy_ports_are_stepped_around_and_said_so()
    {
        using Dev first = await Dev.Start();
        using Dev second = await Dev.Start();
        Assert.NotEqual(first.PortOf("curl"), second.PortOf("curl"));
        Assert.Contains("busy", second.Process.Output, StringComparison.OrdinalIgnoreCase);
        foreach (Dev dev in new[] { first, second })
        {
            CommandResult pasted = await ChildProcess.Run("/bin/sh", ["-c", dev.Lines()[0]], seconds: 15);
            Assert.Equal(0, pasted.Exit);
        }
    }

    private sealed partial class Dev : IDisposable
    {
        private readonly string folder;

        private Dev(ChildProcess process, string folder) => (Process, this.folder) = (process, folder);

        public ChildProcess Process { get; }

        public static async Task<Dev> Start()
        {
            string home = Directory.CreateTempSubdirectory("gwd-").FullName;
            Dev dev = new(
                GatewayProcess.Begin(
                    ["dev"],
                    new Dictionary<string, string?>
                    {
                        ["XDG_STATE_HOME"] = home,
                        ["DOTNET_ROOT"] = Repository.DotnetRoot,
                        ["CONSUL_HTTP_ADDR"] = "http://127.0.0.1:1",   // dev ignores it
                    }),
                home);
            try
            {
                await Eventually.True(() => dev.Lines().Length >= 5, "five lines to paste", seconds: 30, now: () => dev.Process.Output);
                return dev;
            }
            catch
            {
                dev.Dispose();
                throw;
            }
        }

        /// <summary>What a reader would paste: whole lines that begin with a command.</summary>
        public string[] Lines() =>
            [.. Process.StandardOutput.Split('\n').Select(static line => line.Trim()).Where(static line => Pasteable().IsMatch(line))];

        /// <summary>The port in the first line that uses a program.</summary>
        public int PortOf(string program) => int.Parse(
            PortNumber().Match(Lines().First(line => line.Contains($"{program} ", StringComparison.Ordinal))).Groups["port"].Value);

        public void Dispose()
        {
            Process.Dispose();
            Directory.Delete(folder, recursive: true);
        }

        [GeneratedRegex(@"^(curl|nc|printf|echo)\s", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
        private static partial Regex Pasteable();

        [GeneratedRegex(@"localhost[: ](?<port>\d+)", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
        private static partial Regex PortNumber();
    }
}
