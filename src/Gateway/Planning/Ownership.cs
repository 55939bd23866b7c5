using System.Globalization;
using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>
/// Who gets a port, or a host and path, that several ask for: Gateway's own, then the file's (static services and external.hosts,
/// T3), then who holds it now and still asks, then the older service (lowest CreateIndex), then the name. Never two: SO_REUSEPORT
/// would split the connections between strangers.
/// </summary>
internal sealed class Ownership
{
    private const int PortCount = 65536;

    // One slot per port, so that granting is one read and listing is in order without sorting. Reused from plan to plan.
    private readonly Claim?[] _granted = new Claim?[PortCount];
    private readonly ListenerPlan?[] _present = new ListenerPlan?[PortCount];
    private readonly string?[] _reserved = new string?[PortCount];
    private readonly Dictionary<(string Host, string Prefix), Claim> _hosts = [];
    private readonly Dictionary<(string Host, string Prefix), string> _presentHosts = [];

    /// <summary>Starts over with what is fixed: Gateway's own ports, and the owners of the plan in force.</summary>
    public void Begin(PlanInput input)
    {
        Array.Clear(_granted);
        Array.Clear(_present);
        Array.Clear(_reserved);
        _hosts.Clear();
        _presentHosts.Clear();
        foreach (ReservedPort reserved in input.Options.Reserved.AsSpan())
        {
            if (reserved.Port is > 0 and < PortCount)
            {
                _reserved[reserved.Port] ??= reserved.Owner;
            }
        }

        foreach (ListenerPlan listener in input.Present.AsSpan())
        {
            if (listener.Key.Scope == ListenerKey.Internal && listener.Key.Port is > 0 and < PortCount)
            {
                _present[listener.Key.Port] = listener;
            }
        }

        foreach (RoutePlan route in input.PresentRoutes.AsSpan())
        {
            if (route.Listener.Scope != ListenerKey.Internal)
            {
                _presentHosts[(route.Host, route.PathPrefix)] = route.Cluster;
            }
        }
    }

    /// <summary>Takes the wishes of one service into account.</summary>
    public void Offer(ServiceClaims claims)
    {
        foreach (Claim claim in claims.Ports)
        {
            int port = claim.Listener!.Key.Port;
            if (_reserved[port] is null
                && (_granted[port] is not { } holder || Beats(claim, holder, PortRank(claim), PortRank(holder))))
            {
                _granted[port] = claim;
            }
        }

        foreach (Claim claim in claims.Hosts)
        {
            (string, string) key = (claim.Route!.Host, claim.Route.PathPrefix);
            if (!_hosts.TryGetValue(key, out Claim? holder) || Beats(claim, holder, HostRank(claim), HostRank(holder)))
            {
                _hosts[key] = claim;
            }
        }
    }

    /// <summary>Whether a claim got what it asked for; call after every service has offered.</summary>
    public bool IsGranted(Claim claim) => claim.Listener is { } listener
        ? _granted[listener.Key.Port] == claim
        : _hosts[(claim.Route!.Host, claim.Route.PathPrefix)] == claim;

    /// <summary>Whether the same service got the same host and path by another wish: a tag that says what the file says.</summary>
    public bool IsGrantedToSame(Claim claim) =>
        claim.Route is { } route && claim.Listener is null && _hosts[(route.Host, route.PathPrefix)].Route == route;

    /// <summary>The claim that has a port, or null.</summary>
    public Claim? At(int port) => _granted[port];

    /// <summary>The present listener of a port that nobody claims and Gateway does not need itself, or null.</summary>
    public ListenerPlan? UnclaimedAt(int port) => _granted[port] is null && _reserved[port] is null ? _present[port] : null;

    /// <summary>Whether the port is one of Gateway's own.</summary>
    public bool IsReserved(int port) => _reserved[port] is not null;

    /// <summary>Whether it is the embedded catalog's: it forwards nothing, so what leads there does not go round in a circle.</summary>
    public bool IsEmbeddedCatalog(int port) => _reserved[port] == ReservedPort.EmbeddedCatalog;

    /// <summary>Granted hosts, by host and prefix.</summary>
    public IEnumerable<Claim> Hosts => _hosts.Values
        .OrderBy(c => c.Route!.Host, StringComparer.Ordinal)
        .ThenBy(c => c.Route!.PathPrefix, StringComparer.Ordinal);

    /// <summary>What to tell the loser: whose it is, and why. Stays the same from plan to plan while both services do.</summary>
    public Problem Refusal(Claim claim)
    {
        bool isStatic = claim.By.StaticPlace is not null;
        string environment = $"{claim.By.Service}@{claim.By.Clusters[claim.Cluster].Environment}";
        string owner;
        string wanted;
        Claim? holder;
        if (claim.Listener is { } listener)
        {
            int port = listener.Key.Port;
            wanted = string.Create(CultureInfo.InvariantCulture, $"port {port}");
            holder = _reserved[port] is null ? _granted[port] : null;
            owner = holder is null ? $"{_reserved[port]} (Gateway's own ports always win)" : OwnerName(holder);
        }
        else
        {
            wanted = $"host {claim.Route!.Host}{(claim.Route.PathPrefix == "/" ? "" : claim.Route.PathPrefix)}";
            holder = _hosts[(claim.Route.Host, claim.Route.PathPrefix)];
            owner = OwnerName(holder);
        }

        bool own = holder?.By == claim.By && holder.Environment == claim.Environment && holder.Rule is null;
        return new Problem
        {
            Code = claim.Listener is null ? ProblemCodes.HostTaken : ProblemCodes.PortTaken,
            Service = claim.By.Service,
            Instance = isStatic || claim.Rule is not null ? null : claim.Carrier.ToString(),
            Place = claim.Rule?.Place ?? claim.By.StaticPlace ?? "tag",
            Value = isStatic ? $"port: {claim.Listener!.Key.Port}" : claim.Tag,
            Allowed = claim.Listener is null ? "a host and path that nobody else has" : "a port that nobody else has",
            Now = own
                ? $"tag ignored for {environment}: {wanted} has its own tag {holder!.Tag}; keep one of the two"
                : $"{environment} is not reachable there: {wanted} belongs to {owner}{(holder is null ? "" : $", {Reason(claim, holder)}")}; "
                    + "choose another, or take it from its owner first",
        };
    }

    // Told by what the two are, not by who held it in the plan before: the winner of the first plan is the present owner of the
    // second, and the same fact must not be a new problem.
    private static string Reason(Claim loser, Claim holder)
    {
        int younger = loser.By.Seniority.CompareTo(holder.By.Seniority);
        return holder.Rule is not null ? $"to which external.hosts gives it ({holder.Rule.Place})"
            : holder.By.StaticPlace is not null && loser.By.StaticPlace is null ? "and static services always win"
            : loser.By == holder.By && holder.Environment < loser.Environment ? "the first of its environments in the file"
            : younger > 0 ? loser.By.Seniority == ulong.MaxValue
                ? "whose CreateIndex is known" : "which was registered first (lower CreateIndex)"
            : younger == 0 && string.CompareOrdinal(loser.By.Service, holder.By.Service) > 0 ? "which comes first by name (neither is older)"
            : "which has it already and still asks for it";
    }

    // An environment's port opens, and counts, also before it has an instance; whoever wonders must be told.
    private static string OwnerName(Claim owner) =>
        $"{owner.By.Service}@{owner.By.Clusters[owner.Cluster].Environment}{(owner.Populated ? "" : " (no instance there yet)")}";

    private static bool Beats(Claim claim, Claim holder, int rank, int holderRank)
    {
        int order = (claim.By.StaticPlace is null).CompareTo(holder.By.StaticPlace is null);
        order = order != 0 ? order : rank.CompareTo(holderRank);
        order = order != 0 ? order : claim.By.Seniority.CompareTo(holder.By.Seniority);
        order = order != 0 ? order : string.CompareOrdinal(claim.By.Service, holder.By.Service);

        // Within one service: the environment named first in the file, then HTTP before TCP.
        order = order != 0 ? order : claim.Environment.CompareTo(holder.Environment);
        order = order != 0 ? order : Protocol(claim).CompareTo(Protocol(holder));
        return order < 0;

        static ListenProtocol Protocol(Claim of) => of.Listener?.Protocol ?? ListenProtocol.Http;
    }

    // How near a claim is to who holds the port now; 3 is a stranger. The same service keeps its port when it changes protocol.
    private int PortRank(Claim claim)
    {
        ListenerPlan wanted = claim.Listener!;
        ListenerPlan? present = _present[wanted.Key.Port];
        return present is null || present.Service != wanted.Service ? 3
            : present.Environment != wanted.Environment ? 2
            : present.Protocol != wanted.Protocol ? 1
            : 0;
    }

    // A host's owner is known by its cluster only, and a service that is split by port, or no more, is still the same service.
    // What the file says wins over every tag, and a host that it names over one that follows from a host rule.
    private int HostRank(Claim claim)
    {
        if (claim.Rule is { } rule)
        {
            return rule.Host == claim.Route!.Host ? -2 : -1;
        }

        string? present = _presentHosts.GetValueOrDefault((claim.Route!.Host, claim.Route.PathPrefix));
        return present is null || !IsOf(claim.By.Service, present) ? 3
            : !IsOf($"{claim.By.Service}@{claim.By.Clusters[claim.Cluster].Environment}", present, ':') ? 2
            : present != claim.Route.Cluster ? 1
            : 0;
    }

    // SERVICE@ENV or SERVICE@ENV:PORT, and no environment has an @ or : in its name, but a service may.
    private static bool IsOf(string service, string cluster) =>
        cluster.LastIndexOf('@') == service.Length && cluster.StartsWith(service, StringComparison.Ordinal);

    private static bool IsOf(string whole, string cluster, char end) =>
        cluster.StartsWith(whole, StringComparison.Ordinal) && (cluster.Length == whole.Length || cluster[whole.Length] == end);
}
