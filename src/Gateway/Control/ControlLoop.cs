using System.Diagnostics;
using System.Threading.Channels;
using Gateway.Catalog;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Health;
using Gateway.DataPlane.Http;
using Gateway.DataPlane.Listening;
using Gateway.Discovery;
using Gateway.Observability;
using Gateway.Planning;
using Microsoft.Extensions.Logging;

namespace Gateway.Control;

/// <summary>
/// The only writer. Catalogs and settings come in; it plans, diffs and applies, one at a time, always the newest of each source:
/// what arrives during an apply is one next apply. Invariant: what the difference does not name is not touched.
/// </summary>
internal sealed class ControlLoop : IAsyncDisposable
{
    private static readonly TimeSpan s_tick = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_retryMax = TimeSpan.FromSeconds(30);

    private readonly ClusterTable _clusters;
    private readonly ListenerSet _listeners;
    private readonly HttpLane _http;
    private readonly GatewayMetrics _metrics;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly Planner _planner = new();
    private readonly FollowedSources _sources;
    private readonly ProblemBook _problems;
    private readonly SourceGuards _guards;
    private readonly Dictionary<ListenerKey, long> _lingering = [];
    private readonly Channel<bool> _wake = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly TaskCompletionSource _firstApply = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _stop = new();
    private readonly RunOnce _ending;

    // Written under _gate by sources and reloads, taken under it by the loop.
    private readonly Lock _gate = new();
    private ControlSettings _settings;
    private bool _dirty;

    // Of the loop: the owners of ports and hosts in the last known good, until a plan is in force; and whether one was tried.
    private LastKnownGood? _restored;
    private bool _restoredTried;
    private LastKnownGoodKeeper? _keeper;

    // Of the loop: applies that failed since the last that went through, when the last of them did, and what they left behind.
    private readonly HalfApplied _half = new();
    private int _failures;
    private long _failedAt;

    private volatile ControlState _state = ControlState.Initial;
    private Task _loop = Task.CompletedTask;

    /// <summary>Composes the loop; nothing runs before <see cref="Start"/>.</summary>
    public ControlLoop(
        ControlSettings settings, ClusterTable clusters, ListenerSet listeners, HttpLane http, GatewayMetrics metrics, TimeProvider clock, ILogger log)
    {
        (_settings, _clusters, _listeners, _http, _metrics, _clock, _log) = (settings, clusters, listeners, http, metrics, clock, log);
        _problems = new ProblemBook(clock, log);
        _sources = new FollowedSources(clock, log, Changed, _stop.Token);
        _ending = new RunOnce(EndAsync);
        _guards = new SourceGuards(clock, clusters, (target, answered, cancel) => Probe(target, answered, cancel), Wake, log);
    }

    /// <summary>Called after each apply, on the loop, with the plan that is now in force.</summary>
    public Action<Plan>? Applied { get; init; }

    /// <summary>Where the last known good is kept over restarts; null: nowhere.</summary>
    public LastKnownGoodFiles? LastKnownGood { get; init; }

    /// <summary>Probes instances that a source dropped in masses.</summary>
    public Probe Probe { get; init; } = Probes.Send;

    /// <summary>Problems of others, read whenever problems are looked at.</summary>
    public Func<IReadOnlyList<Problem>>? OtherProblems { get; init; }

    /// <summary>The plan in force.</summary>
    public ControlState State => _state;

    /// <summary>Removals that are held because their instances still answer.</summary>
    public IReadOnlyList<HeldView> Held => _guards.Held;

    /// <summary>Sources that have not reported, of which the last known good serves, with the time it was last confirmed.</summary>
    public IReadOnlyDictionary<string, DateTimeOffset> Restored => _guards.Restored;

    /// <summary>Completes with the first applied catalog.</summary>
    public Task FirstApply => _firstApply.Task;

    /// <summary>Sources followed at the moment.</summary>
    public IReadOnlyList<ICatalogSource> Sources => _sources.Sources;

    /// <summary>Everything wrong at the moment, each with the time it was first seen.</summary>
    public IReadOnlyList<StandingProblem> Problems() => _problems.Observe(CurrentProblems);

    /// <summary>Problems from outside the catalog, a refused reload for example; replaced whole by key.</summary>
    /// <param name="key">What they stand for.</param>
    /// <param name="problems">All of them.</param>
    /// <param name="said">Whoever reports them says them in the log.</param>
    public void Report(string key, IReadOnlyList<Problem> problems, bool said = false) => _problems.Pin(key, problems, said);

    /// <summary>Lets held removals go now: SERVICE[@ENV][/INSTANCE]. Returns those that it named.</summary>
    public async Task<IReadOnlyList<HeldView>> AcceptAsync(string target, CancellationToken cancel)
    {
        // The loop does it; where none runs any more there is nothing held either.
        Task<IReadOnlyList<HeldView>> accepted = _guards.AcceptAsync(target, cancel);
        return await Task.WhenAny(accepted, _loop) == accepted ? await accepted : [];
    }

    /// <summary>Starts following the sources and applying, the last known good first.</summary>
    public void Start(IReadOnlyList<ICatalogSource> sources)
    {
        if (LastKnownGood is { } files)
        {
            _restored = files.Load(out IReadOnlyList<Problem> problems);
            Report("last-known-good-files", problems);
            foreach (SavedSource saved in _restored?.Sources.Where(saved => sources.Any(s => s.Name == saved.Name)) ?? [])
            {
                _guards.Restore(saved);
            }

            _keeper = new LastKnownGoodKeeper(
                new LastKnownGoodWriter(files, _clock, failures => Report("last-known-good-written", failures), _log), _guards, _clock);
        }

        lock (_gate)
        {
            // The static services of the settings are something to apply already.
            _dirty = true;
        }

        FollowSources(sources);
        _loop = Task.Run(() => RunAsync(_stop.Token));
    }

    /// <summary>New settings from a reload; they are a new plan like any other.</summary>
    public void Reconfigure(ControlSettings settings)
    {
        lock (_gate)
        {
            _settings = settings;
            _dirty = true;
        }

        _wake.Writer.TryWrite(true);
    }

    /// <summary>
    /// Follows exactly these sources. One that is the same object goes on; one of the same name as before replaces it, and its
    /// predecessor's catalog stands until it reports; the catalog of a name that is gone goes.
    /// </summary>
    public void FollowSources(IReadOnlyList<ICatalogSource> sources)
    {
        if (_sources.Follow(sources))
        {
            Changed();
        }

        Wake();
    }

    /// <summary>
    /// Writes what is left of the last known good; when this returns, nothing is ever written there again. Following and applying
    /// go on.
    /// </summary>
    public Task StopKeepingAsync() => _keeper?.DisposeAsync().AsTask() ?? Task.CompletedTask;

    /// <summary>Stops following and applying; the plan in force stays in force. However often it is called, each waits for the end.</summary>
    public ValueTask DisposeAsync() => new(_ending.RunAsync());

    private async Task EndAsync()
    {
        await _stop.CancelAsync();
        await _loop;
        await _sources.EndAsync();
        await _guards.DisposeAsync();
        await (_keeper?.DisposeAsync() ?? ValueTask.CompletedTask);
        _stop.Dispose();
    }

    private async Task RunAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            await WaitAsync(stop);
            if (stop.IsCancellationRequested)
            {
                return;
            }

            try
            {
                bool go = TakeNewest(out List<CatalogSnapshot> catalogs, out Dictionary<string, CatalogSnapshot> named, out ControlSettings settings);
                if (go)
                {
                    await PlanAndApplyAsync(catalogs, named, settings);
                }

                if (go || _failures == 0)
                {
                    _keeper?.Keep(_state, Sources);
                    _failures = 0;
                }
            }
            catch (Exception e)
            {
                // A broken invariant of ours. The plan in force goes on serving; news try again, and so does time.
                _failures++;
                _failedAt = _clock.GetTimestamp();
                _metrics.PlanApplied("failed");
                _log.LogCritical(
                    e, "a plan could not be applied; the plan in force goes on serving, the next attempt is in {Seconds} s or with the next change",
                    BackOff.TotalSeconds);

                // News may come in any number: never at full speed.
                await Task.Delay(s_tick, _clock, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            _problems.Observe(CurrentProblems);
        }
    }

    /// <summary>How long after the last failure it is tried again without news: 1, 2, 4 … 30 s.</summary>
    private TimeSpan BackOff
    {
        get
        {
            TimeSpan wait = s_tick * (1 << Math.Min(_failures - 1, 10));
            return wait < s_retryMax ? wait : s_retryMax;
        }
    }

    /// <summary>Waits for news, for the end of a grace, or for a second, whichever is first.</summary>
    private async Task WaitAsync(CancellationToken stop)
    {
        // After a failure the end of a grace is no reason any more: it is over already, and waits for the next attempt.
        TimeSpan until = s_tick;
        foreach (long since in _failures > 0 ? [] : _lingering.Values.AsEnumerable())
        {
            TimeSpan left = _settings.PortGrace - _clock.GetElapsedTime(since);
            until = left < until ? left : until;
        }

        if (until > TimeSpan.Zero)
        {
            using CancellationTokenSource timeout = new(until, _clock);
            using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(stop, timeout.Token);
            try
            {
                await _wake.Reader.WaitToReadAsync(either.Token);
            }
            catch (OperationCanceledException)
            {
                // The tick or the stop; the caller looks which.
            }
        }

        _wake.Reader.TryRead(out _);
    }

    private bool TakeNewest(out List<CatalogSnapshot> catalogs, out Dictionary<string, CatalogSnapshot> named, out ControlSettings settings)
    {
        // Whoever has news leaves it there before it says so: what is read after the flag is at least as new.
        bool dirty;
        lock (_gate)
        {
            (settings, dirty) = (_settings, _dirty);
            _dirty = false;
        }

        IReadOnlyList<(ICatalogSource Source, CatalogSnapshot? Newest)> reports = _sources.Reports;

        // The first plan is of the last known good alone: whatever came meanwhile is judged by what it changes in that.
        // Once: a plan that fails must not hold back what the sources report.
        bool first = _restored is not null && !_restoredTried && _guards.Restored.Count > 0;
        dirty |= !first && _guards.Update(reports, settings.Guard, _state.Plan);
        named = new Dictionary<string, CatalogSnapshot>(StringComparer.Ordinal);
        catalogs = [];
        foreach ((ICatalogSource source, _) in reports)
        {
            if (_guards.EffectiveOf(source.Name) is { } catalog)
            {
                named[source.Name] = catalog;
                catalogs.Add(catalog);
            }
        }

        TimeSpan grace = settings.PortGrace;

        // Static services need no catalog: they are reachable before the first one, and change by reload meanwhile. Readiness waits
        // for the catalog all the same. Once one was there, none is never taken for an empty one.
        bool staticOnly = catalogs.Count == 0 && _state.Catalogs.Count == 0
            && (settings.Planning.Static.Count > 0 || _state.Plan.Listeners.Count > 0);
        bool retry = _failures > 0 && _clock.GetElapsedTime(_failedAt) >= BackOff;
        bool over = _failures == 0 && _lingering.Values.Any(since => _clock.GetElapsedTime(since) >= grace);
        bool go = ((dirty || retry) && (catalogs.Count > 0 || staticOnly)) || over;
        if (first || (dirty && !go))
        {
            lock (_gate)
            {
                _dirty = true;
            }
        }

        if (first)
        {
            Wake();
        }

        return go;
    }

    private async Task PlanAndApplyAsync(List<CatalogSnapshot> catalogs, Dictionary<string, CatalogSnapshot> named, ControlSettings settings)
    {
        long began = Stopwatch.GetTimestamp();
        Plan old = _state.Plan;

        _restoredTried = true;
        LastKnownGood? restored = _restored;
        Plan plan = _planner.Plan(new PlanInput
        {
            Catalogs = catalogs,
            Options = settings.Planning,

            // After a restart the owners are those of the last known good; none of their ports is open, so none lingers.
            Present = restored?.Listeners ?? old.Listeners,
            PresentRoutes = restored?.Routes ?? old.Routes,
            Expired = restored is not null
                ? restored.Listeners.AsEnumerable().Select(l => l.Key).ToHashSet()
                : _lingering.Where(l => _clock.GetElapsedTime(l.Value) >= settings.PortGrace).Select(l => l.Key).ToHashSet(),
        });
        PlanDiff diff = PlanDiff.Between(old, plan);
        TimeSpan planned = Stopwatch.GetElapsedTime(began);

        if (!diff.IsEmpty || !_half.IsEmpty)
        {
            PlanDiff all = _half.Complete(diff, plan);
            _half.Add(diff);
            await ApplyAsync(plan, all);
            _half.Clear();
        }

        _restored = null;
        KeepGraces(plan);
        _state = new ControlState
        {
            Plan = plan,
            Applies = _state.Applies + (diff.IsEmpty ? 0 : 1),
            AppliedAt = diff.IsEmpty ? _state.AppliedAt ?? _clock.GetUtcNow() : _clock.GetUtcNow(),
            Options = settings.Planning,
            Catalogs = named,
        };
        Applied?.Invoke(plan);
        if (named.Count > 0)
        {
            _firstApply.TrySetResult();
        }

        if (!diff.IsEmpty)
        {
            _metrics.PlanApplied(plan.Problems.Count == 0 && _listeners.Problems.Count == 0 ? "ok" : "problems");
            _log.LogInformation(
                "plan {Apply} applied in {ApplyMs:0.0} ms (planned in {PlanMs:0.0} ms): {Listeners} listeners, {Clusters} clusters\n{Difference}",
                _state.Applies, Stopwatch.GetElapsedTime(began).TotalMilliseconds, planned.TotalMilliseconds,
                plan.Listeners.Count, plan.Clusters.Count, Shorten(PlanText.RenderDiff(diff)));
        }
    }

    /// <summary>New before old: clusters, routes, sockets; only then what was removed stops.</summary>
    private async Task ApplyAsync(Plan plan, PlanDiff diff)
    {
        // 1. Clusters, so that every route has somewhere to lead.
        _clusters.Publish(diff.ClustersAdded, diff.ClustersChanged);

        // 2. Routes, by one reference write; requests under way keep the table they began with.
        _http.PublishRoutes(plan, diff);

        // 3. Sockets: bind, then accept. One that can't be bound is a problem, and the rest goes on.
        await _listeners.OpenAsync(diff.ListenersAdded, diff.ListenersChanged);

        // 4. What is gone stops accepting; its connections finish what they do.
        await _listeners.CloseAsync(diff.ListenersRemoved);
        _clusters.Retire(diff.ClustersRemoved);
    }

    private void KeepGraces(Plan plan)
    {
        HashSet<ListenerKey> lingering = [.. plan.Listeners.Where(l => l.Lingering).Select(l => l.Key)];
        foreach (ListenerKey gone in _lingering.Keys.Where(k => !lingering.Contains(k)).ToList())
        {
            _lingering.Remove(gone);
        }

        foreach (ListenerKey key in lingering)
        {
            _lingering.TryAdd(key, _clock.GetTimestamp());
        }
    }

    private IEnumerable<Problem> CurrentProblems() =>
    [
        .. _state.Plan.Problems, .. _listeners.Problems, .. Sources.SelectMany(s => (IEnumerable<Problem>)s.Status.Problems),
        .. _guards.Problems(), .. Restored.Select(r => LastKnownGoodKeeper.Serving(r.Key, r.Value, _clock)), .. OtherProblems?.Invoke() ?? [],
    ];

    private void Changed()
    {
        lock (_gate)
        {
            _dirty = true;
        }

        Wake();
    }

    private void Wake() => _wake.Writer.TryWrite(true);

    private static string Shorten(string text)
    {
        const int Most = 16 * 1024;
        return text.Length <= Most ? text : $"{text.AsSpan(0, Most)}… ({text.Length} characters)";
    }
}
