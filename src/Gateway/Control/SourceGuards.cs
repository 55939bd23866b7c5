using System.Collections.Concurrent;
using Gateway.Catalog;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Health;
using Gateway.Discovery;
using Gateway.Planning;
using Microsoft.Extensions.Logging;

namespace Gateway.Control;

/// <summary>
/// A <see cref="CatalogGuard"/> for each source, and everything that they want to know: probes of those held, and the source's
/// own confirmation. Invariant: guards are touched by the control loop alone; whatever ends elsewhere comes back through the inbox.
/// </summary>
internal sealed class SourceGuards : IAsyncDisposable
{
    // A scale-down is seen within a second of the last process's end; who still answers then is asked as rarely as anybody.
    private static readonly TimeSpan s_fast = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_slow = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_askAgain = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_probeMax = TimeSpan.FromSeconds(30);
    private const int ProbesMax = 128;

    private readonly TimeProvider _clock;
    private readonly ClusterTable _clusters;
    private readonly Probe _probe;
    private readonly Action _wake;
    private readonly ILogger _log;
    private readonly ConcurrentQueue<Action> _inbox = new();
    private readonly SemaphoreSlim _probing = new(ProbesMax);
    private readonly CancellationTokenSource _stop = new();

    // By source name. Of the loop.
    private readonly Dictionary<string, Guarded> _guards = new(StringComparer.Ordinal);
    private PlannedInstances _planned = new(Plan.Empty);

    // Written by the loop, read by whoever looks.
    private volatile IReadOnlyList<HeldView> _held = [];
    private volatile IReadOnlyDictionary<string, DateTimeOffset> _restored = new Dictionary<string, DateTimeOffset>(StringComparer.Ordinal);
    private int _underWay;

    /// <summary>Starts without sources.</summary>
    /// <param name="clock">Time.</param>
    /// <param name="clusters">Where it is looked up how an instance is probed.</param>
    /// <param name="probe">Sends a probe.</param>
    /// <param name="wake">Called when <see cref="Update"/> has something to do.</param>
    /// <param name="log">Who goes in the end, and why.</param>
    public SourceGuards(TimeProvider clock, ClusterTable clusters, Probe probe, Action wake, ILogger log) =>
        (_clock, _clusters, _probe, _wake, _log) = (clock, clusters, probe, wake, log);

    /// <summary>Removals that are held, by source and instance.</summary>
    public IReadOnlyList<HeldView> Held => _held;

    /// <summary>Sources of which the last known good serves, with the time it was last confirmed.</summary>
    public IReadOnlyDictionary<string, DateTimeOffset> Restored => _restored;

    /// <summary>Puts the last known good of a source in force, before its first report.</summary>
    public void Restore(SavedSource saved)
    {
        Guarded guarded = new(new CatalogGuard(_clock));
        guarded.Guard.Restore(saved.Catalog, saved.At, saved.Held);
        _guards[saved.Name] = guarded;
        Publish(new GuardOptions());
    }

    /// <summary>The catalog of a source that counts, or null.</summary>
    public CatalogSnapshot? EffectiveOf(string source) => _guards.GetValueOrDefault(source)?.Guard.Effective;

    /// <summary>Takes what is new and asks what there is to ask. True: an effective catalog may have changed. Never waits.</summary>
    /// <param name="reports">The sources followed, with the newest report of each; null: none yet.</param>
    /// <param name="options">When a guard holds.</param>
    /// <param name="plan">The plan in force.</param>
    public bool Update(IReadOnlyList<(ICatalogSource Source, CatalogSnapshot? Newest)> reports, GuardOptions options, Plan plan)
    {
        _planned = ReferenceEquals(_planned.Plan, plan) ? _planned : new PlannedInstances(plan);

        // 1. Answers to what was asked before.
        while (_inbox.TryDequeue(out Action? answer))
        {
            answer();
        }

        // 2. Reports.
        foreach (string gone in _guards.Keys.Except(reports.Select(r => r.Source.Name), StringComparer.Ordinal).ToList())
        {
            _guards.Remove(gone);
        }

        bool news = false;
        foreach ((ICatalogSource source, CatalogSnapshot? newest) in reports)
        {
            if (!_guards.TryGetValue(source.Name, out Guarded? guarded))
            {
                _guards[source.Name] = guarded = new Guarded(new CatalogGuard(_clock));
            }

            guarded.Source = source;
            if (newest is not null && !ReferenceEquals(newest, guarded.Taken))
            {
                guarded.Taken = newest;
                guarded.Guard.Take(newest, options, _planned.Contains);
                news = true;
            }
        }

        // 3. Who is held, and who not any more.
        if (news && _guards.Values.Any(g => g.Guard.Held.Count > 0))
        {
            LetGoOfClaimed();
        }

        bool changed = false;
        foreach (Guarded guarded in _guards.Values)
        {
            if (options.AbovePercent >= 100)
            {
                guarded.Guard.LetGoOfAll();
            }

            changed |= guarded.Guard.Compose();
            Ask(guarded, options);
        }

        Publish(options);
        return changed;
    }

    /// <summary>Lets those go that <paramref name="target"/> names: SERVICE[@ENV][/INSTANCE]. Returns them.</summary>
    public async Task<IReadOnlyList<HeldView>> AcceptAsync(string target, CancellationToken cancel)
    {
        TaskCompletionSource<IReadOnlyList<HeldView>> done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(() =>
        {
            List<HeldView> accepted = [];
            foreach ((string name, Guarded guarded) in _guards)
            {
                foreach (HeldRemoval held in guarded.Guard.Held.Where(h => IsNamed(h.Instance, target)).ToList())
                {
                    guarded.Guard.LetGo(held);
                    accepted.Add(View(name, held, TimeSpan.Zero));
                    _log.LogInformation("held removal of {Instance} of service {Service} is accepted by the operator", held.Instance.Key, held.Instance.Service);
                }
            }

            done.SetResult(accepted);
        });
        return await done.Task.WaitAsync(cancel);
    }

    /// <summary>What is held, as problems with a countdown.</summary>
    public IEnumerable<Problem> Problems()
    {
        const int Most = 100;
        IReadOnlyList<HeldView> all = _held;
        DateTimeOffset now = _clock.GetUtcNow();
        return all.Count <= Most
            ? all.Select(h => Describe(h, h.Instance.Key.ToString(), h.Instance.EndPoint, now))
            : all.GroupBy(h => (h.Source, h.Instance.Service)).Select(g => Describe(g.First(), null, $"{g.Count()} instances", now));
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        while (Volatile.Read(ref _underWay) > 0)
        {
            await Task.Yield();
        }

        _stop.Dispose();
        _probing.Dispose();
    }

    private static Problem Describe(HeldView held, string? instance, string value, DateTimeOffset now)
    {
        TimeSpan left = TimeSpan.FromSeconds(Math.Ceiling((held.Until - now).TotalSeconds));
        string until = left > TimeSpan.Zero
            ? $"in {Units.Duration(left)}, at {held.Until:HH:mm:ss} UTC, if {held.Source} confirms then that it is gone"
            : $"as soon as {held.Source} confirms that it is gone, which it is asked every {Units.Duration(s_askAgain)}";
        return new Problem
        {
            Code = ProblemCodes.RemovalHeld,
            Service = held.Instance.Service,
            Instance = instance,
            Place = $"source {held.Source}",
            Value = value,
            ValueMoves = instance is null,
            Allowed = "single removals, and instances that do not answer any more",
            Now = $"{held.Why}, and it still answers ({held.Evidence ?? "being probed"}), so it is kept; it goes when its probe fails, {until}, "
                + $"or by 'gateway accept {held.Instance.Service}{(instance is null ? "" : "/" + held.Instance.ServiceId)}'",
        };
    }

    private HeldView View(string source, HeldRemoval held, TimeSpan holdFor) =>
        new(source, held.Instance, held.Since, held.Since + holdFor, held.Why, held.Evidence);

    private void Publish(GuardOptions options)
    {
        if (_held.Count > 0 || _guards.Values.Any(g => g.Guard.Held.Count > 0))
        {
            // Those that are only being asked are nobody's problem yet: an answer takes milliseconds, or the time of its check.
            _held =
            [
                .. _guards.OrderBy(g => g.Key, StringComparer.Ordinal)
                    .SelectMany(g => g.Value.Guard.Held.Where(h => h.Reached).Select(h => View(g.Key, h, options.HoldFor)))
                    .OrderBy(h => h.Instance.Service, StringComparer.Ordinal).ThenBy(h => h.Instance.Key),
            ];
        }

        if (_restored.Count > 0 || _guards.Values.Any(g => g.Guard.RestoredFrom is not null))
        {
            _restored = _guards.Where(g => g.Value.Guard.RestoredFrom is not null)
                .ToDictionary(g => g.Key, g => g.Value.Guard.RestoredFrom!.Value, StringComparer.Ordinal);
        }
    }

    // Every way in which an operator may name it. Names may hold slashes and at signs, so nothing is taken apart from behind.
    private bool IsNamed(Instance instance, string target)
    {
        if (!target.StartsWith(instance.Service, StringComparison.Ordinal))
        {
            return false;
        }

        // Environments are compared without case, as everywhere.
        string rest = target[instance.Service.Length..];
        string[] environments = ["", .. _planned.ClustersOf(instance).Select(c => $"@{c.Environment}")];
        string[] ids = ["", $"/{instance.ServiceId}", $"/{instance.Key}", $"/{instance.EndPoint}"];
        return environments.Any(e => rest.StartsWith(e, StringComparison.OrdinalIgnoreCase)
            && ids.Contains(rest[e.Length..], StringComparer.Ordinal));
    }

    private void LetGoOfClaimed()
    {
        HashSet<string> claimed = new(StringComparer.Ordinal);
        foreach (Guarded guarded in _guards.Values)
        {
            foreach (Service service in guarded.Guard.Reported?.Services.Values ?? [])
            {
                claimed.UnionWith(service.Instances.AsEnumerable().Select(i => i.EndPoint));
            }
        }

        foreach (Guarded guarded in _guards.Values)
        {
            guarded.Guard.LetGoOfClaimed(claimed);
        }
    }

    private void Ask(Guarded guarded, GuardOptions options)
    {
        List<HeldRemoval> absent = [];
        foreach (HeldRemoval held in guarded.Guard.Held)
        {
            TimeSpan age = _clock.GetElapsedTime(held.Began);
            if (!held.Probing && (held.Probed is not { } probed || _clock.GetElapsedTime(probed) >= (age < s_slow ? s_fast : s_slow)))
            {
                held.Probing = true;
                _ = ProbeAsync(guarded, held, _planned.TargetOf(held.Instance, _clusters));
            }

            if (held.Reached && !held.Confirming && age >= options.HoldFor
                && (held.Confirmed is not { } asked || _clock.GetElapsedTime(asked) >= s_askAgain))
            {
                held.Confirming = true;
                absent.Add(held);
            }
        }

        if (absent.Count > 0)
        {
            _ = ConfirmAsync(guarded, absent);
        }
    }

    private async Task ProbeAsync(Guarded guarded, HeldRemoval held, (ProbeTarget Target, bool Answered) ask)
    {
        Interlocked.Increment(ref _underWay);
        ProbeResult result;
        try
        {
            await _probing.WaitAsync(_stop.Token);
            try
            {
                // On another thread: the loop goes on.
                await Task.Yield();
                TimeSpan limit = ask.Target.Check.Timeout < s_probeMax ? ask.Target.Check.Timeout : s_probeMax;
                using CancellationTokenSource timeout = new(limit, _clock);
                using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, _stop.Token);
                result = ask.Target.Port is < 1 or > 65535
                    ? new ProbeResult(false, "no usable port")
                    : await _probe(ask.Target, ask.Answered, either.Token);

                // Nor must a lack of ours.
                result = result.IsUnsent ? result with { Success = true } : result;
            }
            finally
            {
                _probing.Release();
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            Interlocked.Decrement(ref _underWay);
            return;
        }
        catch (Exception e)
        {
            // A mistake of ours must not remove anybody.
            _log.LogError(e, "probing {Instance} of {Service} failed within Gateway", held.Instance.Key, held.Instance.Service);
            result = new ProbeResult(true, $"Gateway's own failure: {e.Message}");
        }

        Post(() =>
        {
            _log.Log(
                held.Reached && !result.Success ? LogLevel.Information : LogLevel.Debug,
                "dropped instance {Instance} of service {Service} {Verdict}: {Evidence}",
                held.Instance.Key, held.Instance.Service, result.Success ? "is kept" : "goes", result.Evidence);
            guarded.Guard.Observe(held, result.Success, result.Evidence);
        });
        Interlocked.Decrement(ref _underWay);
    }

    private async Task ConfirmAsync(Guarded guarded, List<HeldRemoval> due)
    {
        Interlocked.Increment(ref _underWay);
        IReadOnlySet<InstanceKey> absent = new HashSet<InstanceKey>();
        try
        {
            await Task.Yield();
            absent = guarded.Source switch
            {
                IConfirmsAbsence source => await source.ConfirmAbsentAsync([.. due.Select(h => h.Instance)], _stop.Token),

                // Nobody to ask: what it reported last counts, if it has been heard of since.
                { Status.LastContact: { } contact } => due.Where(h => contact >= h.Since).Select(h => h.Instance.Key).ToHashSet(),
                { Status.HasReported: true } => due.Select(h => h.Instance.Key).ToHashSet(),
                _ => absent,
            };
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            Interlocked.Decrement(ref _underWay);
            return;
        }
        catch (Exception e)
        {
            // A source keeps the world's failures to itself: a mistake, and no confirmation.
            _log.LogError(e, "source {Source} failed to confirm removals; they stay held", guarded.Source?.Name);
        }

        Post(() =>
        {
            foreach (HeldRemoval held in due)
            {
                held.Confirming = false;
                held.Confirmed = _clock.GetTimestamp();
                if (absent.Contains(held.Instance.Key))
                {
                    _log.LogInformation(
                        "held removal of {Instance} of service {Service} goes: {Source} confirms its absence",
                        held.Instance.Key, held.Instance.Service, guarded.Source?.Name);
                    guarded.Guard.LetGo(held);
                }
            }
        });
        Interlocked.Decrement(ref _underWay);
    }

    private void Post(Action answer)
    {
        _inbox.Enqueue(answer);
        _wake();
    }

    private sealed class Guarded(CatalogGuard guard)
    {
        public CatalogGuard Guard => guard;

        public ICatalogSource? Source { get; set; }

        /// <summary>The report that the guard took last.</summary>
        public CatalogSnapshot? Taken { get; set; }
    }
}
