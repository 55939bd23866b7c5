using System.Globalization;
using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>
/// The second half of reading a service: from what its instances say to the ports, hosts and clusters it asks for. Looks at this
/// one service and the options only, so the result can be kept while neither changes.
/// </summary>
internal sealed class ServiceReader(PlanContext context)
{
    private static readonly ListenerKey Edge = new("edge", 0);

    /// <summary>Reads a service. Parts that equal those of <paramref name="before"/> are the same objects as there.</summary>
    public ServiceClaims Read(string service, IReadOnlyList<Instance> instances, ServiceClaims? before)
    {
        ServiceDraft draft = new(context, service, instances);
        List<ClusterPlan> clusters = [];
        List<Claim> ports = [];
        List<Claim> hosts = [];
        if (!draft.AsksForNothing)
        {
            IReadOnlyList<ListenTag> listens = OwnPortOnly(draft);
            int[] split = SplitPorts(draft, listens);
            Dictionary<HostTag, int>? hostPorts = split.Length > 0 ? HostPorts(draft, listens, split) : null;
            for (int e = 0; e < context.Environments.Count; e++)
            {
                ClaimIn(e, draft, listens, split, hostPorts, clusters, ports, hosts);
            }
        }

        ServiceClaims claims = new()
        {
            Service = service,
            Seniority = Seniority(draft),
            Clusters = before is null ? [.. clusters] : Reuse.Clusters(clusters, before.Clusters),
            Ports = [.. ports],
            Hosts = [.. hosts],
            Problems = [.. draft.Problems],
            OwnPorts = OwnPorts(draft),
        };
        Array.ForEach(claims.Ports, c => c.By = claims);
        Array.ForEach(claims.Hosts, c => c.By = claims);
        if (before is not null)
        {
            Reuse.Claims([.. claims.Ports, .. claims.Hosts], [.. before.Ports, .. before.Hosts]);
        }

        return claims;
    }

    /// <summary>
    /// The cluster behind a port that nobody claims any more: as it was, if the service still has instances there. An id with a
    /// port (<c>SERVICE@ENV:PORT</c>) keeps to the instances of that port.
    /// </summary>
    public ClusterPlan ReadLingering(ListenerPlan listener, IReadOnlyList<Instance> instances)
    {
        string whole = Id(listener.Service, listener.Environment, 0);
        int split = listener.Cluster.StartsWith(whole + ":", StringComparison.Ordinal)
            && Units.TryPort(listener.Cluster.AsSpan(whole.Length + 1), out int port) ? port : 0;
        ServiceDraft draft = new(context, listener.Service, instances, anyway: true);
        List<InstanceDraft> members = context.EnvironmentIndexes.TryGetValue(listener.Environment, out int e)
            ? draft.Instances.FindAll(i => i.Environments.Contains(e) && (split == 0 || i.IdPort == split))
            : [];
        return Cluster(draft, listener.Environment, members, listener.Cluster, listener.Protocol);
    }

    /// <summary>A cluster without the destinations that lead back to our own ports; the same object where there are none.</summary>
    public ClusterPlan WithoutLoops(ClusterPlan cluster, Func<int, bool> isOurs, ICollection<Problem> problems)
    {
        List<DestinationPlan> kept = new(cluster.Destinations.Count);
        foreach (DestinationPlan destination in cluster.Destinations)
        {
            if (!isOurs(destination.Port) || !context.Addresses.TryJudge(destination.Address, out bool own) || !own)
            {
                kept.Add(destination);
                continue;
            }

            problems.Add(new Problem
            {
                Code = ProblemCodes.LoopDestination,
                Service = cluster.Service,
                Instance = destination.Instance.ToString(),
                Place = "address",
                Value = destination.EndPoint,
                Allowed = "an address and port that are not Gateway's own listener",
                Now = "the instance takes no traffic: requests would go round in a circle; register the program's own port",
            });
        }

        return kept.Count == cluster.Destinations.Count ? cluster : cluster with { Destinations = kept.ToEquatableArray() };
    }

    private static ulong Seniority(ServiceDraft draft)
    {
        ulong oldest = ulong.MaxValue;
        foreach (InstanceDraft instance in draft.Instances)
        {
            oldest = instance.Instance.CreateIndex is > 0 and ulong index && index < oldest ? index : oldest;
        }

        return oldest;
    }

    private static IReadOnlyCollection<int> OwnPorts(ServiceDraft draft)
    {
        HashSet<int>? ports = null;
        foreach (InstanceDraft instance in draft.Instances)
        {
            if (instance.Own && !instance.Out)
            {
                (ports ??= []).Add(instance.Instance.Port);
            }
        }

        return ports ?? (IReadOnlyCollection<int>)[];
    }

    // T6, B8: registrators call the parts of a service with several ports name-3000 and name-3010 and give both all tags. Each
    // takes its own port. A name that ends in something else (api2, node-18) is just a name.
    private static IReadOnlyList<ListenTag> OwnPortOnly(ServiceDraft draft)
    {
        int dash = draft.Service.LastIndexOf('-');
        if (DistinctPorts(draft.Listens) < 2
            || dash <= 0
            || !Units.TryPort(draft.Service.AsSpan(dash + 1), out int own)
            || !draft.Listens.Any(l => l.Port == own))
        {
            return draft.Listens;
        }

        return [.. draft.Listens.Where(l => l.Port == own)];
    }

    // T7: with an explicit SERVICE_NAME both ports of a program become instances of one service. The registrators' ids tell them
    // apart, but only if every one of them does; anything else would take instances away from a service that works.
    private static int[] SplitPorts(ServiceDraft draft, IReadOnlyList<ListenTag> listens)
    {
        if (DistinctPorts(listens) < 2)
        {
            return [];
        }

        int[] ports = [.. listens.Select(l => l.Port).Distinct()];
        HashSet<int> known = [.. ports];
        return draft.Instances.TrueForAll(i => known.Contains(i.IdPort)
            || i.Instance.ServiceId.EndsWith(":udp", StringComparison.OrdinalIgnoreCase)) ? ports : [];
    }

    // Which of the split ports serves a host: the lowest HTTP port whose instances carry the tag.
    private static Dictionary<HostTag, int> HostPorts(ServiceDraft draft, IReadOnlyList<ListenTag> listens, int[] split)
    {
        HashSet<int> http = [.. listens.Where(l => l.Protocol == ListenProtocol.Http).Select(l => l.Port)];
        Dictionary<HostTag, int> ports = [];
        foreach (HostTag host in draft.Hosts)
        {
            HashSet<int> carried = [.. host.Carriers.Select(c => c.IdPort).Where(p => p != 0)];
            int[] candidates = [.. carried.Where(http.Contains).Order()];
            int port = candidates.Length > 0 ? candidates[0] : carried.Count > 0 ? carried.Min() : split[0];
            ports[host] = port;
            if (candidates.Length > 1)
            {
                draft.Report(ProblemCodes.HostAmbiguous, host.Carriers[0].Instance.Key, "tag", host.Text,
                    "a host tag on the instances of one port",
                    string.Create(CultureInfo.InvariantCulture, $"the host leads to the instances of port {port}; name it per port"));
            }
        }

        return ports;
    }

    private static int DistinctPorts(IReadOnlyList<ListenTag> listens)
    {
        int distinct = 0;
        for (int i = 0; i < listens.Count; i++)
        {
            distinct += i == 0 || listens[i].Port != listens[i - 1].Port ? 1 : 0;
        }

        return distinct;
    }

    private static string Id(string service, string environment, int split) => split == 0
        ? $"{service}@{environment}"
        : string.Create(CultureInfo.InvariantCulture, $"{service}@{environment}:{split}");

    private void ClaimIn(
        int e,
        ServiceDraft draft,
        IReadOnlyList<ListenTag> listens,
        int[] split,
        Dictionary<HostTag, int>? hostPorts,
        List<ClusterPlan> clusters,
        List<Claim> ports,
        List<Claim> hosts)
    {
        EnvironmentRule rule = context.Environments[e];
        List<InstanceDraft> members = draft.Instances.FindAll(i => i.Environments.Contains(e));
        bool populated = members.Exists(i => !i.Out);
        bool edge = context.Options.Edge;

        // 1. Clusters: one, or one per port where instances are split. Without a listener or a route there is none.
        Dictionary<int, int> clusterOf = [];
        if (listens.Count > 0 || edge)
        {
            foreach (int port in split.Length > 0 ? split : [0])
            {
                bool http = listens.Any(l => (port == 0 || l.Port == port) && l.Protocol == ListenProtocol.Http)
                    || (edge && (hostPorts?.ContainsValue(port) ?? draft.Hosts.Any()));
                clusterOf[port] = clusters.Count;
                clusters.Add(Cluster(
                    draft,
                    rule.Name,
                    port == 0 ? members : members.FindAll(i => i.IdPort == port),
                    Id(draft.Service, rule.Name, port),
                    http ? ListenProtocol.Http : ListenProtocol.Tcp));
            }
        }

        // 2. Ports.
        foreach (ListenTag listen in listens)
        {
            string derived = rule.Port.Replace("{port}", listen.Port.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal);
            int cluster = clusterOf[split.Length > 0 ? listen.Port : 0];
            if (Units.TryPort(derived, out int port))
            {
                ports.Add(PortClaim(draft.Service, listen, e, port, clusters[cluster].Id, cluster, populated));
            }
            else if (populated)
            {
                // T1: the impossible port of one environment once refused the configuration of all services.
                draft.Report(ProblemCodes.PortImpossible, listen.Carrier, "tag", listen.Text,
                    $"a port that the rule {rule.Port} of {rule.Name} turns into 1-65535",
                    $"not reachable in {rule.Name}, where it would be port {derived}; the other environments stand");
            }
        }

        // 3. Hosts. Without an edge they are checked all the same, so that one catalog reads the same on every host.
        foreach (HostTag host in draft.Hosts)
        {
            if (TryDerive(rule, host.Host, out string name))
            {
                if (edge)
                {
                    int cluster = clusterOf[hostPorts is null ? 0 : hostPorts[host]];
                    hosts.Add(HostClaim(host, name, e, clusters[cluster].Id, cluster, populated));
                }
            }
            else if (populated)
            {
                draft.Report(ProblemCodes.HostImpossible, host.Carriers[0].Instance.Key, "tag", host.Text,
                    $"a host that the rule {rule.Host} of {rule.Name} turns into one; *. needs the rule {{host}}",
                    $"not reachable by host in {rule.Name}; the other environments stand");
            }
        }
    }

    private Claim PortClaim(string service, ListenTag listen, int e, int port, string clusterId, int cluster, bool populated)
    {
        ListenerKey key = new(ListenerKey.Internal, port);
        return new Claim
        {
            Listener = new ListenerPlan
            {
                Key = key,
                Protocol = listen.Protocol,
                Service = service,
                Environment = context.Environments[e].Name,
                Cluster = clusterId,
            },
            Route = listen.Protocol == ListenProtocol.Http ? new RoutePlan { Listener = key, Host = "*", Cluster = clusterId } : null,
            Cluster = cluster,
            Environment = e,
            Populated = populated,
            Tag = listen.Text,
            Carrier = listen.Carrier,
        };
    }

    private static Claim HostClaim(HostTag host, string name, int e, string clusterId, int cluster, bool populated) => new()
    {
        Route = new RoutePlan { Listener = Edge, Host = name, PathPrefix = host.Prefix, Cluster = clusterId },
        Cluster = cluster,
        Environment = e,
        Populated = populated,
        Tag = host.Text,
        Carrier = host.Carriers[0].Instance.Key,
    };

    private static bool TryDerive(EnvironmentRule rule, string host, out string name)
    {
        name = "";
        return (host[0] != '*' || rule.Host == "{host}")
            && HostNames.TryHost(rule.Host.Replace("{host}", host, StringComparison.Ordinal), out name);
    }

    private ClusterPlan Cluster(ServiceDraft draft, string environment, List<InstanceDraft> members, string id, ListenProtocol protocol)
    {
        string?[] slots = new string?[ClusterSettings.Slots];
        InstanceVote.Count(draft, members, id, slots);
        context.File.Overlay(draft.Service, environment, slots);
        ClusterSettings settings = ClusterSettings.From(slots);
        string? fileWeight = slots[(int)SettingSlot.Weight];

        DestinationPlan[] destinations = new DestinationPlan[members.Count(m => !m.Out)];
        int next = 0;
        foreach (InstanceDraft member in members)
        {
            if (!member.Out)
            {
                destinations[next++] = Destination(member, fileWeight);
            }
        }

        return new ClusterPlan
        {
            Id = id,
            Service = draft.Service,
            Environment = environment,
            Protocol = protocol,
            Balance = settings.Balance,
            Upstream = settings.Upstream,
            Check = protocol == ListenProtocol.Tcp && settings.Check.Kind == CheckKind.Auto
                ? settings.Check with { Kind = CheckKind.Tcp }
                : settings.Check,
            Timeouts = settings.Timeouts,
            ForwardedFor = settings.ForwardedFor,
            Destinations = new EquatableArray<DestinationPlan>(destinations),
        };
    }

    // The registered weights follow the instance's state. A weight that was set (tag, Meta or file) takes the place of both, but
    // a warning weight of 0 is a wish to drain while warning, and stays one.
    private static DestinationPlan Destination(InstanceDraft member, string? fileWeight)
    {
        Instance instance = member.Instance;
        bool warning = instance.Health == ReportedHealth.Warning;
        string? set = fileWeight ?? member.Values?[(int)SettingSlot.Weight];
        int registered = Math.Clamp(warning ? instance.WeightWarning : instance.WeightPassing, 0, 65535);
        return new DestinationPlan
        {
            Instance = instance.Key,
            Address = instance.Address,
            Port = instance.Port,
            Weight = set is null || (warning && registered == 0) ? registered : int.Parse(set, CultureInfo.InvariantCulture),
            Reported = instance.Health,
        };
    }
}
