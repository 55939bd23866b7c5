using System.Globalization;
using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>
/// What one service asks for, while it is being read: which of its listen tags count, whether its instances are split by port,
/// and the claims and clusters found so far.
/// </summary>
internal sealed class ServiceWishes
{
    private readonly int[] _split;
    private readonly Dictionary<HostTag, int>? _hostPorts;
    private Dictionary<int, int>? _clusterOfPort;
    private int _cluster = -1;

    public ServiceWishes(ServiceDraft draft)
    {
        Draft = draft;
        Listens = OwnPortOnly(draft);
        _split = SplitPorts(draft, Listens);
        _hostPorts = IsSplit && draft.Hosts.Count > 0 ? HostPorts(draft, Listens, _split) : null;
    }

    /// <summary>The service, instance by instance.</summary>
    public ServiceDraft Draft { get; }

    /// <summary>The listen tags that count, by port, HTTP first.</summary>
    public IReadOnlyList<ListenTag> Listens { get; }

    /// <summary>Whether each port has instances of its own (T7).</summary>
    public bool IsSplit => _split.Length > 0;

    /// <summary>Clusters so far.</summary>
    public List<ClusterPlan> Clusters { get; } = new(2);

    /// <summary>Claims of ports so far.</summary>
    public List<Claim> Ports { get; } = new(2);

    /// <summary>Claims of hosts so far.</summary>
    public List<Claim> Hosts { get; } = [];

    /// <summary>The split port whose instances serve a host; 0 without a split.</summary>
    public int PortOf(HostTag host) => _hostPorts?[host] ?? 0;

    /// <summary>The split port whose instances serve the file's hosts, the lowest HTTP one; 0 without a split.</summary>
    public int RulePort => !IsSplit ? 0
        : Listens.Where(l => l.Protocol == ListenProtocol.Http).Select(l => l.Port).DefaultIfEmpty(_split.Min()).Min();

    /// <summary>What the listeners and routes of a cluster speak.</summary>
    public ListenProtocol ProtocolOf(int split, bool edge)
    {
        foreach (ListenTag listen in Listens)
        {
            if (listen.Protocol == ListenProtocol.Http && (split == 0 || listen.Port == split))
            {
                return ListenProtocol.Http;
            }
        }

        bool host = edge && ((_hostPorts?.ContainsValue(split) ?? Draft.Hosts.Count > 0) || (Draft.Rules.Count > 0 && split == RulePort));
        return host ? ListenProtocol.Http : ListenProtocol.Tcp;
    }

    /// <summary>The next environment has clusters of its own.</summary>
    public void BeginEnvironment()
    {
        _cluster = -1;
        _clusterOfPort?.Clear();
    }

    /// <summary>The cluster of this environment, of a port where instances are split, if it was made already.</summary>
    public bool TryGetCluster(int split, out int index)
    {
        index = _cluster;
        return split == 0 ? index >= 0 : _clusterOfPort is not null && _clusterOfPort.TryGetValue(split, out index);
    }

    /// <summary>Keeps a cluster of this environment.</summary>
    public int AddCluster(int split, ClusterPlan cluster)
    {
        int index = Clusters.Count;
        Clusters.Add(cluster);
        if (split == 0)
        {
            _cluster = index;
        }
        else
        {
            (_clusterOfPort ??= [])[split] = index;
        }

        return index;
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
                    $"the host leads to the instances of port {port}; name it per port");
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
}
