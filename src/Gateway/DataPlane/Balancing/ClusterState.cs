using System.Collections.Immutable;
using Gateway.Catalog;
using Gateway.DataPlane.Health;
using Gateway.Planning;

namespace Gateway.DataPlane.Balancing;

/// <summary>
/// One cluster, live: picks a destination for each request or connection. Plans come in through <see cref="Apply"/>, verdicts
/// through the health of each destination; both end in a new set of usable destinations. What must stay true: whoever keeps
/// identity, address and port keeps the same <see cref="DestinationState"/>, and the position in the round survives everything.
/// </summary>
internal sealed class ClusterState
{
    private readonly Lock _gate = new();
    private readonly HealthProber? _prober;
    private readonly TimeProvider _clock;

    // Written under _gate, each by one reference write; read by every request.
    private volatile ClusterPlan _plan;
    private volatile DestinationState[] _destinations = [];
    private volatile UsableSet _usable = UsableSet.Empty;

    // Under _gate: removed with work in flight. Forgotten when the work is done.
    private ImmutableArray<DestinationState> _draining = [];

    // Starts anywhere, so that a thousand gateways do not march in step through the same list.
    private uint _cursor = (uint)Random.Shared.Next();
    private uint _retries = (uint)Random.Shared.Next();

    /// <summary>Applies the first plan. Without a prober destinations are probed by nobody (tests).</summary>
    public ClusterState(ClusterPlan plan, HealthProber? prober = null, TimeProvider? clock = null)
    {
        _plan = plan with { Destinations = [] };
        _prober = prober;
        _clock = clock ?? TimeProvider.System;
        Apply(plan);
    }

    /// <summary>What it should be now.</summary>
    public ClusterPlan Plan => _plan;

    /// <summary>Every destination, usable or not, in the order of identities.</summary>
    public IReadOnlyList<DestinationState> Destinations => _destinations;

    /// <summary>Destinations that may have new work.</summary>
    public int UsableCount => _usable.Count;

    /// <summary>Destinations that a plan removed and that still have work in flight.</summary>
    public IReadOnlyList<DestinationState> Draining
    {
        get
        {
            lock (_gate)
            {
                return _draining = _draining.RemoveAll(destination => destination.InFlight == 0);
            }
        }
    }

    /// <summary>
    /// A destination planned and seen healthy that is not in <paramref name="tried"/>; null when there is none.
    /// </summary>
    public DestinationState? Pick(ReadOnlySpan<DestinationState> tried) => _usable.Pick(ref _cursor, ref _retries, tried);

    /// <summary>Takes over a new plan of the same cluster.</summary>
    public void Apply(ClusterPlan plan) => Release(Change(plan));

    /// <summary>
    /// Takes over a new plan, and returns who left it. They are to be released once every cluster of the plan has changed: who moves
    /// from one to another goes on from what is known of it.
    /// </summary>
    public IReadOnlyList<DestinationState> Change(ClusterPlan plan)
    {
        List<DestinationState> removed = [];
        lock (_gate)
        {
            ClusterPlan old = _plan;
            bool probedDifferently = plan.Check != old.Check || plan.Upstream != old.Upstream
                || plan.Service != old.Service || plan.Environment != old.Environment;
            Dictionary<InstanceKey, DestinationState> present = [];
            foreach (DestinationState destination in _destinations)
            {
                present[destination.Plan.Instance] = destination;
            }

            // 1. Keep who stays, revive who comes back while draining, add who is new.
            DestinationState[] destinations = new DestinationState[plan.Destinations.Count];
            for (int i = 0; i < destinations.Length; i++)
            {
                DestinationPlan wanted = plan.Destinations[i];
                if (present.Remove(wanted.Instance, out DestinationState? kept))
                {
                    if (IsSameTarget(kept.Plan, wanted))
                    {
                        destinations[i] = Keep(kept, wanted, plan, probedDifferently);
                        continue;
                    }

                    // Another address or port is another process: its health starts afresh, the old one drains.
                    removed.Add(kept);
                }

                destinations[i] = Revive(wanted, plan) ?? Add(wanted, plan);
            }

            // 2. Publish, then let go: new before old.
            _plan = plan;
            _destinations = destinations;
            Republish();
            removed.AddRange(present.Values);
            _draining = [.. _draining.Where(one => one.InFlight > 0), .. removed.Where(one => one.InFlight > 0)];
        }

        return removed;
    }

    /// <summary>Ends the probing of destinations that left.</summary>
    public void Release(IReadOnlyList<DestinationState> removed)
    {
        foreach (DestinationState destination in removed)
        {
            destination.IsRetired = true;
            destination.Health.Changed = null;
            _prober?.Untrack(destination.Health);
        }
    }

    /// <summary>No route leads here any more: probing ends, work in flight goes on.</summary>
    public void Retire() => Release(_destinations);

    /// <summary>What an operator sees of it.</summary>
    public ClusterView View()
    {
        ClusterPlan plan = _plan;
        return new ClusterView
        {
            Id = plan.Id,
            Service = plan.Service,
            Environment = plan.Environment,
            Balance = plan.Balance,
            Check = plan.Check,
            Usable = UsableCount,
            Destinations = [.. _destinations.Select(one => DestinationView.Of(one, false))],
            Draining = [.. Draining.Select(one => DestinationView.Of(one, true))],
        };
    }

    private static bool IsSameTarget(DestinationPlan a, DestinationPlan b) => a.Port == b.Port && a.Address == b.Address;

    private static ProbeTarget Target(DestinationPlan destination, ClusterPlan cluster) => new()
    {
        Service = cluster.Service,
        Environment = cluster.Environment,
        Instance = destination.Instance,
        Address = destination.Address,
        Port = destination.Port,
        Upstream = cluster.Upstream,
        Check = cluster.Check,
    };

    private DestinationState Keep(DestinationState kept, DestinationPlan wanted, ClusterPlan plan, bool probedDifferently)
    {
        bool returns = wanted.Admitted && !kept.Plan.Admitted;
        kept.Plan = wanted;
        if (probedDifferently)
        {
            _prober?.Update(kept.Health, Target(wanted, plan));
        }

        if (returns)
        {
            // The catalog says that something happened there. Waiting for the next regular probe could cost it ten seconds.
            _prober?.ProbeNow(kept.Health);
        }

        return kept;
    }

    private DestinationState? Revive(DestinationPlan wanted, ClusterPlan plan)
    {
        foreach (DestinationState drained in _draining)
        {
            if (drained.Plan.Instance == wanted.Instance && IsSameTarget(drained.Plan, wanted))
            {
                _draining = _draining.Remove(drained);
                drained.Plan = wanted;
                drained.IsRetired = false;
                drained.Health.Changed = Republish;
                _prober?.Track(drained.Health, Target(wanted, plan));
                return drained;
            }
        }

        return null;
    }

    private DestinationState Add(DestinationPlan wanted, ClusterPlan plan)
    {
        DestinationHealth health = new(_clock);
        health.Changed = Republish;
        _prober?.Track(health, Target(wanted, plan));
        return new DestinationState(wanted, health, _clock);
    }

    // Reads the present verdicts under the lock, so the last of several changes always wins.
    private void Republish()
    {
        lock (_gate)
        {
            _usable = new UsableSet(_plan.Balance, _destinations);
        }
    }
}
