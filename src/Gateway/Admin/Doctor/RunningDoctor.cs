using System.Globalization;
using Gateway.Catalog;
using Gateway.Control;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Http;
using Gateway.DataPlane.Listening;
using Gateway.Discovery;
using Gateway.Discovery.Consul;
using Gateway.Lifecycle;
using Microsoft.Extensions.Logging;

namespace Gateway.Admin.Doctor;

/// <summary>
/// Looks at the running gateway for an engineer at three in the morning: what is wrong, since when, whose fault, what next. In: the
/// live parts, this machine, and a question to each Consul. Out: one view. It changes nothing and holds nothing but times.
/// </summary>
internal sealed class RunningDoctor : IDisposable
{
    private static readonly TimeSpan s_look = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);
    private const int ServicesAsked = 20;

    private readonly ProcessFacts _facts;
    private readonly ProcessStatus _process;
    private readonly ControlLoop _control;
    private readonly ListenerSet _listeners;
    private readonly ClusterTable _clusters;
    private readonly HttpLane _http;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly HostReader _host;
    private readonly ServiceOutages _outages;
    private readonly ITimer _timer;

    // Of findings that are no problems of their own: when each was first seen. Under itself.
    private readonly Dictionary<(string Code, string? Service, string Place), DateTimeOffset> _since = [];

    /// <summary>Starts watching for what nobody else dates.</summary>
    public RunningDoctor(
        ProcessFacts facts, ProcessStatus process, ControlLoop control, ListenerSet listeners, ClusterTable clusters, HttpLane http,
        TimeProvider clock, ILogger log, HostReader? host = null)
    {
        (_facts, _process, _control, _listeners, _clusters, _http, _clock, _log) = (facts, process, control, listeners, clusters, http, clock, log);
        _host = host ?? new HostReader();
        _outages = new ServiceOutages(clusters);
        _timer = clock.CreateTimer(_ => Watch(), null, s_look, s_look);
    }

    /// <summary>The limit of connections.</summary>
    public Func<LimitFacts>? Limits { get; init; }

    /// <summary>Ports of Gateway's own, beside those of the plan.</summary>
    public Func<IReadOnlyList<WantedPort>>? OwnPorts { get; init; }

    /// <summary>Looks at everything, two seconds and a bit at most.</summary>
    public async Task<DoctorView> LookAsync(CancellationToken cancel)
    {
        Diagnosis diagnosis = new();
        DateTimeOffset now = _clock.GetUtcNow();

        // 1. What is known to be wrong.
        IReadOnlyList<StandingProblem> standing = _control.Problems();
        foreach (StandingProblem problem in standing)
        {
            diagnosis.Found(problem.Problem, problem.Since, TrafficChecks.SeverityOf(problem.Problem, _http.Certificates.Table.All, now));
        }

        // 2. The process, and the facts that it goes by.
        Process(diagnosis, now);
        IReadOnlyList<(ClusterState Cluster, DateTimeOffset Since)> outages = _outages.Look(now);
        IReadOnlyList<SourceSight> sources = await Task.WhenAll(_control.Sources.Select(s => SightAsync(s, cancel)));
        foreach (SourceSight source in sources)
        {
            ConsulChecks.Judge(diagnosis, source, now);
        }

        diagnosis.Saw("last known good", _control.Restored.Count == 0 ? "not in use" : "in use: " + string.Join(
            ", ", _control.Restored.OrderBy(r => r.Key, StringComparer.Ordinal).Select(r => $"of {r.Key} from {r.Value:yyyy-MM-dd HH:mm:ss} UTC")));
        diagnosis.Saw("held removals", _control.Held.Count == 0 ? "none" : string.Create(
            CultureInfo.InvariantCulture, $"{_control.Held.Count}, the first is asked about again in {Math.Max(0, (_control.Held.Min(h => h.Until) - now).TotalSeconds):0} s"));

        // 3. Services, and what carries them.
        ServiceChecks.Judge(diagnosis, _control.State, _clusters.Clusters, outages, await WhyOutAsync(outages, sources, cancel), standing);
        TrafficChecks.Listeners(diagnosis, _listeners.Listeners);
        TrafficChecks.Certificates(diagnosis, _http.Certificates.Table.All);
        Machine(diagnosis);
        Date(diagnosis, now);
        return diagnosis.View(now, reached: true);
    }

    /// <inheritdoc/>
    public void Dispose() => _timer.Dispose();

    private void Watch()
    {
        try
        {
            DateTimeOffset now = _clock.GetUtcNow();
            _outages.Look(now);
            Diagnosis diagnosis = new();
            if (Limits is { } limits)
            {
                TrafficChecks.Limits(diagnosis, limits());
            }

            Date(diagnosis, now, forget: false);
        }
        catch (Exception e)
        {
            // A mistake of ours; on a timer it would end the process.
            _log.LogCritical(e, "the doctor could not look; traffic does not care");
        }
    }

    private void Process(Diagnosis diagnosis, DateTimeOffset now)
    {
        string state = _process.State.ToString().ToLowerInvariant();
        diagnosis.Saw("gateway", string.Create(
            CultureInfo.InvariantCulture,
            $"{state}, pid {Environment.ProcessId}, version {_facts.Version}, engine {_facts.Engine}, up {Text(now - _process.StartedAt)}"));
        if (_process.State != ProcessState.Ready)
        {
            string[] silent = [.. _control.Sources.Where(s => !s.Status.HasReported).Select(s => s.Name)];
            bool starting = _process.State == ProcessState.Starting;
            diagnosis.Found(
                ProblemCodes.GatewayNotReady, "/readyz",
                starting && silent.Length > 0 ? $"503 {state}: no catalog yet from {string.Join(", ", silent)}" : $"503 {state}",
                starting ? "static services are served, services of the catalog are not known yet" : "no new connections are taken; what is in flight ends",
                since: starting ? _process.StartedAt : null,
                @do: starting ? null : "nothing: it ends by itself; start the next one if none is meant to follow",
                severity: starting ? null : ProblemSeverity.Info);
        }
    }

    private void Machine(Diagnosis diagnosis)
    {
        if (Limits is { } limits)
        {
            TrafficChecks.Limits(diagnosis, limits());
        }

        List<WantedPort> ports =
        [
            .. _control.State.Plan.Listeners.AsEnumerable().Select(l => new WantedPort(l.Key.Port, l.Key.IsEdge ? "edge" : l.Service)), .. OwnPorts?.Invoke() ?? [],
        ];
        HostChecks.Judge(diagnosis, _host.Read(_facts.StateDirectory), _facts.StateDirectory, ports);
    }

    private async Task<SourceSight> SightAsync(ICatalogSource source, CancellationToken cancel) => new(
        source.Name, source.Status,
        source is ConsulSource consul ? await ConsulLook.AtAsync(consul.Client, _clock, s_patience, cancel) : null);

    /// <summary>Consul's words on instances that it keeps out, for the services where that matters.</summary>
    private async Task<IReadOnlyDictionary<InstanceKey, string>> WhyOutAsync(
        IReadOnlyList<(ClusterState Cluster, DateTimeOffset Since)> outages, IReadOnlyList<SourceSight> sources, CancellationToken cancel)
    {
        string[] asked =
        [
            .. outages.Where(o => o.Cluster.Destinations.Any(d => d.Plan.Reported is ReportedHealth.Critical or ReportedHealth.Maintenance))
                .Select(o => o.Cluster.Plan.Service).Distinct(StringComparer.Ordinal).Take(ServicesAsked),
        ];
        Dictionary<InstanceKey, string> why = [];
        foreach (ConsulSource consul in asked.Length == 0 ? [] : _control.Sources.OfType<ConsulSource>())
        {
            if (sources.Any(s => s.Name == consul.Name && s.Sight is { Failure: null }))
            {
                foreach ((InstanceKey key, string words) in await ConsulLook.WhyOutAsync(consul.Client, asked, _clock, s_patience, cancel))
                {
                    why.TryAdd(key, words);
                }
            }
        }

        return why;
    }

    private void Date(Diagnosis diagnosis, DateTimeOffset now, bool forget = true)
    {
        lock (_since)
        {
            HashSet<(string, string?, string)> standing = [];
            diagnosis.Date(finding =>
            {
                (string, string?, string) key = (finding.Code, finding.Service, finding.Place);
                standing.Add(key);
                _since.TryAdd(key, now);
                return _since[key];
            });

            // A look at limits alone knows only of those.
            foreach ((string Code, string? Service, string Place) gone in _since.Keys.Where(k => !standing.Contains(k)).ToArray())
            {
                if (forget || gone.Code is ProblemCodes.ConnectionsAtLimit or ProblemCodes.ConnectionsNearLimit or ProblemCodes.LimitLowered)
                {
                    _since.Remove(gone);
                }
            }
        }
    }

    private static string Text(TimeSpan up) => up switch
    {
        { TotalDays: >= 2 } => string.Create(CultureInfo.InvariantCulture, $"{up.Days} d {up.Hours} h"),
        { TotalHours: >= 1 } => string.Create(CultureInfo.InvariantCulture, $"{(int)up.TotalHours} h {up.Minutes} min"),
        { TotalMinutes: >= 1 } => string.Create(CultureInfo.InvariantCulture, $"{up.Minutes} min {up.Seconds} s"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{up.TotalSeconds:0} s"),
    };
}
