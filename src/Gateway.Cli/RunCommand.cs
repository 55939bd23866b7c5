using System.CommandLine;
using Gateway.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Gateway.Cli;

/// <summary><c>gateway run</c>, and the signals that every running gateway understands.</summary>
internal static class RunCommand
{
    /// <summary>Creates the command; <paramref name="signals"/> are there when it runs.</summary>
    public static Command Create(Func<Signals> signals)
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

            return loaded.Options is null ? ExitCode.BadInput : await RunAsync(loaded.Options, Load, json: true, signals(), onServing: null);
        });
        return command;
    }

    /// <summary>Runs until a signal or <c>gateway stop</c>. <paramref name="onServing"/> runs once the process is up.</summary>
    public static async Task<int> RunAsync(
        GatewayOptions options, Func<ConfigurationResult>? reload, bool json, Signals signals, Func<GatewayHost, Task>? onServing)
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

        using CancellationTokenRegistration stopped = host.StopRequested.Register(signals.Drain);
        try
        {
            await host.StartAsync(signals.Draining);
            signals.Hangup = () => _ = host.ReloadAsync(CancellationToken.None);
            if (onServing is not null)
            {
                await onServing(host).WaitAsync(signals.Draining);
            }

            await Task.Delay(Timeout.InfiniteTimeSpan, signals.Draining).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        catch (GatewayStartException e)
        {
            await Console.Error.WriteLineAsync($"gateway: {e.Message}");
            return e.BadInput ? ExitCode.BadInput : ExitCode.Failed;
        }
        catch (OperationCanceledException) when (signals.Draining.IsCancellationRequested)
        {
            // Asked to stop while starting: drain what there is.
        }

        await host.DrainAsync(signals.Hurry);
        signals.Hangup = null;
        return ExitCode.Done;
    }
}
