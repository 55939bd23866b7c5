using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>One service of the input: what every catalog says of it, and what follows from that.</summary>
internal sealed class MemoEntry(Service[] facts, ServiceClaims claims)
{
    private Dictionary<string, ClusterPlan>? _lingering;
    private int[] _loopPorts = [];
    private ClusterPlan[] _withoutLoops = [];
    private List<Problem>? _loopProblems;

    /// <summary>The catalogs' objects: while they are the same, so is everything else here.</summary>
    public Service[] Facts { get; } = facts;

    /// <summary>What the service asks for.</summary>
    public ServiceClaims Claims { get; } = claims;

    /// <summary>The plan that used this entry last; entries of older plans are dropped.</summary>
    public int Generation { get; set; }

    /// <summary>All instances in the order of the catalogs.</summary>
    public static IReadOnlyList<Instance> InstancesOf(Service[] facts) =>
        facts.Length == 1 ? facts[0].Instances : [.. facts.SelectMany(f => f.Instances)];

    /// <summary>The clusters without what would lead back to our own ports.</summary>
    public ClusterPlan[] Clusters(ServiceReader reader, Func<int, bool> isOurs, List<Problem> problems)
    {
        if (Claims.OwnPorts.Count == 0)
        {
            return Claims.Clusters;
        }

        int[] loops = [.. Claims.OwnPorts.Where(isOurs).Order()];
        if (loops.Length == 0)
        {
            return Claims.Clusters;
        }

        if (!loops.AsSpan().SequenceEqual(_loopPorts))
        {
            _loopPorts = loops;
            List<Problem> found = _loopProblems = [];
            _withoutLoops = Reuse.Clusters(
                Array.ConvertAll(Claims.Clusters, c => reader.WithoutLoops(c, loops.Contains, found)), _withoutLoops);
        }

        problems.AddRange(_loopProblems ?? []);
        return _withoutLoops;
    }

    /// <summary>The cluster of a lingering listener of this service.</summary>
    public ClusterPlan Lingering(ServiceReader reader, ListenerPlan listener)
    {
        _lingering ??= new Dictionary<string, ClusterPlan>(StringComparer.Ordinal);
        if (!_lingering.TryGetValue(listener.Cluster, out ClusterPlan? cluster))
        {
            _lingering[listener.Cluster] = cluster = reader.ReadLingering(listener, InstancesOf(Facts));
        }

        return cluster;
    }
}

/// <summary>
/// Remembers what followed from each service, by reference of its facts. A source gives the same object for a service that did
/// not change, so of 10,000 services only the one that did is read again.
/// </summary>
internal sealed class ServiceMemo
{
    private readonly Dictionary<string, MemoEntry> _entries = new(StringComparer.Ordinal);
    private int _generation;
    private ServiceReader? _reader;

    /// <summary>Every service of the input by name (ordinal), read again only where its facts or the options changed.</summary>
    public List<MemoEntry> Read(IReadOnlyList<CatalogSnapshot> catalogs, ServiceReader reader)
    {
        bool otherOptions = _reader != reader;
        _reader = reader;
        _generation++;
        List<MemoEntry> result = new(catalogs.Sum(c => c.Services.Count));
        _entries.EnsureCapacity(result.Capacity);
        if (catalogs.Count == 1)
        {
            foreach ((string name, Service service) in catalogs[0].Services)
            {
                result.Add(Entry(name, new ReadOnlySpan<Service>(in service), otherOptions));
            }
        }
        else
        {
            // Sorting is stable: of equal names the catalog that is configured first comes first.
            (string Name, Service Service)[] all =
            [
                .. catalogs.SelectMany(c => c.Services.Select(s => (s.Key, s.Value))).OrderBy(s => s.Key, StringComparer.Ordinal),
            ];
            Service[] facts = Array.ConvertAll(all, s => s.Service);
            for (int i = 0, end; i < all.Length; i = end)
            {
                for (end = i + 1; end < all.Length && all[end].Name == all[i].Name;)
                {
                    end++;
                }

                result.Add(Entry(all[i].Name, facts.AsSpan(i, end - i), otherOptions));
            }
        }

        if (_entries.Count > result.Count)
        {
            foreach ((string name, MemoEntry entry) in _entries)
            {
                if (entry.Generation != _generation)
                {
                    _entries.Remove(name);
                }
            }
        }

        return result;
    }

    /// <summary>A service of the latest input, or null.</summary>
    public MemoEntry? Find(string service) => _entries.GetValueOrDefault(service);

    private MemoEntry Entry(string name, ReadOnlySpan<Service> facts, bool otherOptions)
    {
        _entries.TryGetValue(name, out MemoEntry? entry);
        if (entry is null || otherOptions || !SameObjects(entry.Facts, facts))
        {
            Service[] kept = facts.ToArray();
            ServiceClaims claims = _reader!.Read(name, MemoEntry.InstancesOf(kept), entry?.Claims);
            _entries[name] = entry = new MemoEntry(kept, claims);
        }

        entry.Generation = _generation;
        return entry;
    }

    private static bool SameObjects(Service[] known, ReadOnlySpan<Service> now)
    {
        if (known.Length != now.Length)
        {
            return false;
        }

        for (int i = 0; i < known.Length; i++)
        {
            if (!ReferenceEquals(known[i], now[i]))
            {
                return false;
            }
        }

        return true;
    }
}
