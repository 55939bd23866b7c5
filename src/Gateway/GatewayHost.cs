using System.Text;
using Gateway.Admin;
using Gateway.Configuration;
using Gateway.Control;
using Gateway.Discovery;
using Gateway.Discovery.EmbeddedCatalog;
using Gateway.Lifecycle;
using Gateway.Observability;
using Microsoft.Extensions.Logging;

namespace Gateway;

/// <summary>
/// One running gateway: starts, reloads, drains and ends, each in its turn. What runs is made by <see cref="Composition"/> and kept
/// in <see cref="RunningParts"/>; what can be refused is refused before anything is bound.
/// </summary>
public sealed class GatewayHost : IAsyncDisposable
{
    private static readonly TimeSpan s_firstProbes = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan s_poll = TimeSpan.FromMilliseconds(20);

    private readonly ILoggerFactory _logs;
    private readonly ILogger _log;
    private readonly TimeProvider _clock;
    private readonly ProcessStatus _process;
    private readonly GatewayMetrics _metrics = new();
    private readonly MetricsExporter _exporter;
    private readonly Succession _succession;
    private readonly CancellationTokenSource _stopRequested = new();

    // Start, drain and end run once each, whoever asks how often. Never disposed, for somebody may always ask once more.
    private readonly Lock _gate = new();
    private readonly RunOnce _draining;
    private readonly RunOnce _ending;
    private readonly CancellationTokenSource _hurry = new();
    private readonly CancellationTokenSource _toldToEnd = new();
    private Task _start = Task.CompletedTask;
    private Task _becomingReady = Task.CompletedTask;

    // Held by the one reload that runs, and for good by the end.
    private readonly SemaphoreSlim _reloading = new(1, 1);
    private GatewayOptions _options;
    private RunningParts? _parts;

    /// <summary>Composes a gateway; nothing is touched before <see cref="StartAsync"/>.</summary>
    public GatewayHost(GatewayOptions options, ILoggerFactory logs, TimeProvider? clock = null)
    {
        _options = options;
        _logs = logs;
        _log = logs.CreateLogger("Gateway");
        _clock = clock ?? TimeProvider.System;
        _process = new ProcessStatus(_clock);
        _exporter = new MetricsExporter(_metrics);
        _succession = new Succession(options.StateDirectory, _clock, _log);
        _draining = new RunOnce(DrainOnceAsync);
        _ending = new RunOnce(EndAsync);
    }

    /// <summary>Loads the configuration again for <see cref="ReloadAsync"/>; null: there is nothing to reload.</summary>
    public Func<ConfigurationResult>? Reloader { get; init; }

    /// <summary>Sources of the embedding program, beside those that the options name.</summary>
    public IReadOnlyList<ICatalogSource> ExtraSources { get; init; } = [];

    /// <summary>Cancelled when somebody asked over the unix socket to stop; the owner then calls <see cref="DrainAsync"/>.</summary>
    public CancellationToken StopRequested => _stopRequested.Token;

    /// <summary>Starts. Returns once sockets of our own are bound and sources are followed; readiness comes with the first catalog.</summary>
    /// <exception cref="GatewayStartException">It can't start; nothing is left bound, and it may be tried again.</exception>
    /// <exception cref="InvalidOperationException">It runs already, or was told to end.</exception>
    /// <exception cref="OperationCanceledException">Cancelled, or told to end while it started; nothing is left bound.</exception>
    public async Task StartAsync(CancellationToken cancel)
    {
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(cancel, _toldToEnd.Token);
        Task start;
        lock (_gate)
        {
            if (_parts is not null || !_start.IsCompleted || _process.State != ProcessState.Starting)
            {
                throw new InvalidOperationException("a gateway is started once, and not after it was told to end");
            }

            start = _start = StartOnceAsync(either.Token);
        }

        await start;
    }

    private async Task StartOnceAsync(CancellationToken cancel)
    {
        // 1. What needs no socket and may be refused.
        Sources.Check(_options);
        if (StateDirectory.Prepare(_options.StateDirectory, "stateDirectory") is { } diagnostic)
        {
            throw new GatewayStartException(diagnostic.ToString(), badInput: true);
        }

        cancel.ThrowIfCancellationRequested();
        RunningParts parts = new(await _succession.TakeLockAsync(cancel), _log);
        try
        {
            await new Composition(Sources, new AdminCommands(ReloadAsync, RequestStop), _process, _metrics, _exporter, _clock, _logs)
                .ComposeAsync(parts, _options, cancel);
        }
        catch (Exception e)
        {
            await parts.DisposeAsync();
            if (e is IOException or UnauthorizedAccessException)
            {
                throw _succession.Unusable(e);
            }

            throw;
        }

        _parts = parts;
        _becomingReady = BecomeReadyAsync(parts);
    }

    /// <summary>Reads the configuration again and applies it live; a bad one is refused whole and the running one stays.</summary>
    public async Task<CommandResult> ReloadAsync(CancellationToken cancel)
    {
        const string Draining = "not reloaded: the process is draining";
        if (Reloader is null || _parts is not { } parts)
        {
            return NotReloaded(
                Reloader is null ? "there is no configuration file to reload"
                : IsEnding ? Draining : "not reloaded: still starting; try again when it is ready");
        }

        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(cancel, _toldToEnd.Token);
        try
        {
            await _reloading.WaitAsync(either.Token);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            return NotReloaded(Draining);
        }

        try
        {
            if (IsEnding)
            {
                return NotReloaded(Draining);
            }

            (CommandResult result, _options) = await new Reload(Sources, _log).RunAsync(parts, _options, Reloader);
            return result;
        }
        catch (Exception e)
        {
            // A mistake of ours, or a file that changed between its check and its use: said, and never the end of the process.
            _log.LogError(e, "reload failed; what it did not reach stays as it was");
            return new CommandResult(false, $"reload failed, what it did not reach stays as it was: {e.Message}");
        }
        finally
        {
            _reloading.Release();
        }
    }

    /// <summary>
    /// Ends politely as <c>drain</c> says; <paramref name="hurry"/> ends it at once. Called again it waits for the same end, and
    /// may hurry it too. Dispose afterwards.
    /// </summary>
    public async Task DrainAsync(CancellationToken hurry)
    {
        Task draining = _draining.RunAsync();
        using CancellationTokenRegistration hurried = hurry.UnsafeRegister(static h => ((CancellationTokenSource)h!).Cancel(), _hurry);
        await draining;
    }

    private async Task DrainOnceAsync()
    {
        // 1. From here on nothing starts and no reload begins; what is starting stops, or is there when it is awaited.
        _process.Advance(ProcessState.Draining);
        Task start;
        lock (_gate)
        {
            start = _start;
        }

        await _toldToEnd.CancelAsync();
        await start.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        // 2. The drain itself, and beside it room for the next process.
        if (_parts is { } parts)
        {
            using CancellationTokenSource drained = new();
            Task room = Task.CompletedTask;
            parts.Lock.SayDraining();
            Drain drain = new(parts.Listeners, parts.Http, parts.Tcp, _metrics, _clock, _log)
            {
                PortsClosed = () => room = _succession.MakeRoomAsync(parts, _reloading, _hurry.Token, drained.Token),
            };
            await drain.RunAsync(_options.Drain, _hurry.Token);
            await drained.CancelAsync();
            await room;
        }

        _process.Advance(ProcessState.Stopped);
    }

    /// <summary>Registers a service with the embedded catalog, as a registrator would over HTTP.</summary>
    /// <param name="registration">JSON as Consul's <c>/v1/agent/service/register</c> takes it.</param>
    /// <exception cref="InvalidOperationException">There is no embedded catalog.</exception>
    /// <exception cref="ArgumentException">The catalog refuses it; the message says why.</exception>
    /// <exception cref="IOException">It could not be written, or the catalog was handed over meanwhile.</exception>
    public async Task RegisterAsync(string registration)
    {
        EmbeddedCatalogServer embedded = _parts?.Embedded ?? throw new InvalidOperationException("the embedded catalog does not run");
        if (await embedded.RegisterAsync(Encoding.UTF8.GetBytes(registration)) is { } refusal)
        {
            throw new ArgumentException(refusal, nameof(registration));
        }
    }

    /// <summary>Completes once ready and all of <paramref name="ports"/> accept connections.</summary>
    /// <exception cref="InvalidOperationException">It was told to end, so that never comes.</exception>
    public async Task ServingAsync(IReadOnlyCollection<int> ports, CancellationToken cancel = default)
    {
        while (_process.State != ProcessState.Ready || _parts is not { } parts
            || !ports.All(p => parts.Listeners.Listeners.Any(l => l.Key.Port == p)))
        {
            if (IsEnding)
            {
                throw new InvalidOperationException("the gateway was told to end");
            }

            await Task.Delay(s_poll, _clock, cancel);
        }
    }

    /// <summary>Stops at once what still runs and lets go of everything.</summary>
    public ValueTask DisposeAsync() => new(_ending.RunAsync());

    private async Task EndAsync()
    {
        // 1. A drain that is over, or one that lasts no longer than it must.
        await _hurry.CancelAsync();
        await _draining.RunAsync().ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        // 2. A reload that runs is the last one.
        await _reloading.WaitAsync();

        // 3. The rest.
        if (_parts is { } parts)
        {
            _parts = null;
            await parts.DisposeAsync();
            await _becomingReady.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        _exporter.Dispose();
        _metrics.Dispose();
        _stopRequested.Dispose();
    }

    private OptionSources Sources => new(ExtraSources, _clock, _logs, _metrics);

    private bool IsEnding => _process.State is ProcessState.Draining or ProcessState.Stopped;

    private CommandResult NotReloaded(string why)
    {
        _log.LogWarning("{Reload}", why);
        return new CommandResult(false, why);
    }

    private async Task BecomeReadyAsync(RunningParts parts)
    {
        await parts.Control.FirstApply.WaitAsync(parts.Ended);
        await parts.Prober.FirstResultsAsync(s_firstProbes, parts.Ended);
        if (_process.Advance(ProcessState.Ready))
        {
            _log.LogInformation(
                "ready after {Milliseconds:0} ms: admin on {Admin}, state in {State}",
                (_clock.GetUtcNow() - _process.StartedAt).TotalMilliseconds, _options.Admin.Listen, _options.StateDirectory);
        }
    }

    private CommandResult RequestStop()
    {
        _stopRequested.Cancel();
        return new CommandResult(true, "draining");
    }

}
