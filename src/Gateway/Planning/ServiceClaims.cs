using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>A wish for a port (with a listener) or for a host and path of the edge (with only a route).</summary>
internal sealed class Claim
{
    /// <summary>The listener that would open; null for a host.</summary>
    public ListenerPlan? Listener { get; set; }

    /// <summary>The route that would lead there; null for TCP.</summary>
    public RoutePlan? Route { get; set; }

    /// <summary>Index of the cluster behind it in <see cref="ServiceClaims.Clusters"/>.</summary>
    public required int Cluster { get; init; }

    /// <summary>Index of the environment in the options: the earlier one wins between two of the same service.</summary>
    public required int Environment { get; init; }

    /// <summary>Whether the environment has an instance. Only then does anybody miss a port that cannot open.</summary>
    public required bool Populated { get; init; }

    /// <summary>The listen tag that asks for it; without meaning for a host.</summary>
    public ListenTag Listen { get; init; }

    /// <summary>The host tag that asks for it; null for a port.</summary>
    public HostTag? Host { get; init; }

    /// <summary>The entry of the file that asks for it; null for a tag.</summary>
    public EdgeHost? Rule { get; init; }

    /// <summary>The tag that asks for it, in its one spelling; for an entry of the file its key and value.</summary>
    public string Tag => Rule is { } rule ? FileHosts.Text(rule) : Host?.Text ?? Listen.Text;

    /// <summary>The first instance that carries the tag; without meaning for an entry of the file.</summary>
    public required InstanceKey Carrier { get; init; }

    /// <summary>The service that asks.</summary>
    public ServiceClaims By { get; set; } = null!;
}

/// <summary>
/// Everything that follows from one service and the options alone: what it asks for, and what is wrong with it. Who gets what
/// is decided among all services. Kept as long as the service's facts stay the same object.
/// </summary>
internal sealed class ServiceClaims
{
    /// <summary>Name of the service.</summary>
    public required string Service { get; init; }

    /// <summary>Lowest CreateIndex of its instances, the largest number where none is known: the older service wins.</summary>
    public required ulong Seniority { get; init; }

    /// <summary>Where a static service is written; null for a service of the catalog. Static ones win (T3).</summary>
    public string? StaticPlace { get; init; }

    /// <summary>Wanted ports, by environment and port.</summary>
    public Claim[] Ports { get; init; } = [];

    /// <summary>Wanted hosts, by environment, host and prefix.</summary>
    public Claim[] Hosts { get; init; } = [];

    /// <summary>Clusters behind the claims; only those behind a claim that is granted are planned.</summary>
    public ClusterPlan[] Clusters { get; init; } = [];

    /// <summary>What is wrong, in no order.</summary>
    public required IReadOnlyList<Problem> Problems { get; init; }

    /// <summary>Ports at which instances are registered on our own addresses: loops, if we listen there.</summary>
    public IReadOnlyCollection<int> OwnPorts { get; init; } = [];

    /// <summary>Puts this service's name under its claims.</summary>
    public void Sign()
    {
        foreach (Claim claim in Ports)
        {
            claim.By = this;
        }

        foreach (Claim claim in Hosts)
        {
            claim.By = this;
        }
    }
}
