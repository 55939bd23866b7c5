using System.CommandLine;
using System.Runtime.InteropServices;
using Gateway.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Gateway.Cli;

/// <summary><c>gateway run</c>, and the signals that every running gateway understands.</summary>
internal static class RunCommand
{
    /// <summary>Creates the command.</summary>
    public static Command Create()
    {
        Option<string?> config = SharedOptions.Config(), state = SharedOptions.State();
        Option<bool> takeover = new("--takeover") { Description = "Take over from the running gateway (not built yet)" };
        takeover.Hidden = true;
        Command command = new("run", "Run: follow the catalog, open the ports, serve") { config, state, takeover };
        command.SetAction(async (parsed, _) =>
        {
            if (parsed.GetValue(takeover))
            {
                await Console.Error.WriteLineAsync("gateway: --takeover is not built yet; start without it");
                return ExitCode.BadInput;
            }

            string? file = parsed.GetValue(config);
            List<ConfigurationOverride> switches = parsed.GetValue(state) is { } directory
                ? [new ConfigurationOverride("stateDirectory", Path.GetFullPath(directory), "--state")]
                : [];
            ConfigurationResult Load() => GatewayConfiguration.Load(file, GatewayConfiguration.ProcessEnvironment(), switches);
            ConfigurationResult loaded = Load();
            foreach (Diagnostic finding in loaded.Diagnostics)
            {
                await Console.Error.WriteLineAsync(finding.ToString());
            }

            return loaded.Options is null ? ExitCode.BadInput : await RunAsync(loaded.Options, Load, json: true, onServing: null);
        });
        return command;
    }

    /// <summary>Runs until a signal or <c>gateway stop</c>. <paramref name="onServing"/> runs once the process is up.</summary>
    public static async Task<int> RunAsync(
        GatewayOptions options, Func<ConfigurationResult>? reload, bool json, Func<GatewayHost, Task>? onServing)
    {
        using ILoggerFactory logs = LoggerFactory.Create(builder =>
        {
            // Standard output belongs to the access log, so everything else goes to standard error.
            builder.SetMinimumLevel(LogLevel.Information).AddFilter("Microsoft", LogLevel.Warning).AddFilter("Yarp", LogLevel.Warning);
            if (json && Console.IsErrorRedirected)
            {
                builder.AddJsonConsole(c =>
                {
                    (c.UseUtcTimestamp, c.TimestampFormat) = (true, "yyyy-MM-ddTHH:mm:ss.fffZ");

                    // It is read by people and log shippers, never by a browser: quotes stay quotes.
                    c.JsonWriterOptions = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
                });
            }
            else
            {
                builder.AddSimpleConsole(c => (c.TimestampFormat, c.SingleLine) = ("HH:mm:ss ", false));
            }

            builder.Services.Configure<Microsoft.Extensions.Logging.Console.ConsoleLoggerOptions>(c => c.LogToStandardErrorThreshold = LogLevel.Trace);
        });

        await using GatewayHost host = new(options, logs) { Reloader = reload };

        // Before the start, so that no signal ever meets the default disposition.
        using CancellationTokenSource drain = new(), hurry = new();
        void Stop(PosixSignalContext context)
        {
            context.Cancel = true;
            (drain.IsCancellationRequested ? hurry : drain).Cancel();
        }

        using PosixSignalRegistration term = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using PosixSignalRegistration hangup = PosixSignalRegistration.Create(PosixSignal.SIGHUP, context =>
        {
            context.Cancel = true;
            _ = host.ReloadAsync(CancellationToken.None);
        });
        using CancellationTokenRegistration stopped = host.StopRequested.Register(() => drain.Cancel());

        try
        {
            await host.StartAsync(drain.Token);
            if (onServing is not null)
            {
                await onServing(host).WaitAsync(drain.Token);
            }

            await Task.Delay(Timeout.InfiniteTimeSpan, drain.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        catch (GatewayStartException e)
        {
            await Console.Error.WriteLineAsync($"gateway: {e.Message}");
            return e.BadInput ? ExitCode.BadInput : ExitCode.Failed;
        }
        catch (OperationCanceledException) when (drain.IsCancellationRequested)
        {
            // Asked to stop while starting: drain what there is.
        }

        await host.DrainAsync(hurry.Token);
        return ExitCode.Done;
    }
}
