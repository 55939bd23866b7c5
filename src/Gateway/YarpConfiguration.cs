using System.Globalization;
using Gateway.Catalog;
using Gateway.Planning;
using Yarp.ReverseProxy.Configuration;
using Yarp.ReverseProxy.Forwarder;

namespace Gateway;

/// <summary>
/// A plan in YARP's words. In: a plan; out: routes and clusters. What a plan leaves as it was stays the same object, so YARP finds
/// nothing to change there. Per-service ports become hosts like <c>*:3000</c>: the application listens, YARP routes.
/// </summary>
internal sealed class YarpConfiguration
{
    private readonly Dictionary<string, (ClusterPlan Plan, ClusterConfig Config)> _clusters = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (RoutePlan Plan, RouteConfig Config)> _routes = new(StringComparer.Ordinal);

    /// <summary>Translates. One caller at a time.</summary>
    public (IReadOnlyList<RouteConfig> Routes, IReadOnlyList<ClusterConfig> Clusters) Of(Plan plan)
    {
        HashSet<ListenerKey> http = [.. plan.Listeners.AsEnumerable().Where(l => l.Protocol == ListenProtocol.Http).Select(l => l.Key)];
        RoutePlan[] routes = [.. plan.Routes.AsEnumerable().Where(r => r.Listener.Scope == "edge" || http.Contains(r.Listener))];
        HashSet<string> wanted = [.. routes.Select(r => r.Cluster)];
        ClusterPlan[] clusters = [.. plan.Clusters.AsEnumerable().Where(c => wanted.Contains(c.Id))];
        Keep(_clusters, clusters, c => c.Id, ClusterOf);
        Keep(_routes, routes, r => r.Id, RouteOf);
        return ([.. routes.Select(r => _routes[r.Id].Config)], [.. clusters.Select(c => _clusters[c.Id].Config)]);
    }

    private static void Keep<TPlan, TConfig>(
        Dictionary<string, (TPlan Plan, TConfig Config)> known, TPlan[] now, Func<TPlan, string> id, Func<TPlan, TConfig> translate)
        where TPlan : class
    {
        foreach (string gone in known.Keys.Except(now.Select(id)).ToArray())
        {
            known.Remove(gone);
        }

        foreach (TPlan plan in now)
        {
            if (!known.TryGetValue(id(plan), out (TPlan Plan, TConfig Config) old) || !plan.Equals(old.Plan))
            {
                known[id(plan)] = (plan, translate(plan));
            }
        }
    }

    private static RouteConfig RouteOf(RoutePlan route)
    {
        string path = route.PathPrefix.TrimEnd('/');
        string? host = route.Listener.Scope == ListenerKey.Internal
            ? string.Create(CultureInfo.InvariantCulture, $"{route.Host}:{route.Listener.Port}")
            : route.Host == "*" ? null : route.Host;
        return new RouteConfig
        {
            RouteId = route.Id,
            ClusterId = route.Cluster,
            Match = new RouteMatch { Hosts = host is null ? null : [host], Path = path + "/{**rest}" },
        };
    }

    private static ClusterConfig ClusterOf(ClusterPlan cluster) => new()
    {
        ClusterId = cluster.Id,
        LoadBalancingPolicy = cluster.Balance == BalanceAlgorithm.LeastConn ? "LeastRequests" : "RoundRobin",
        Destinations = cluster.Destinations.AsEnumerable().Where(d => d.Admitted).ToDictionary(
            d => d.Instance.ToString(), d => new DestinationConfig { Address = $"http://{d.EndPoint}/" }, StringComparer.Ordinal),
        HttpRequest = new ForwarderRequestConfig
        {
            ActivityTimeout = cluster.Timeouts.Response,
            Version = cluster.Upstream == UpstreamProtocol.H2c ? new Version(2, 0) : null,
            VersionPolicy = cluster.Upstream == UpstreamProtocol.H2c ? HttpVersionPolicy.RequestVersionExact : null,
        },
        HealthCheck = cluster.Check.Kind == CheckKind.Http ? Active(cluster.Check) : null,
    };

    // Only what is asked for by name: the forgiving rules of check: auto are not YARP's, and without a check Consul's verdict stands.
    private static HealthCheckConfig Active(CheckPlan check) => new()
    {
        Active = new ActiveHealthCheckConfig
        {
            Enabled = true,
            Interval = check.Interval,
            Timeout = check.Timeout,
            Path = check.Path,
        },
    };
}
