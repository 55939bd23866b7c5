using Gateway.Admin;
using Gateway.Control;
using Gateway.Catalog;
using Gateway.DataPlane.Http;
using Gateway.DataPlane.Listening;
using Gateway.Discovery.Consul;
using Gateway.Discovery.EmbeddedCatalog;
using Gateway.Discovery.FileCatalogs;
using Gateway.Lifecycle;
using Gateway.Observability;
using Gateway.Planning;

namespace Gateway;

/// <summary>Everything an operator or an embedding program can choose. Each part belongs to the room that uses it.</summary>
public sealed record GatewayOptions
{
    /// <summary>Consul as a source; null: not used.</summary>
    public ConsulOptions? Consul { get; init; }

    /// <summary>The embedded catalog as a source; null: not used.</summary>
    public EmbeddedCatalogOptions? Embedded { get; init; }

    /// <summary>Files as a source; null: not used.</summary>
    public FileCatalogOptions? Files { get; init; }

    /// <summary>When a source that suddenly knows much less is not believed at once.</summary>
    public GuardOptions Guard { get; init; } = new();

    /// <summary>How long a port stays open after its last claim is gone, 0 or more. Default 10s.</summary>
    public TimeSpan PortGrace { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Directory of state and of the sockets under <c>run/</c>. Default <c>/var/lib/gateway</c>.</summary>
    public string StateDirectory { get; init; } = "/var/lib/gateway";

    /// <summary>
    /// <c>loops</c> (plain HTTP/1.1 and TCP on event loops of our own, the rest in Kestrel; Linux) or <c>kestrel</c> (all of it there). Default
    /// <c>loops</c>.
    /// </summary>
    public string Engine { get; init; } = "loops";

    /// <summary>Environments, default environment, hand tuning.</summary>
    public PlanningOptions Planning { get; init; } = new();

    /// <summary>Addresses of the per-service ports.</summary>
    public ListeningOptions Listening { get; init; } = new();

    /// <summary>The edge; null: no edge port opens. Its hosts are in <see cref="Planning"/>.</summary>
    public EdgeOptions? Edge { get; init; }

    /// <summary>
    /// Peers of the edge whose forwarding headers are believed: addresses and networks like <c>10.0.0.0/8</c>. Default none.
    /// </summary>
    public EquatableArray<string> TrustedProxies { get; init; }

    /// <summary>The admin address.</summary>
    public AdminOptions Admin { get; init; } = new();

    /// <summary>How the process ends.</summary>
    public DrainOptions Drain { get; init; } = new();

    /// <summary>How the process is replaced.</summary>
    public UpgradeOptions Upgrade { get; init; } = new();

    /// <summary>What is logged.</summary>
    public LogOptions Log { get; init; } = new();

    /// <summary>Client connections at a time. Default 50000; lowered to what the descriptor limit allows.</summary>
    public int MaxConnections { get; init; } = 50000;

    /// <summary>Where <see cref="MaxConnections"/> comes from, for people; a variable of ours (<c>GATEWAY__…</c>) wins over the key.</summary>
    public string MaxConnectionsPlace { get; init; } = "default";

    /// <summary>
    /// Key in the KV store of Consul, or of the embedded catalog, whose number takes the place of <see cref="MaxConnections"/> while
    /// it is there; null: none is watched.
    /// </summary>
    public string? MaxConnectionsKey { get; init; } = "service/haproxy/maxconn";
}
