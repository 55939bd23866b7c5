using Gateway.Planning;

namespace Gateway.DataPlane.Health;

/// <summary>
/// What probes and traffic found out about one destination. Results come in from the prober, failed connects from requests; out
/// go two facts that every pick reads: up, and suspect. Held by identity, so no change of plan resets it.
/// </summary>
/// <param name="clock">The system's by default.</param>
internal sealed class DestinationHealth(TimeProvider? clock = null)
{
    private const int HistoryMax = 10;

    private readonly TimeProvider _clock = clock ?? TimeProvider.System;
    private readonly Lock _gate = new();

    // Written under _gate, read by every pick.
    private volatile bool _up = true;
    private volatile bool _suspect;

    // Written by the prober, read by requests: with an active check only a good probe ends suspicion.
    private volatile bool _probed;

    private long _connectFailures;

    // All below under _gate.
    private Queue<HealthTransition> _history = new(0);
    private DateTimeOffset _since = (clock ?? TimeProvider.System).GetUtcNow();
    private DateTimeOffset? _lastAt;
    private string? _last;
    private string? _suspicion;
    private long _suspicions;
    private int _against;
    private bool _answered;
    private bool _unproven = true;

    /// <summary>
    /// Called after <see cref="IsUp"/> or <see cref="IsSuspect"/> changed, on the thread that found out. Set by its cluster.
    /// </summary>
    public Action? Changed { get; set; }

    /// <summary>Whether the active check lets it have new work; true before the first result.</summary>
    public bool IsUp => _up;

    /// <summary>It refused a connect since its last good probe: on fast probe, and last in order.</summary>
    public bool IsSuspect => _suspect;

    /// <summary>Connects that traffic saw refused, reset or timed out.</summary>
    public long ConnectFailures => Volatile.Read(ref _connectFailures);

    /// <summary>The prober's own state; null where nobody probes.</summary>
    internal ProbeSchedule? Schedule { get; set; }

    /// <summary>
    /// Between the first result that contradicts the verdict and the one that changes it, and while suspect: probe fast. Once it
    /// is firmly down it is no longer in question, and a thousand gateways do not hammer a dead host.
    /// </summary>
    internal bool InQuestion
    {
        get
        {
            lock (_gate)
            {
                return _against > 0 || (_suspect && _up);
            }
        }
    }

    /// <summary>Whether it has ever answered 2xx or 3xx to its present check.</summary>
    internal bool HasAnswered
    {
        get
        {
            lock (_gate)
            {
                return _answered;
            }
        }
    }

    /// <summary>Grows with every failed connect. A probe that began before the last one proves nothing against it.</summary>
    internal long Suspicions
    {
        get
        {
            lock (_gate)
            {
                return _suspicions;
            }
        }
    }

    /// <summary>A connect was refused, reset or timed out: probe now, and keep it last in order until a probe succeeds.</summary>
    /// <param name="evidence">What was seen, for people, like <c>connect refused</c>.</param>
    public void ConnectFailed(string evidence)
    {
        Interlocked.Increment(ref _connectFailures);
        bool first;
        lock (_gate)
        {
            _suspicions++;
            _suspicion = evidence;
            first = !_suspect;
            _suspect = true;
        }

        if (first)
        {
            Changed?.Invoke();
            if (Schedule is ProbeSchedule schedule)
            {
                schedule.Prober.ProbeNow(this);
            }
        }
    }

    /// <summary>
    /// A connect succeeded. Ends suspicion where no active check would; costs one read otherwise, so call it for every connect.
    /// </summary>
    public void ConnectSucceeded()
    {
        if (_suspect && !_probed)
        {
            EndSuspicion();
        }
    }

    /// <summary>What an operator sees of it.</summary>
    public HealthView View()
    {
        lock (_gate)
        {
            return new HealthView
            {
                Up = _up,
                Since = _since,
                Suspicion = _suspicion,
                LastCheck = _last,
                LastCheckAt = _lastAt,
                ConnectFailures = ConnectFailures,
                History = [.. _history],
            };
        }
    }

    /// <summary>Takes a probe's result; true when the verdict changed.</summary>
    /// <param name="result">How it ended.</param>
    /// <param name="check">The check it belongs to.</param>
    /// <param name="suspicionsBefore"><see cref="Suspicions"/> when the probe began.</param>
    internal bool Observe(ProbeResult result, CheckPlan check, long suspicionsBefore)
    {
        bool turned = false;
        bool trusted = false;
        lock (_gate)
        {
            _last = result.Evidence;
            _lastAt = _clock.GetUtcNow();
            _answered |= result.Answered;

            // Without a check probes are sent only to end suspicion; up and down are the catalog's business then.
            if (check.Kind != CheckKind.None)
            {
                _against = result.Success == _up ? 0 : _against + 1;

                // The first result decides alone, as in HAProxy: until then "up" was only an assumption.
                int needed = _unproven ? 1 : result.Success ? check.Rise : check.Fall;
                _unproven = false;
                if (_against > 0 && _against >= needed)
                {
                    Turn(result.Success, result.Evidence);
                    turned = true;
                }
            }

            if (result.Success && _suspect && _suspicions == suspicionsBefore)
            {
                (_suspect, _suspicion) = (false, null);
                trusted = true;
            }
        }

        if (turned || trusted)
        {
            Changed?.Invoke();
        }

        return turned;
    }

    /// <summary>A probe could not be sent: shown, and nothing else.</summary>
    internal void NotProbed(string evidence)
    {
        lock (_gate)
        {
            (_last, _lastAt) = (evidence, _clock.GetUtcNow());
        }
    }

    /// <summary>
    /// The check is another one: the verdict stays until its first result, which decides alone. Without a check any more the
    /// catalog's verdict stands, so it is up.
    /// </summary>
    internal void CheckChanged(CheckKind kind)
    {
        bool turned;
        lock (_gate)
        {
            _probed = kind != CheckKind.None;
            _answered = false;
            _against = 0;
            _unproven = true;
            turned = kind == CheckKind.None && !_up;
            if (turned)
            {
                Turn(true, "no check");
            }
        }

        if (turned)
        {
            Changed?.Invoke();
        }
    }

    /// <summary>
    /// Starts from what is known of the same instance in another cluster, so that a plan which moves it there forgets nothing.
    /// </summary>
    internal void StartFrom(DestinationHealth other)
    {
        bool up, answered, unproven;
        int against;
        string? last, suspicion;
        DateTimeOffset since;
        DateTimeOffset? lastAt;
        Queue<HealthTransition> history;
        lock (other._gate)
        {
            (up, since, answered, unproven, against) = (other._up, other._since, other._answered, other._unproven, other._against);
            (last, lastAt, suspicion, history) = (other._last, other._lastAt, other._suspicion, new(other._history));
        }

        lock (_gate)
        {
            (_up, _since, _answered, _unproven, _against) = (up, since, answered, unproven, against);
            (_last, _lastAt, _history) = (last, lastAt, history);
            (_suspect, _suspicion) = (suspicion is not null, suspicion);
        }

        Changed?.Invoke();
    }

    private void EndSuspicion()
    {
        lock (_gate)
        {
            if (!_suspect)
            {
                return;
            }

            (_suspect, _suspicion) = (false, null);
        }

        Changed?.Invoke();
    }

    private void Turn(bool up, string evidence)
    {
        _up = up;
        _against = 0;
        _since = _clock.GetUtcNow();
        if (_history.Count == HistoryMax)
        {
            _history.Dequeue();
        }

        _history.Enqueue(new HealthTransition(_since, up, evidence));
    }
}
