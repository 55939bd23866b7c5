using System.CommandLine;
using System.Globalization;
using System.Net.Sockets;
using System.Text.Json;
using Gateway.Admin;
using Gateway.Configuration;

namespace Gateway.Cli;

/// <summary><c>gateway doctor</c>: what is wrong, since when, whose fault, and what to do next; also where no gateway runs.</summary>
internal static class DoctorCommand
{
    private const string Path = "/api/v1/doctor";

    /// <summary>Creates the command.</summary>
    public static Command Create()
    {
        Option<string?> state = SharedOptions.RunningState(), config = SharedOptions.RunningConfig();
        Option<bool> json = SharedOptions.Json();
        Command command = new("doctor", "What is wrong, since when, whose fault, what to do next; also where no gateway runs") { state, config, json };
        command.SetAction((parsed, cancel) => RunAsync(parsed.GetValue(state), parsed.GetValue(config), parsed.GetValue(json), cancel));
        return command;
    }

    private static async Task<int> RunAsync(string? state, string? config, bool json, CancellationToken cancel)
    {
        // A configuration that cannot be read is a finding here: it is what the engineer looks for.
        using SocketClient? client = SocketClient.Find(state, config, out IReadOnlyList<Diagnostic> _);
        DoctorView view;
        try
        {
            view = client is null
                ? await GatewayDoctor.LookAsync(config, state, "run/gateway.sock", "the configuration that names its state directory has errors", cancel)
                : await client.GetAsync(Path, DoctorJson.Default.DoctorView, cancel);
        }
        catch (Exception e) when (e is HttpRequestException or SocketException or IOException or TaskCanceledException or JsonException)
        {
            view = await GatewayDoctor.LookAsync(config, state, client!.SocketPath, client.ReasonOf(e), cancel);
        }

        if (json)
        {
            await Console.Out.WriteLineAsync(JsonSerializer.Serialize(view, DoctorJson.Default.DoctorView));
        }
        else
        {
            Print(view);
        }

        if (!view.Reached && client is not null)
        {
            await Console.Error.WriteLineAsync($"gateway: no gateway answers at {client.SocketPath}; name its state directory with --state DIR or --config FILE");
        }

        return view.Reached ? ExitCode.Done : ExitCode.Failed;
    }

    private static void Print(DoctorView view)
    {
        foreach (DoctorFinding finding in view.Findings)
        {
            string where = string.Join(", ", new[]
            {
                finding.Service is null ? null : $"service '{finding.Service}'",
                finding.Instance is null ? null : $"instance '{finding.Instance}'",
                finding.Place,
            }.OfType<string>());
            Line($"{finding.Severity.ToUpperInvariant()}  {finding.Code}{(finding.Since is { } since ? $"  since {Local(since)}" : "")}");
            Line($"  where: {where}");
            Line($"  what:  {finding.What}");
            Line($"  now:   {finding.Now}");
            Line($"  whose: {finding.Fault}");
            Line($"  do:    {finding.Do}");
            Line("");
        }

        int width = view.Checked.Count == 0 ? 0 : view.Checked.Max(c => c.Name.Length);
        Line("checked:");
        foreach (DoctorCheck check in view.Checked)
        {
            Line($"  {check.Name.PadRight(width)}  {check.Seen}");
        }

        Line("");
        Line(view.Findings.Count == 0 ? "no findings" : string.Join(", ", view.Findings.GroupBy(f => f.Severity).Select(g => Count(g.Count(), g.Key))));
    }

    private static void Line(string text) => Console.Out.WriteLine(Printable.Of(text));

    private static string Count(int number, string what) => what == "info"
        ? string.Create(CultureInfo.InvariantCulture, $"{number} info")
        : string.Create(CultureInfo.InvariantCulture, $"{number} {what}{(number == 1 ? "" : "s")}");

    private static string Local(DateTimeOffset time) => time.ToLocalTime().ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture);
}
