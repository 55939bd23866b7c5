using System.Net;
using System.Net.Sockets;
using System.Reflection;
using System.Text;
using Gateway.Admin;
using Gateway.Catalog;
using Gateway.Configuration;
using Gateway.Control;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Health;
using Gateway.DataPlane.Http;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Tcp;
using Gateway.Discovery;
using Gateway.Discovery.Consul;
using Gateway.Discovery.EmbeddedCatalog;
using Gateway.Discovery.FileCatalogs;
using Gateway.Lifecycle;
using Gateway.Observability;
using Microsoft.Extensions.Logging;

namespace Gateway;

/// <summary>
/// One running gateway: composes the rooms and gives them their sockets, and nothing else. The order of
/// <see cref="StartAsync"/> matters: what can be refused is refused before anything is bound.
/// </summary>
public sealed class GatewayHost : IAsyncDisposable
{
    private const string CatalogSocket = "embedded catalog";

    private static readonly TimeSpan s_firstProbes = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan s_adminRetry = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_whoIsThere = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan s_poll = TimeSpan.FromMilliseconds(20);

    // For answers under way in the embedded catalog; whoever is cut was not acknowledged, and asks the next process.
    private static readonly TimeSpan s_lastAnswers = TimeSpan.FromSeconds(2);

    private readonly ILoggerFactory _logs;
    private readonly ILogger _log;
    private readonly TimeProvider _clock;
    private readonly CancellationTokenSource _stopRequested = new();
    private readonly SemaphoreSlim _reloading = new(1, 1);

    // Start, drain and end run once each, whoever asks how often. Never disposed, for somebody may always ask once more.
    private readonly Lock _gate = new();
    private readonly Lazy<Task> _draining;
    private readonly Lazy<Task> _ending;
    private readonly CancellationTokenSource _hurry = new();
    private readonly CancellationTokenSource _toldToEnd = new();
    private Task _start = Task.CompletedTask;
    private readonly ProcessStatus _process;
    private readonly GatewayMetrics _metrics = new();
    private readonly MetricsExporter _exporter;
    private GatewayOptions _options;
    private Parts? _parts;
    private Task _becomingReady = Task.CompletedTask;

    /// <summary>Composes a gateway; nothing is touched before <see cref="StartAsync"/>.</summary>
    public GatewayHost(GatewayOptions options, ILoggerFactory logs, TimeProvider? clock = null)
    {
        _options = options;
        _logs = logs;
        _log = logs.CreateLogger("Gateway");
        _clock = clock ?? TimeProvider.System;
        _process = new ProcessStatus(_clock);
        _exporter = new MetricsExporter();
        _draining = new Lazy<Task>(DrainOnceAsync);
        _ending = new Lazy<Task>(EndAsync);
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
        CheckSources();
        if (StateDirectory.Prepare(_options.StateDirectory, "stateDirectory") is { } diagnostic)
        {
            throw new GatewayStartException(diagnostic.ToString(), badInput: true);
        }

        cancel.ThrowIfCancellationRequested();
        Parts parts = new(await TakeLockAsync(cancel), _log);
        try
        {
            await ComposeAsync(parts, cancel);
        }
        catch (Exception e)
        {
            await parts.DisposeAsync();
            if (e is IOException or UnauthorizedAccessException)
            {
                throw Unusable(e);
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

            parts.AccessLog.Reopen(AccessLogs.Opener(_options.Log));
            ConfigurationResult loaded = Reloader();
            string findings = string.Join('\n', loaded.Diagnostics);
            if (loaded.Options is null)
            {
                parts.Control.Report("reload", [.. loaded.Diagnostics.Select(Refused)]);
                _log.LogError("reload refused, the running configuration stays:\n{Findings}", findings);
                return new CommandResult(false, "refused, the running configuration stays:\n" + findings);
            }

            ConfigurationDiff diff = ConfigurationDiff.Between(_options, loaded.Options);
            parts.Control.Report("reload", [.. diff.Kept.Select(NeedsUpgrade)]);
            await ApplyAsync(parts, _options, diff.Options);
            _options = diff.Options;
            string[] lines = [.. loaded.Diagnostics.Select(d => d.ToString()), .. diff.Lines()];
            string text = lines.Length == 0 ? "reloaded, nothing changed" : "reloaded:\n" + string.Join('\n', lines);
            _log.LogInformation("{Reload}", text);
            return new CommandResult(true, text);
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
        Task draining = _draining.Value;
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
                PortsClosed = () => room = MakeRoomAsync(parts, drained.Token),
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
    public ValueTask DisposeAsync() => new(_ending.Value);

    private async Task EndAsync()
    {
        // 1. A drain that is over, or one that lasts no longer than it must.
        await _hurry.CancelAsync();
        await _draining.Value.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

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

    private bool IsEnding => _process.State is ProcessState.Draining or ProcessState.Stopped;

    /// <summary>
    /// The ports are closed, and what is in flight may take a minute: the next process may have everything else by now. What is
    /// written in the state directory comes to its end first; then whoever takes the lock gets the admin address and its socket.
    /// Until then this one answers there, for those who watch it end.
    /// </summary>
    private async Task MakeRoomAsync(Parts parts, CancellationToken drained)
    {
        try
        {
            // 1. A reload that runs is the last one.
            await _reloading.WaitAsync(CancellationToken.None);
            _reloading.Release();

            // 2. The writers of the state directory.
            await HandOverCatalogAsync(parts);
            await parts.Control.StopKeepingAsync();

            // 3. The directory.
            parts.Lock.Dispose();
            while (!parts.Lock.IsSucceeded)
            {
                if (drained.IsCancellationRequested)
                {
                    return;
                }

                await Task.Delay(s_poll, _clock, drained).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            // 4. Our own sockets.
            _log.LogInformation("process {Pid} goes on here; what is in flight ends in this one", InstanceLock.Holder(_options.StateDirectory));
            if (parts.AdminSocket is { } socket)
            {
                socket.IsSucceeded = true;
                await socket.DisposeAsync();
                parts.AdminSocket = null;
            }

            await parts.StopOpeningAdminAsync();
            await parts.Listeners.CloseOwnAsync("admin");
            await parts.Control.DisposeAsync();
        }
        catch (Exception e)
        {
            // A mistake of ours: the drain goes on, and whatever was not let go of goes with the process.
            _log.LogCritical(e, "could not make room; the next process waits until this one has ended");
        }
    }

    /// <summary>
    /// Ends the embedded catalog, in the order that loses nothing: no new connections, answers to those that wait (what is
    /// acknowledged is on the disk before), and only then the journal's lock. What is cut was not acknowledged: a registrator
    /// repeats it, and finds the next process.
    /// </summary>
    private async Task HandOverCatalogAsync(Parts parts)
    {
        if (parts.Embedded is not { } embedded)
        {
            return;
        }

        // 1. Those in this process who follow it: the plan and the limit in force stay in force.
        parts.Embedded = null;
        await parts.Limit.DisposeAsync();
        await parts.Control.DisposeAsync();

        // 2. Those outside.
        await parts.Listeners.CloseOwnAsync(CatalogSocket);
        using CancellationTokenSource patience = new(s_lastAnswers, _clock);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, _hurry.Token);
        await embedded.StopAsync(either.Token);

        // 3. The journal.
        await embedded.DisposeAsync();
    }

    private async Task ComposeAsync(Parts parts, CancellationToken cancel)
    {
        ILogger LogOf(string room) => _logs.CreateLogger("Gateway." + room);
        ProcessMetrics.Register(_metrics);
        parts.AccessLog = AccessLogs.Open(_options.Log, _metrics, _clock);

        // 2. The data plane, bottom up.
        parts.Prober = new HealthProber(_clock, LogOf("Health"), _metrics);
        parts.Clusters = new ClusterTable(parts.Prober, _clock);
        parts.Http = new HttpLane(parts.Clusters, _clock, _logs, _metrics, parts.AccessLog, CdnLoopId());
        parts.Tcp = new TcpLane(parts.Clusters, _clock, LogOf("Tcp"), _metrics, parts.AccessLog);
        parts.Listeners = new ListenerSet(
            _options.Listening, _clock, LogOf("Listening"), parts.Http.Accept, parts.Tcp.Accept,
            _options.MaxConnections);
        parts.Http.Configure(_options.Edge, _options.TrustedProxies);
        parts.Limit = new LiveLimit(_clock, LogOf("Limits"), _metrics, () => ApplyLimit(parts));
        await parts.Http.StartAsync(cancel);

        // 3. Our own sockets: the embedded catalog first, because a source hangs on it.
        if (_options.Embedded is { } embedded)
        {
            await StartEmbeddedAsync(parts, embedded, cancel);
        }

        parts.Control = new ControlLoop(
            SettingsOf(_options), parts.Clusters, parts.Listeners, parts.Http, _metrics, _clock, LogOf("Control"))
        {
            Applied = _ => ApplyLimit(parts),
            LastKnownGood = new LastKnownGoodFiles(Path.Combine(_options.StateDirectory, "catalog-lkg")),
            OtherProblems = () =>
            [
                .. AccessLogs.Problems(parts.AccessLog, _options.Log), .. parts.Embedded?.Problems ?? [],
                .. parts.Http.Certificates.Problems(), .. parts.Limit.Problems,
            ],
        };
        await StartAdminAsync(parts, cancel);
        GatewayGauges.Register(_metrics, parts.Control, parts.Clusters, parts.Listeners, parts.Http, parts.Tcp, _clock);
        _metrics.AnnounceZeros();

        // 4. Only now facts may come in.
        await parts.Limit.FollowAsync(_options);
        ApplyLimit(parts);
        parts.Control.Start([.. SourcesOf(_options, _ => null), .. ExtraSources]);
    }

    private async Task StartEmbeddedAsync(Parts parts, EmbeddedCatalogOptions options, CancellationToken cancel)
    {
        ILogger log = _logs.CreateLogger("Gateway.EmbeddedCatalog");
        ConnectionFeed feed = new("embedded", log);
        OwnSocket opened = await parts.Listeners.OpenOwnAsync(CatalogSocket, options.Listen, feed.Accept);
        if (opened.Problem is { } problem)
        {
            // The usual mistake: a Consul agent already answers there, and nobody told Gateway to use it.
            using ConsulClient client = new(new ConsulOptions { Address = new Uri($"http://{options.Listen}") }, _clock);
            using CancellationTokenSource silence = new(s_whoIsThere, _clock);
            using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(cancel, silence.Token);
            ConsulSelf? self = null;
            try
            {
                self = (await client.ReadSelfAsync(either.Token)).Value;
            }
            catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
            {
                // Whoever has the port does not speak HTTP.
            }

            throw self is { IsGateway: false }
                ? new GatewayStartException(
                    $"catalog.embedded.listen '{options.Listen}': a Consul agent answers there; name it in the configuration as "
                    + $"catalog.consul.address: http://{options.Listen}, or give the embedded catalog another address", badInput: true)
                : new GatewayStartException($"catalog.embedded.listen: {problem}", badInput: false);
        }

        parts.Embedded = new EmbeddedCatalogServer(_options.StateDirectory, _clock, _logs);
        await parts.Embedded.StartAsync(feed, feed.EndPoint, cancel);
    }

    private async Task StartAdminAsync(Parts parts, CancellationToken cancel)
    {
        ILogger log = _logs.CreateLogger("Gateway.Admin");
        string engine = _options.Engine == "kestrel" ? "kestrel" : "kestrel (the loops are not built yet)";
        AdminApi api = new(
            new ProcessFacts(Version, engine, _options.StateDirectory), _process, parts.Control, parts.Listeners, parts.Clusters, parts.Http,
            parts.Tcp, _exporter, _clock, new AdminCommands(ReloadAsync, RequestStop))
        {
            LimitFrom = () => parts.Limit.InForce(parts.Control.State.Plan.Listeners.Count).From,
        };
        ConnectionFeed feed = new("admin", log);
        parts.Admin = new AdminServer(api, _options.Admin, feed, _logs);
        await parts.Admin.StartAsync(cancel);
        string socket = Path.Combine(_options.StateDirectory, "run", "gateway.sock");
        try
        {
            parts.AdminSocket = UnixListener.Open(socket, accepted => feed.Accept(null, accepted), _clock);
        }
        catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException)
        {
            throw new GatewayStartException(
                $"admin socket '{socket}' can't be bound: {e.Message}; remove what is in its place, or name another state directory", badInput: true);
        }

        // Taken or not permitted: a problem that is shown and retried, because traffic matters more than the page about it.
        parts.OpeningAdmin = KeepAdminOpenAsync(parts, feed);
    }

    private async Task KeepAdminOpenAsync(Parts parts, ConnectionFeed feed)
    {
        CancellationToken ended = parts.AdminNotWanted;
        while (!ended.IsCancellationRequested && _process.State is (ProcessState.Starting or ProcessState.Ready))
        {
            OwnSocket opened = await parts.Listeners.OpenOwnAsync("admin", _options.Admin.Listen, feed.Accept);
            parts.Control.Report("admin", opened.Problem is { } problem ? [problem with { Place = $"admin.listen {problem.Place}" }] : []);
            if (opened.Problem is null)
            {
                return;
            }

            await Task.Delay(s_adminRetry, _clock, ended).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private static Problem NeedsUpgrade(ChangedValue change) => new()
    {
        Code = "needs-upgrade",
        Place = change.Key,
        Value = change.New,
        Now = $"{change.Old} stays in force until the process is replaced",
    };

    private static Problem Refused(Diagnostic finding) => new()
    {
        Code = "reload-refused",
        Place = finding.Place,
        Value = finding.Message,
        Now = "the running configuration stays; mend the file and reload again",
    };

    /// <summary>The sources that the options name; one that <paramref name="running"/> knows goes on, the others are made.</summary>
    private IEnumerable<ICatalogSource> SourcesOf(GatewayOptions options, Func<string, ICatalogSource?> running)
    {
        if (options.Consul is { } consul)
        {
            yield return running("consul")
                ?? new ConsulSource("consul", consul, MayBeRouted(options), _clock, _logs.CreateLogger("Gateway.Consul"), _metrics);
        }

        if (options.Embedded is { } embedded)
        {
            ConsulOptions own = new() { Address = new Uri($"http://{embedded.Listen}"), Stale = false };
            yield return running("embedded")
                ?? new ConsulSource("embedded", own, MayBeRouted(options), _clock, _logs.CreateLogger("Gateway.Consul"), _metrics);
        }

        if (options.Files is { } files)
        {
            yield return running("files") ?? new FileCatalogSource("files", files, _clock, _logs.CreateLogger("Gateway.Files"));
        }
    }

    private static Func<string, IReadOnlyCollection<string>, bool> MayBeRouted(GatewayOptions options)
    {
        HashSet<string> named = [.. options.Planning.EdgeHosts.AsEnumerable().Select(h => h.Service)];
        return (name, tags) => named.Contains(name) || RoutedServices.MayBeRouted(name, tags);
    }

    private async Task ApplyAsync(Parts parts, GatewayOptions old, GatewayOptions @new)
    {
        if (old.Log != @new.Log)
        {
            parts.AccessLog.Reopen(AccessLogs.Opener(@new.Log));
        }

        // Certificates are read again in any case, and before a listener that needs them opens.
        parts.Http.Configure(@new.Edge, @new.TrustedProxies);
        parts.Control.Reconfigure(SettingsOf(@new));
        parts.Admin.Reconfigure(@new.Admin);
        await parts.Limit.FollowAsync(@new);
        ApplyLimit(parts);

        // Even if they seem to stand: a reload that failed half-way may have changed them.
        await parts.Listeners.ReconfigureAsync(@new.Listening);

        // A source whose options stand goes on untouched; only what changed is started anew, its last catalog standing meanwhile.
        Dictionary<string, ICatalogSource> running = parts.Control.Sources.ToDictionary(s => s.Name, StringComparer.Ordinal);
        bool sameNames = old.Planning.EdgeHosts.AsEnumerable().Select(h => h.Service).ToHashSet()
            .SetEquals(@new.Planning.EdgeHosts.AsEnumerable().Select(h => h.Service));
        bool Same(string name) => name switch
        {
            "consul" => old.Consul == @new.Consul && sameNames,
            "embedded" => sameNames,
            "files" => old.Files == @new.Files,
            _ => true,
        };
        parts.Control.FollowSources([.. SourcesOf(@new, name => Same(name) ? running.GetValueOrDefault(name) : null), .. ExtraSources]);
    }

    private async Task<InstanceLock> TakeLockAsync(CancellationToken cancel)
    {
        try
        {
            int? holder;
            InstanceLock? taken;
            bool told = false;
            while ((taken = InstanceLock.TryTake(_options.StateDirectory, out holder)) is null
                && InstanceLock.IsHolderDraining(_options.StateDirectory))
            {
                // It is ending: its ports close any moment, and then this one must be there at once.
                if (!told)
                {
                    told = true;
                    _log.LogInformation("waiting for process {Pid}, which is draining, to close its ports", holder);
                }

                await Task.Delay(s_poll, _clock, cancel);
            }

            return taken
                ?? throw new GatewayStartException(
                    $"state directory '{_options.StateDirectory}': another gateway runs there, pid {holder?.ToString() ?? "unknown"}; "
                    + "stop it first, or give this one a state directory and ports of its own", badInput: false);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Unusable(e);
        }
    }

    private GatewayStartException Unusable(Exception e) => new(
        $"state directory '{_options.StateDirectory}' can't be used by user {Environment.UserName}: {e.Message} "
        + $"Give everything in it to that user (chown -R {Environment.UserName} {_options.StateDirectory}), or name another one", badInput: true);

    // Options made by a program have not been through the configuration's checks.
    private void CheckSources()
    {
        List<string> names = [.. ExtraSources.Select(s => s.Name)];
        names.AddRange(new[]
        {
            _options.Consul is null ? null : "consul", _options.Embedded is null ? null : "embedded", _options.Files is null ? null : "files",
        }.OfType<string>());
        if (names.Count == 0)
        {
            throw new GatewayStartException(
                "no source of services: name Consul, Embedded or Files in the options, or register an ICatalogSource", badInput: true);
        }

        if (names.GroupBy(n => n, StringComparer.Ordinal).FirstOrDefault(g => g.Count() > 1) is { } twice)
        {
            throw new GatewayStartException($"two sources are called '{twice.Key}'; give each ICatalogSource a name of its own", badInput: true);
        }
    }

    private CommandResult NotReloaded(string why)
    {
        _log.LogWarning("{Reload}", why);
        return new CommandResult(false, why);
    }

    private async Task BecomeReadyAsync(Parts parts)
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

    private static ControlSettings SettingsOf(GatewayOptions options) => new(
        options.Planning with
        {
            Reserved = OwnPorts.Of(options),
            OwnAddresses = OwnAddresses.Of(options.Listening),
            Edge = options.Edge is { Listeners.Count: > 0 },
            EdgeListeners = options.Edge?.Listeners ?? [],
        },
        options.PortGrace)
    {
        Guard = options.Guard,
    };

    // From the loop, from a reload and from the key's watch: whoever is last must have seen the newest.
    private static void ApplyLimit(Parts parts)
    {
        lock (parts.Limit)
        {
            parts.Listeners.Gate.Limit = parts.Limit.InForce(parts.Control.State.Plan.Listeners.Count).Value;
        }
    }

    /// <summary>Our id in CDN-Loop (RFC 8586): a name for this host, so that a request that comes round is recognized.</summary>
    private static string CdnLoopId() => $"gateway-{Environment.MachineName.ToLowerInvariant()}";

    private static string Version =>
        typeof(GatewayHost).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0";

    /// <summary>Everything that runs, in the order in which it was made; it ends in the opposite order.</summary>
    private sealed class Parts(InstanceLock held, ILogger log) : IAsyncDisposable
    {
        private readonly CancellationTokenSource _ended = new();
        private readonly CancellationTokenSource _adminNotWanted = new();

        /// <summary>The state directory is ours while it is held.</summary>
        public InstanceLock Lock { get; } = held;

        /// <summary>Cancelled when it all ends.</summary>
        public CancellationToken Ended => _ended.Token;

        /// <summary>Cancelled when the admin address shall not be opened any more.</summary>
        public CancellationToken AdminNotWanted => _adminNotWanted.Token;

        /// <summary>Tries to open the admin address.</summary>
        public Task OpeningAdmin { get; set; } = Task.CompletedTask;

        public AccessLog AccessLog { get; set; } = null!;

        public HealthProber Prober { get; set; } = null!;

        public ClusterTable Clusters { get; set; } = null!;

        public HttpLane Http { get; set; } = null!;

        public TcpLane Tcp { get; set; } = null!;

        public ListenerSet Listeners { get; set; } = null!;

        public LiveLimit Limit { get; set; } = null!;

        public EmbeddedCatalogServer? Embedded { get; set; }

        public ControlLoop Control { get; set; } = null!;

        public AdminServer Admin { get; set; } = null!;

        public UnixListener? AdminSocket { get; set; }

        /// <summary>When it returns, the admin address is open or not, and that stays so.</summary>
        public async Task StopOpeningAdminAsync()
        {
            await _adminNotWanted.CancelAsync();
            await OpeningAdmin.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        public async ValueTask DisposeAsync()
        {
            await _ended.CancelAsync();
            await StopOpeningAdminAsync();

            // Once let go of, the directory may be another's; with the lock in hand nobody takes it between this look and the end.
            if (AdminSocket is not null)
            {
                AdminSocket.IsSucceeded = !Lock.TakeBack();
            }

            IAsyncDisposable?[] ending = [AdminSocket, Limit, Control, Listeners, Http, Tcp, Admin, Embedded, Prober, AccessLog];
            foreach (IAsyncDisposable? part in ending)
            {
                try
                {
                    await (part?.DisposeAsync() ?? ValueTask.CompletedTask);
                }
                catch (Exception e)
                {
                    // A mistake of ours; the others still end.
                    log.LogError(e, "{Part} did not end cleanly", part!.GetType().Name);
                }
            }

            Lock.Dispose();
        }
    }
}
