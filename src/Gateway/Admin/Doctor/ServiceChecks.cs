using System.Globalization;
using Gateway.Catalog;
using Gateway.Control;
using Gateway.DataPlane.Balancing;
using Gateway.Planning;

namespace Gateway.Admin.Doctor;

/// <summary>Tells which services have no usable instance, and why each instance is out.</summary>
internal static class ServiceChecks
{
    private const int InstancesNamed = 5;

    /// <summary>Judges.</summary>
    /// <param name="diagnosis">Takes the findings.</param>
    /// <param name="state">The plan in force and its catalogs.</param>
    /// <param name="clusters">Every cluster.</param>
    /// <param name="outages">Those without a usable instance.</param>
    /// <param name="why">What the catalog says of instances that are not passing.</param>
    /// <param name="standing">Problems, some of which keep instances out.</param>
    public static void Judge(
        Diagnosis diagnosis,
        ControlState state,
        IReadOnlyList<ClusterState> clusters,
        IReadOnlyList<(ClusterState Cluster, DateTimeOffset Since)> outages,
        IReadOnlyDictionary<InstanceKey, string> why,
        IReadOnlyList<StandingProblem> standing)
    {
        diagnosis.Saw("services", string.Create(
            CultureInfo.InvariantCulture,
            $"{clusters.Select(c => c.Plan.Service).Distinct(StringComparer.Ordinal).Count()} services, {clusters.Sum(c => c.UsableCount)} of {clusters.Sum(c => c.Destinations.Count)} instances usable"));
        HashSet<string> told = [];
        foreach ((ClusterState cluster, DateTimeOffset since) in outages)
        {
            told.Add(cluster.Plan.Service);
            Outage(diagnosis, state, cluster, since, why);
        }

        // Registered, and yet in no environment: every instance was set aside, each for a reason that stands among the problems.
        foreach (IGrouping<string, ClusterState> service in clusters.GroupBy(c => c.Plan.Service, StringComparer.Ordinal))
        {
            Instance[] registered = [.. state.Catalogs.Values.SelectMany(c => c.Services.TryGetValue(service.Key, out Service? s) ? s.Instances.AsEnumerable() : [])];
            if (registered.Length > 0 && !told.Contains(service.Key) && service.All(c => c.Destinations.Count == 0))
            {
                StandingProblem[] reasons = [.. standing.Where(p => p.Problem.Service == service.Key && p.Problem.Instance is not null)];
                diagnosis.Found(
                    ProblemCodes.ServiceWithoutInstance, Places(state.Plan, [.. service.Select(c => c.Plan.Id)]),
                    $"{registered.Length} registered, all set aside: "
                    + Some(reasons.Select(r => $"{r.Problem.Instance} ({r.Problem.Code}: {r.Problem.Place} '{r.Problem.Value}')").Distinct()),
                    Now(service.First().Plan), service.Key, since: reasons.Length == 0 ? null : reasons.Max(r => r.Since),
                    @do: reasons.Length == 0 ? null : ProblemTable.Find(reasons[0].Problem.Code).Do, fault: ProblemFault.Catalog);
            }
        }
    }

    /// <summary>Why one destination has no new work, in words.</summary>
    public static string WhyOut(DestinationView view, InstanceKey key, CheckPlan check, IReadOnlyDictionary<InstanceKey, string> why) => view switch
    {
        { Reported: ReportedHealth.Critical } => why.GetValueOrDefault(key) ?? "the catalog says critical",
        { Reported: ReportedHealth.Maintenance } => why.GetValueOrDefault(key) ?? "it is in maintenance",
        { Weight: 0 } => "its weight is 0",
        { Up: false } => $"probe {(check.Kind == CheckKind.Tcp ? "connect" : $"GET {check.Path}")} failed: {view.LastCheck ?? "no result"}, "
            + $"down since {view.Since.UtcDateTime:HH:mm:ss} UTC",
        _ => "in",
    };

    private static void Outage(
        Diagnosis diagnosis, ControlState state, ClusterState cluster, DateTimeOffset since, IReadOnlyDictionary<InstanceKey, string> why)
    {
        ClusterPlan plan = cluster.Plan;
        string place = Places(state.Plan, [plan.Id]);
        if (cluster.Destinations.Count == 0)
        {
            diagnosis.Found(
                ProblemCodes.ServiceWithoutInstance, place, $"the last instance of {plan.Id} left the catalog", Now(plan), plan.Service, since: since,
                @do: "start an instance and register it; where this is meant, deregister the service's listen tags too",
                severity: ProblemSeverity.Warning, fault: ProblemFault.Catalog);
            return;
        }

        DestinationState[] all = [.. cluster.Destinations];
        bool operators = all.All(d => d.Plan.Reported == ReportedHealth.Maintenance || d.Plan.Weight == 0);
        bool probes = Array.Exists(all, d => d.Plan.Admitted && !d.Health.IsUp);
        string first = all.FirstOrDefault(d => d.Plan.Admitted && !d.Health.IsUp)?.Plan.EndPoint ?? all[0].Plan.EndPoint;
        string @do = operators ? "end the maintenance (consul maint -disable), or raise the weight"
            : !probes ? "see the check's output on its node (consul monitor, the service's own log) and start the service"
            : plan.Check.Kind == CheckKind.Tcp ? $"see whether the service runs and listens at {first}, and whether this host reaches it"
            : $"see what the service says: curl -i http://{first}{plan.Check.Path}, and its own log; "
                + $"if it has no such path, set gateway-check (gateway services {plan.Service} shows what is in force)";
        diagnosis.Found(
            ProblemCodes.ServiceWithoutInstance, place,
            $"{plan.Id}: 0 of {all.Length} instances take traffic: "
            + Some(all.Select(d => $"{d.Plan.Instance} at {d.Plan.EndPoint} ({WhyOut(DestinationView.Of(d, false), d.Plan.Instance, plan.Check, why)})")),
            Now(plan), plan.Service, since: since, @do: @do, fault: operators ? ProblemFault.Catalog : null);
    }

    private static string Now(ClusterPlan plan) => plan.Protocol == ListenProtocol.Tcp
        ? "connections are accepted and closed at once"
        : "requests are answered 503 with X-Gateway-Reason: no-instance";

    private static string Places(Plan plan, HashSet<string> clusters)
    {
        string[] places =
        [
            .. plan.Listeners.AsEnumerable().Where(l => clusters.Contains(l.Cluster) && !l.Key.IsEdge).Select(l => l.Key.ToString()),
            .. plan.Routes.AsEnumerable().Where(r => clusters.Contains(r.Cluster) && r.Listener.IsEdge).Select(r => r.Host + (r.PathPrefix == "/" ? "" : r.PathPrefix)),
        ];
        return places.Length == 0 ? string.Join(' ', clusters.Order(StringComparer.Ordinal)) : string.Join(' ', places.Distinct());
    }

    private static string Some(IEnumerable<string> all)
    {
        string[] texts = [.. all];
        return string.Join("; ", texts.Take(InstancesNamed)) + (texts.Length > InstancesNamed ? $"; and {texts.Length - InstancesNamed} more" : "");
    }
}
