using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>
/// Catalogs and options in, plan out: a pure function without clock, socket, log or exception. An instance of this class only
/// remembers what it derived for services that did not change; the result never depends on that memory, but what did not change
/// is the same object as in the plan before. One caller at a time.
/// </summary>
internal sealed class Planner
{
    private readonly Ownership _ownership = new();
    private readonly ServiceMemo _memo = new();
    private PlanContext? _context;
    private ServiceReader? _reader;
    private StaticServices? _static;
    private Dictionary<ListenerKey, Lingering> _lingering = [];

    /// <summary>Plans. Never throws for any content of the catalogs.</summary>
    public Plan Plan(PlanInput input)
    {
        // 1. Each service for itself: what it asks for, and what is wrong with it.
        if (_context is null || !(ReferenceEquals(_context.Options, input.Options) || _context.Options == input.Options))
        {
            _context = new PlanContext(input.Options);
            _reader = new ServiceReader(_context);
            _static = new StaticServices(_context, _static);
        }

        List<MemoEntry> services = _memo.Read(input.Catalogs, _reader!, _context.Hosts.Services);

        // 2. All together: who gets which port and host.
        _ownership.Begin(input);
        foreach (MemoEntry service in _static!.Entries)
        {
            _ownership.Offer(service.Claims);
        }

        foreach (MemoEntry service in services)
        {
            _ownership.Offer(service.Claims);
        }

        Draft draft = new([.. _context.Problems, .. _static.Problems]);

        // 3. The edge sorts before the internal listeners ("*", "10.0.0.1", "::", "edge" < "internal").
        draft.Listeners.AddRange(_context.EdgeListeners);
        foreach (Claim host in _ownership.Hosts)
        {
            draft.Routes.Add(host.Route!);
        }

        // 4. Ports in order, with those that linger.
        Dictionary<ListenerKey, Lingering> lingering = [];
        HashSet<int> open = PlanPorts(draft, input, lingering);

        // 5. Clusters behind what was granted, without loops; refusals to the rest.
        foreach (MemoEntry service in _static.Entries)
        {
            PlanClusters(draft, service, port => IsOurs(port, open) && !_ownership.IsEmbeddedCatalog(port));
        }

        Func<int, bool> isOurs = port => IsOurs(port, open);
        foreach (MemoEntry service in services)
        {
            PlanClusters(draft, service, isOurs);
        }

        _lingering = PlanLingeringClusters(draft, lingering, open);
        return draft.Finish();
    }

    private HashSet<int> PlanPorts(Draft draft, PlanInput input, Dictionary<ListenerKey, Lingering> lingering)
    {
        HashSet<int> open = [];
        for (int port = 1; port <= 65535; port++)
        {
            if (_ownership.At(port) is { } claim)
            {
                draft.Listeners.Add(claim.Listener!);
                if (claim.Route is not null)
                {
                    draft.Routes.Add(claim.Route);
                }

                open.Add(port);
            }
            else if (_ownership.UnclaimedAt(port) is { } present && !input.Expired.Contains(present.Key)
                && !WasStatic(present))
            {
                Lingering kept = Linger(present);
                lingering[present.Key] = kept;
                draft.Listeners.Add(kept.Listener);
                if (kept.Route is not null)
                {
                    draft.Routes.Add(kept.Route);
                }

                open.Add(port);
            }
        }

        return open;
    }

    private void PlanClusters(Draft draft, MemoEntry service, Func<int, bool> isOurs)
    {
        ServiceClaims claims = service.Claims;
        draft.Problems.AddRange(claims.Problems);
        if (claims.Clusters.Length == 0)
        {
            return;
        }

        int count = claims.Clusters.Length;
        Span<bool> used = count <= 256 ? stackalloc bool[count] : new bool[count];
        Grant(claims.Ports, draft, used);
        Grant(claims.Hosts, draft, used);
        ClusterPlan[] clusters = service.Clusters(_reader!, isOurs, draft.Problems);
        for (int i = 0; i < used.Length; i++)
        {
            if (used[i])
            {
                draft.Clusters.Add(clusters[i]);
            }
        }
    }

    private void Grant(Claim[] claims, Draft draft, Span<bool> used)
    {
        foreach (Claim claim in claims)
        {
            if (_ownership.IsGranted(claim))
            {
                used[claim.Cluster] = true;
            }
            else if (_ownership.IsGrantedToSame(claim))
            {
                used[claim.Cluster] = true;
            }
            else if (claim.Populated)
            {
                draft.Problems.Add(_ownership.Refusal(claim));
            }
        }
    }

    // A port whose last claim is gone answers as before for its grace (but a static one: its operator took it out): Consul flaps, and a service that comes back must find its
    // port as it left it. Its service may still be there (only the tag went), or be gone, which leaves an empty cluster.
    private Lingering Linger(ListenerPlan present)
    {
        ListenerPlan listener = present.Lingering ? present : present with { Lingering = true };
        ClusterPlan cluster = _memo.Find(present.Service)?.Lingering(_reader!, present) ?? new ClusterPlan
        {
            Id = present.Cluster,
            Service = present.Service,
            Environment = present.Environment,
            Protocol = present.Protocol,
        };
        RoutePlan? route = present.Protocol == ListenProtocol.Http
            ? new RoutePlan { Listener = present.Key, Host = "*", Cluster = present.Cluster }
            : null;

        // What the plan before said of this port is the same object again, if it says the same.
        Lingering? before = _lingering.GetValueOrDefault(present.Key);
        return new Lingering(
            before?.Listener == listener ? before.Listener : listener,
            before?.Route == route ? before?.Route : route,
            cluster);
    }

    // The cluster of a lingering port may well be planned already, for another port of the same service. Of others the loops are
    // taken out without a word: nobody asks for these ports any more.
    private Dictionary<ListenerKey, Lingering> PlanLingeringClusters(
        Draft draft, Dictionary<ListenerKey, Lingering> lingering, HashSet<int> open)
    {
        if (lingering.Count == 0)
        {
            return lingering;
        }

        HashSet<string> planned = new(draft.Clusters.Select(c => c.Id), StringComparer.Ordinal);
        Dictionary<ListenerKey, Lingering> result = [];
        foreach ((ListenerKey key, Lingering port) in lingering)
        {
            ClusterPlan cluster = _reader!.WithoutLoops(port.Cluster, p => IsOurs(p, open), []);
            if (_lingering.TryGetValue(key, out Lingering? before) && before.Cluster == cluster)
            {
                cluster = before.Cluster;
            }

            result[key] = port with { Cluster = cluster };
            if (planned.Add(cluster.Id))
            {
                draft.Clusters.Add(cluster);
            }
        }

        return result;
    }

    private bool WasStatic(ListenerPlan present) => present.Environment == StaticServices.Environment
        && !_context!.EnvironmentIndexes.ContainsKey(StaticServices.Environment);

    private bool IsOurs(int port, HashSet<int> open) => open.Contains(port) || _ownership.IsReserved(port);

    private sealed record Lingering(ListenerPlan Listener, RoutePlan? Route, ClusterPlan Cluster);

    // The plan as it grows. Lists that need no sorting are filled in order.
    private sealed class Draft(IReadOnlyList<Problem> problems)
    {
        public List<ListenerPlan> Listeners { get; } = [];

        public List<RoutePlan> Routes { get; } = [];

        public List<ClusterPlan> Clusters { get; } = [];

        public List<Problem> Problems { get; } = [.. problems];

        public Plan Finish()
        {
            Clusters.Sort(PlanOrder.Clusters);
            Problems.Sort(PlanOrder.Problems);
            return new Plan
            {
                Listeners = Listeners.ToEquatableArray(),
                Routes = Routes.ToEquatableArray(),
                Clusters = Clusters.ToEquatableArray(),
                Problems = WithoutRepeats(Problems).ToEquatableArray(),
            };
        }

        private static IEnumerable<Problem> WithoutRepeats(List<Problem> sorted)
        {
            for (int i = 0; i < sorted.Count; i++)
            {
                if (i == 0 || PlanOrder.Problems(sorted[i - 1], sorted[i]) != 0)
                {
                    yield return sorted[i];
                }
            }
        }
    }
}
