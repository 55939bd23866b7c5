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

    // Scratch for one cluster at a time; 10,000 services would otherwise make 40,000 of each.
    private readonly List<InstanceDraft> _members = [];
    private readonly string?[] _slots = new string?[ClusterSettings.Slots];

    /// <summary>Reads a service. Parts that equal those of <paramref name="before"/> are the same objects as there.</summary>
    public ServiceClaims Read(string service, IReadOnlyList<Instance> instances, ServiceClaims? before)
    {
        ServiceDraft draft = new(context, service, instances);
        if (draft.AsksForNothing)
        {
            return new ServiceClaims { Service = service, Seniority = Seniority(draft), Problems = [.. draft.Problems] };
        }

        ServiceWishes wishes = new(draft);
        for (int e = 0; e < context.Environments.Count; e++)
        {
            ClaimIn(e, wishes);
        }

        ServiceClaims claims = new()
        {
            Service = service,
            Seniority = Seniority(draft),
            Clusters = before is null ? [.. wishes.Clusters] : Reuse.Clusters(wishes.Clusters, before.Clusters),
            Ports = [.. wishes.Ports],
            Hosts = [.. wishes.Hosts],
            Problems = [.. draft.Problems],
            OwnPorts = OwnPorts(draft),
        };
        claims.Sign();
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
        ServiceDraft draft = new(context, listener.Service, instances, anyway: true);
        List<InstanceDraft> members = MembersOf(context, draft, listener.Environment, listener.Cluster);
        return Cluster(draft, listener.Environment, members, listener.Cluster, listener.Protocol);
    }

    /// <summary>The instances behind a cluster's id, usable or not.</summary>
    public static List<InstanceDraft> MembersOf(PlanContext context, ServiceDraft draft, string environment, string cluster)
    {
        string whole = Id(draft.Service, environment, 0);
        int split = cluster.StartsWith(whole + ":", StringComparison.Ordinal)
            && Units.TryPort(cluster.AsSpan(whole.Length + 1), out int port) ? port : 0;
        return context.EnvironmentIndexes.TryGetValue(environment, out int e)
            ? draft.Instances.FindAll(i => i.IsIn(e) && (split == 0 || i.IdPort == split))
            : [];
    }

    /// <summary>A cluster without destinations that lead back to our own ports; the same object where there are none.</summary>
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

    private static string Id(string service, string environment, int split) => split == 0
        ? $"{service}@{environment}"
        : string.Create(CultureInfo.InvariantCulture, $"{service}@{environment}:{split}");

    // What a service asks for in one environment. A cluster is made with the first claim that leads to it.
    private void ClaimIn(int e, ServiceWishes wishes)
    {
        ServiceDraft draft = wishes.Draft;
        EnvironmentRule rule = context.Environments[e];
        _members.Clear();
        bool populated = false;
        foreach (InstanceDraft instance in draft.Instances)
        {
            if (instance.IsIn(e))
            {
                _members.Add(instance);
                populated |= !instance.Out;
            }
        }

        // 1. Ports.
        wishes.BeginEnvironment();
        foreach (ListenTag listen in wishes.Listens)
        {
            if (context.PortRules[e].TryDerive(listen.Port, out int port))
            {
                int cluster = ClusterAt(e, wishes.IsSplit ? listen.Port : 0, wishes);
                wishes.Ports.Add(PortClaim(draft.Service, listen, e, port, wishes.Clusters[cluster].Id, cluster, populated));
            }
            else if (populated)
            {
                // T1: the impossible port of one environment once refused the configuration of all services.
                draft.Report(ProblemCodes.PortImpossible, listen.Carrier, "tag", listen.Text,
                    $"a port that the rule {rule.Port} of {rule.Name} turns into 1-65535",
                    $"not reachable in {rule.Name}, where it would be port {context.PortRules[e].Render(listen.Port)}; "
                    + "the other environments stand");
            }
        }

        // 2. Hosts. Without an edge they are checked all the same, so that one catalog reads the same on every host.
        foreach (HostTag host in draft.Hosts)
        {
            if (!TryDerive(rule, host.Host, out string name))
            {
                if (populated)
                {
                    draft.Report(ProblemCodes.HostImpossible, host.Carriers[0].Instance.Key, "tag", host.Text,
                        $"a host that the rule {rule.Host} of {rule.Name} turns into one; *. needs the rule {{host}}",
                        $"not reachable by host in {rule.Name}; the other environments stand");
                }
            }
            else if (context.Options.Edge)
            {
                int cluster = ClusterAt(e, wishes.PortOf(host), wishes);
                wishes.Hosts.Add(HostClaim(host, name, e, wishes.Clusters[cluster].Id, cluster, populated));
            }
        }

        // 3. Hosts from the file. They are there without any instance too: a host that is known answers 503, not 404.
        foreach (EdgeHost host in draft.Rules)
        {
            string name = host.Host;
            if (host.Environment is null ? TryDerive(rule, host.Host, out name) : rule.Name.Equals(host.Environment, StringComparison.OrdinalIgnoreCase))
            {
                int cluster = ClusterAt(e, wishes.RulePort, wishes);
                wishes.Hosts.Add(RuleClaim(host, name, e, wishes.Clusters[cluster].Id, cluster, populated));
            }
        }
    }

    private int ClusterAt(int e, int split, ServiceWishes wishes)
    {
        if (wishes.TryGetCluster(split, out int index))
        {
            return index;
        }

        List<InstanceDraft> members = split == 0 ? _members : _members.FindAll(i => i.IdPort == split);
        string environment = context.Environments[e].Name;
        string id = Id(wishes.Draft.Service, environment, split);
        ListenProtocol protocol = wishes.ProtocolOf(split, context.Options.Edge);
        return wishes.AddCluster(split, Cluster(wishes.Draft, environment, members, id, protocol));
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
            Route = listen.Protocol == ListenProtocol.Http
                ? new RoutePlan { Listener = key, Host = "*", Cluster = clusterId }
                : null,
            Cluster = cluster,
            Environment = e,
            Populated = populated,
            Listen = listen,
            Carrier = listen.Carrier,
        };
    }

    private static Claim HostClaim(HostTag host, string name, int e, string clusterId, int cluster, bool populated) => new()
    {
        Route = new RoutePlan { Listener = Edge, Host = name, PathPrefix = host.Prefix, Cluster = clusterId },
        Cluster = cluster,
        Environment = e,
        Populated = populated,
        Host = host,
        Carrier = host.Carriers[0].Instance.Key,
    };

    private static Claim RuleClaim(EdgeHost host, string name, int e, string clusterId, int cluster, bool populated) => new()
    {
        Route = new RoutePlan { Listener = Edge, Host = name, PathPrefix = host.PathPrefix, Cluster = clusterId },
        Cluster = cluster,
        Environment = e,
        Populated = populated,
        Rule = host,
        Carrier = default,
    };

    private static bool TryDerive(EnvironmentRule rule, string host, out string name)
    {
        name = "";
        return (host[0] != '*' || rule.Host == "{host}")
            && HostNames.TryHost(rule.Host.Replace("{host}", host, StringComparison.Ordinal), out name);
    }

    private ClusterPlan Cluster(
        ServiceDraft draft, string environment, List<InstanceDraft> members, string id, ListenProtocol protocol)
    {
        string?[] slots = _slots;
        Array.Clear(slots);
        InstanceVote.Count(draft, members, id, slots);
        context.File.Overlay(draft.Service, environment, slots);
        ClusterSettings settings = ClusterSettings.From(slots);
        string? fileWeight = slots[(int)SettingSlot.Weight];

        int count = 0;
        foreach (InstanceDraft member in members)
        {
            count += member.Out ? 0 : 1;
        }

        DestinationPlan[] destinations = new DestinationPlan[count];
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
