using Gateway.Catalog;
using Gateway.DataPlane.Health;
using Gateway.Planning;

namespace Gateway.DataPlane.Balancing;

/// <summary>A cluster at one moment, for the admin API.</summary>
internal sealed record ClusterView
{
    /// <summary>Identity.</summary>
    public required string Id { get; init; }

    /// <summary>Name of the service.</summary>
    public required string Service { get; init; }

    /// <summary>Name of the environment.</summary>
    public required string Environment { get; init; }

    /// <summary>How work is shared.</summary>
    public required BalanceAlgorithm Balance { get; init; }

    /// <summary>How destinations are probed.</summary>
    public required CheckPlan Check { get; init; }

    /// <summary>Destinations that may have new work.</summary>
    public required int Usable { get; init; }

    /// <summary>Every destination of the plan, in the order of identities.</summary>
    public required EquatableArray<DestinationView> Destinations { get; init; }

    /// <summary>Destinations that left the plan and still have work in flight.</summary>
    public required EquatableArray<DestinationView> Draining { get; init; }
}

/// <summary>A destination at one moment, for the admin API.</summary>
internal sealed record DestinationView
{
    /// <summary><c>NODE/ID</c>.</summary>
    public required string Instance { get; init; }

    /// <summary><c>ADDRESS:PORT</c>.</summary>
    public required string Address { get; init; }

    /// <summary>Share of the work.</summary>
    public required int Weight { get; init; }

    /// <summary>The catalog's verdict.</summary>
    public required ReportedHealth Reported { get; init; }

    /// <summary>The active check's verdict.</summary>
    public required bool Up { get; init; }

    /// <summary>Whether it may have new work.</summary>
    public required bool Usable { get; init; }

    /// <summary>It refused a connect since its last good probe.</summary>
    public required bool Suspect { get; init; }

    /// <summary>It left the plan and finishes its work.</summary>
    public required bool Draining { get; init; }

    /// <summary>Requests and relays under way.</summary>
    public required int InFlight { get; init; }

    /// <summary>Requests and relays ever given to it.</summary>
    public required long Requests { get; init; }

    /// <summary>Of these, failed on its side, refused connects included.</summary>
    public required long Failures { get; init; }

    /// <summary>Connects refused, reset or timed out.</summary>
    public required long ConnectFailures { get; init; }

    /// <summary>Attempts that another destination took over.</summary>
    public required long RetriesAway { get; init; }

    /// <summary>When work last began here, or null.</summary>
    public required DateTimeOffset? LastUsed { get; init; }

    /// <summary>Evidence of the last probe, like <c>HTTP 503 in 2 ms</c>; null before the first.</summary>
    public required string? LastCheck { get; init; }

    /// <summary>When the last probe ended, or null.</summary>
    public required DateTimeOffset? LastCheckAt { get; init; }

    /// <summary>Why it is suspect, or null.</summary>
    public required string? Suspicion { get; init; }

    /// <summary>Since when it is up or down.</summary>
    public required DateTimeOffset Since { get; init; }

    /// <summary>Its last ten changes, oldest first.</summary>
    public required EquatableArray<HealthTransition> History { get; init; }

    /// <summary>Looks at <paramref name="destination"/> now.</summary>
    public static DestinationView Of(DestinationState destination, bool draining)
    {
        DestinationPlan plan = destination.Plan;
        HealthView health = destination.Health.View();
        return new DestinationView
        {
            Instance = plan.Instance.ToString(),
            Address = plan.EndPoint,
            Weight = plan.Weight,
            Reported = plan.Reported,
            Up = health.Up,
            Usable = !draining && plan.Admitted && health.Up,
            Suspect = health.Suspicion is not null,
            Draining = draining,
            InFlight = destination.InFlight,
            Requests = destination.Requests,
            Failures = destination.Failures,
            ConnectFailures = health.ConnectFailures,
            RetriesAway = destination.RetriesAway,
            LastUsed = destination.LastUsed,
            LastCheck = health.LastCheck,
            LastCheckAt = health.LastCheckAt,
            Suspicion = health.Suspicion,
            Since = health.Since,
            History = health.History,
        };
    }
}
