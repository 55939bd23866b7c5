using Gateway.Catalog;
using Gateway.Control;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Http;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Tcp;
using Gateway.Discovery;
using Gateway.Lifecycle;
using Gateway.Observability;
using Gateway.Planning;

namespace Gateway.Admin;

/// <summary>What the admin API may ask the root to do.</summary>
internal sealed record AdminCommands(Func<CancellationToken, Task<CommandResult>> Reload, Func<CommandResult> Stop);

/// <summary>Facts of the process that do not change.</summary>
internal sealed record ProcessFacts(string Version, string Engine, string StateDirectory);

/// <summary>Reads live state into views and answers paths; knows nothing of sockets.</summary>
internal sealed class AdminApi(
    ProcessFacts facts,
    ProcessStatus process,
    ControlLoop control,
    ListenerSet listeners,
    ClusterTable clusters,
    HttpLane http,
    TcpLane tcp,
    MetricsExporter metrics,
    TimeProvider clock,
    AdminCommands commands)
{
    private const string Api = "/api/v1/";

    /// <summary>Where the limit of connections comes from, for people.</summary>
    public Func<string> LimitFrom { get; init; } = () => "";

    /// <summary>Looks at everything; null: there is no doctor.</summary>
    public Func<CancellationToken, Task<DoctorView>>? Doctor { get; init; }

    /// <summary>Answers a GET; only the doctor asks others and takes a moment.</summary>
    public async Task<AdminAnswer> ReadAsync(string path, string accept, CancellationToken cancel) =>
        path == Api + "doctor" && Doctor is { } look ? AdminAnswer.Json(await look(cancel), DoctorJson.Default.DoctorView) : Read(path, accept);

    /// <summary>Answers a GET from what is at hand.</summary>
    private AdminAnswer Read(string path, string accept)
    {
        switch (path)
        {
            case "/livez":
                return AdminAnswer.Text(200, "ok");
            case "/readyz":
                (int status, string text) = process.Readiness;
                text = status == 200 && Degraded() is { } degraded ? degraded : text;
                return AdminAnswer.Text(status, text);
            case "/metrics":
                bool openMetrics = accept.Contains("application/openmetrics-text", StringComparison.OrdinalIgnoreCase);
                return new AdminAnswer(
                    200,
                    openMetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8" : "text/plain; version=0.0.4; charset=utf-8",
                    metrics.Render(openMetrics));
            case Api + "status":
                return AdminAnswer.Json(Status(), AdminJson.Default.StatusView);
            case Api + "services":
                return AdminAnswer.Json(Services(), AdminJson.Default.IReadOnlyListServiceView);
            case Api + "routes":
                return AdminAnswer.Json(Routes(), AdminJson.Default.IReadOnlyListRouteView);
            case Api + "listeners":
                return AdminAnswer.Json(Listeners(), AdminJson.Default.IReadOnlyListListenerView);
            case Api + "destinations":
                return AdminAnswer.Json(
                    [.. Services().SelectMany(s => s.Clusters).SelectMany(c => c.Destinations)], AdminJson.Default.IReadOnlyListInstanceView);
            case Api + "problems":
                return AdminAnswer.Json(Problems(), AdminJson.Default.IReadOnlyListProblemView);
            case Api + "catalog":
                return AdminAnswer.Text(200, Dump());
            case "/":
                return AdminAnswer.Text(200, "Gateway. See /livez, /readyz, /metrics, /api/v1/status, services, routes, listeners, destinations, problems, doctor, catalog.");
            case { } one when one.StartsWith(Api + "services/", StringComparison.Ordinal):
                // Of a path that is decoded already, only this is left as it was written.
                string name = one[(Api + "services/").Length..].Replace("%2F", "/", StringComparison.OrdinalIgnoreCase);
                return AdminAnswer.Json(Service(name), AdminJson.Default.IReadOnlyListServiceView);
            default:
                return AdminAnswer.Error(404, $"no such path '{path}'; there are /livez, /readyz, /metrics and {Api}status, services, routes, listeners, destinations, problems, doctor, catalog");
        }
    }

    /// <summary>Answers a POST.</summary>
    /// <param name="path">Path of the command.</param>
    /// <param name="target">What it is about (<c>?target=</c>), or null.</param>
    /// <param name="cancel">Ends the wait for it.</param>
    public async Task<AdminAnswer> CommandAsync(string path, string? target, CancellationToken cancel)
    {
        CommandResult? result = path switch
        {
            Api + "accept" => await AcceptAsync(target, cancel),
            Api + "reload" => await commands.Reload(cancel),
            Api + "stop" => commands.Stop(),
            _ => null,
        };
        return result is null
            ? AdminAnswer.Error(404, $"no such command '{path}'; there are {Api}accept, {Api}reload and {Api}stop")
            : AdminAnswer.Json(result, AdminJson.Default.CommandResult, result.Done ? 200 : 409);
    }

    private async Task<CommandResult> AcceptAsync(string? target, CancellationToken cancel)
    {
        if (string.IsNullOrEmpty(target))
        {
            return new CommandResult(false, $"name what is accepted: {Api}accept?target=SERVICE[@ENV][/INSTANCE]");
        }

        IReadOnlyList<HeldView> accepted = await control.AcceptAsync(target, cancel);
        return accepted.Count == 0
            ? new CommandResult(false, $"nothing is held of '{target}'; 'gateway problems' shows what is")
            : new CommandResult(
                true,
                string.Join('\n', accepted.Select(h => $"accepted: {h.Instance.Key} of {h.Instance.Service} at {h.Instance.EndPoint} goes")));
    }

    private string? Degraded() => control.Restored is { Count: > 0 } restored
        ? "degraded: serving the last known good of " + string.Join(
            ", of ", restored.OrderBy(r => r.Key, StringComparer.Ordinal).Select(r => $"{r.Key} from {r.Value:yyyy-MM-ddTHH:mm:ssZ}"))
        : null;

    private StatusView Status()
    {
        ControlState state = control.State;
        IReadOnlyList<ClusterView> all = clusters.View();
        DateTimeOffset now = clock.GetUtcNow();
        return new StatusView
        {
            Pid = Environment.ProcessId,
            Generation = 1,
            Version = facts.Version,
            State = process.State.ToString().ToLowerInvariant(),
            Degraded = process.State == ProcessState.Ready ? Degraded() : null,
            StartedAt = process.StartedAt,
            Engine = facts.Engine,
            StateDirectory = facts.StateDirectory,
            Applies = state.Applies,
            AppliedAt = state.AppliedAt,
            Services = state.Plan.Clusters.Select(c => c.Service).Distinct(StringComparer.Ordinal).Count(),
            Listeners = state.Plan.Listeners.Count,
            Destinations = all.Sum(c => c.Destinations.Count),
            Usable = all.Sum(c => c.Usable),
            HttpConnections = http.Connections,
            HttpRequests = http.Requests,
            TcpRelays = tcp.Relays,
            MaxConnections = listeners.Gate.Limit,
            MaxConnectionsFrom = LimitFrom(),
            Problems = control.Problems().Count,
            Sources = [.. control.Sources.Select(s => SourceOf(s, now) with
            {
                LastKnownGood = control.Restored.TryGetValue(s.Name, out DateTimeOffset from) ? from : null,
            })],
        };
    }

    private static SourceView SourceOf(ICatalogSource source, DateTimeOffset now)
    {
        SourceStatus status = source.Status;
        double? age = status.LastContact is { } last ? Math.Round((now - last).TotalSeconds, 1) : null;
        return new SourceView(source.Name, status.HasReported, status.LastContact, age, status.Mode, status.Problems.Count);
    }

    /// <summary>NAME, or NAME@ENV where no service has that whole name; with where its settings come from.</summary>
    private IReadOnlyList<ServiceView> Service(string wanted)
    {
        IReadOnlyList<ServiceView> services = Services();
        List<ServiceView> found = [.. services.Where(s => s.Name == wanted)];
        int at = wanted.LastIndexOf('@');
        if (found.Count == 0 && at >= 0)
        {
            (string name, string environment) = (wanted[..at], wanted[(at + 1)..]);
            found =
            [
                .. services.Where(s => s.Name == name)
                    .Select(s => s with { Clusters = [.. s.Clusters.Where(c => c.Environment.Equals(environment, StringComparison.OrdinalIgnoreCase))] })
                    .Where(s => s.Clusters.Count > 0),
            ];
        }

        ControlState state = control.State;
        SettingOrigins origins = new(state.Options);
        IReadOnlyList<SettingView>? SettingsOf(string cluster) => state.Plan.Clusters.AsEnumerable().FirstOrDefault(c => c.Id == cluster) is { } plan
            ? [.. origins.Of(plan, state.Catalogs.Values).Select(s => new SettingView(s.Key, s.Value, s.From))]
            : null;
        return
        [
            .. found.Select(s => s with { Clusters = [.. s.Clusters.Select(c => c with { Settings = SettingsOf(c.Cluster) })] }),
        ];
    }

    private IReadOnlyList<ServiceView> Services()
    {
        Plan plan = control.State.Plan;
        ILookup<string, string> reached = plan.Listeners
            .Select(l => (l.Cluster, Text: l.Key.ToString()))
            .Concat(plan.Routes.Where(r => r.Listener.Scope != ListenerKey.Internal).Select(r => (r.Cluster, Text: r.Host + (r.PathPrefix == "/" ? "" : r.PathPrefix))))
            .ToLookup(l => l.Cluster, l => l.Text, StringComparer.Ordinal);
        return
        [
            .. clusters.View()
                .GroupBy(c => c.Service, StringComparer.Ordinal)
                .OrderBy(g => g.Key, StringComparer.Ordinal)
                .Select(g => new ServiceView(g.Key, [.. g.Select(c => EnvironmentOf(c, reached))])),
        ];
    }

    private static EnvironmentView EnvironmentOf(ClusterView cluster, ILookup<string, string> reached) => new()
    {
        Cluster = cluster.Id,
        Environment = cluster.Environment,
        Listeners = [.. reached[cluster.Id]],
        Balance = cluster.Balance.ToString().ToLowerInvariant(),
        Check = CheckText(cluster.Check),
        Destinations = [.. cluster.Destinations.Concat(cluster.Draining).Select(InstanceOf)],
    };

    private static InstanceView InstanceOf(DestinationView destination) => new()
    {
        Instance = destination.Instance,
        Address = destination.Address,
        Usable = destination.Usable,
        Reason = ReasonOf(destination),
        Reported = destination.Reported.ToString().ToLowerInvariant(),
        Up = destination.Up,
        Check = destination.LastCheck,
        Since = destination.Since,
        Weight = destination.Weight,
        InFlight = destination.InFlight,
        Requests = destination.Requests,
        Failures = destination.Failures,
    };

    /// <summary>The first thing that keeps it out, or what keeps it in.</summary>
    private static string ReasonOf(DestinationView d) => d switch
    {
        { Draining: true } => "draining: no longer planned",
        { Reported: ReportedHealth.Critical } => "out: the catalog says critical",
        { Reported: ReportedHealth.Maintenance } => "out: maintenance",
        { Weight: 0 } => "out: weight 0",
        { Up: false } => "out: check failed",
        { Suspect: true } => "in, last in order: it refused a connect",
        { LastCheck: null, Reported: ReportedHealth.Unchecked } => "in: unchecked",
        { LastCheck: null } => "in: the catalog says " + d.Reported.ToString().ToLowerInvariant(),
        _ => "in",
    };

    private static string CheckText(CheckPlan check) => check.Kind switch
    {
        CheckKind.None => "none",
        CheckKind.Tcp => $"tcp every {Units.Duration(check.Interval)}",
        CheckKind.Auto => $"auto {check.Path} every {Units.Duration(check.Interval)}",
        _ => $"http {check.Path} every {Units.Duration(check.Interval)}",
    };

    private IReadOnlyList<RouteView> Routes()
    {
        Plan plan = control.State.Plan;
        Dictionary<string, ClusterPlan> byId = plan.Clusters.ToDictionary(c => c.Id, StringComparer.Ordinal);
        RouteView Of(string listener, string host, string path, string cluster, string lane) => byId.TryGetValue(cluster, out ClusterPlan? c)
            ? new RouteView(listener, host, path, c.Service, c.Environment, cluster, lane, c.Upstream.ToString().ToLowerInvariant())
            : new RouteView(listener, host, path, "", "", cluster, lane, "");
        return
        [
            .. plan.Routes.Select(r => Of(r.Listener.IsEdge ? "edge" : r.Listener.ToString(), r.Host, r.PathPrefix, r.Cluster, "kestrel")),
            .. plan.Listeners.Where(l => l.Protocol == ListenProtocol.Tcp).Select(l => Of(l.Key.ToString(), "", "", l.Cluster, "tcp")),
        ];
    }

    private IReadOnlyList<ListenerView> Listeners() =>
    [
        .. listeners.Listeners.Select(l => new ListenerView
        {
            Listener = l.Key.ToString(),
            Protocol = l.Plan.Tls ? "https" : l.Plan.Protocol == ListenProtocol.Http ? "http" : "tcp",
            Service = l.Key.IsEdge ? "edge" : l.Plan.Service,
            Environment = l.Plan.Environment,
            State = l.Plan.Lingering ? "lingering" : BindingText(l.Bindings),
            Addresses = [.. l.Bindings.Where(b => b.IsBound).Select(b => b.EndPoint.ToString())],
            Connections = l.Connections,
        }),
    ];

    private static string BindingText(IReadOnlyList<ListenerBinding> bindings) => bindings.Count(b => b.IsBound) switch
    {
        0 => "not bound",
        int bound when bound < bindings.Count => "partly bound",
        _ => "bound",
    };

    private IReadOnlyList<ProblemView> Problems() =>
    [
        .. control.Problems().Select(p => new ProblemView(
            p.Problem.Code, p.Problem.Service, p.Problem.Instance, p.Problem.Place, p.Problem.Value, p.Problem.Allowed, p.Problem.Now, p.Since)),
    ];

    private string Dump()
    {
        IEnumerable<Instance> all = control.State.Catalogs.Values.SelectMany(c => c.Services.Values).SelectMany(s => (IEnumerable<Instance>)s.Instances);
        return Discovery.FileCatalogs.CatalogFile.Write(CatalogSnapshot.Of(all));
    }
}
