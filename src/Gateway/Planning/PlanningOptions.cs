using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>Where an environment is reached: the port rule and the host rule, with <c>{port}</c> and <c>{host}</c> in them.</summary>
/// <param name="Name">The tag, compared without case.</param>
/// <param name="Port">For example <c>{port}</c> or <c>1{port}</c>.</param>
/// <param name="Host">For example <c>{host}</c> or <c>staging-{host}</c>.</param>
public sealed record EnvironmentRule(string Name, string Port, string Host);

/// <summary>A port that is not up for grabs, and whose it is: <c>admin</c>, <c>embedded catalog</c>.</summary>
public sealed record ReservedPort(int Port, string Owner)
{
    /// <summary>Owner of the embedded catalog's port: the one of our own listeners that a static service may lead to.</summary>
    public const string EmbeddedCatalog = "embedded catalog";
}

/// <summary>One value a file gives to a service: a flattened key of a <c>services</c> entry.</summary>
/// <param name="Key">For example <c>check.http</c>.</param>
/// <param name="Value">As text.</param>
/// <param name="Place">For example <c>gateway.yaml:31:5</c>.</param>
public sealed record SettingEntry(string Key, string Value, string Place);

/// <summary>Hand tuning of one service: <c>NAME</c>, or <c>NAME@ENV</c>.</summary>
public sealed record ServiceSettings(string Name, string? Environment, EquatableArray<SettingEntry> Entries);

/// <summary>A listener of the edge. It is Gateway's own: no service can take it.</summary>
/// <param name="Address">An IP address, or <c>*</c> for every address.</param>
/// <param name="Port">1-65535.</param>
/// <param name="Tls">HTTPS instead of HTTP.</param>
public sealed record EdgeListener(string Address, int Port, bool Tls);

/// <summary>A host of the edge that the file gives to a service; it wins over tags.</summary>
/// <param name="Host">A DNS name, or <c>*.</c> before one.</param>
/// <param name="PathPrefix">On segment borders; <c>/</c> for all.</param>
/// <param name="Service">Name of the service.</param>
/// <param name="Environment">Exactly this host leads there; null: all environments, each by its host rule.</param>
/// <param name="Place">For example <c>gateway.yaml:31:5</c>.</param>
public sealed record EdgeHost(string Host, string PathPrefix, string Service, string? Environment, string Place);

/// <summary>A well-known service that is in no catalog: <c>static</c> of the file.</summary>
/// <param name="Name">Its name; its environment is called <c>static</c>.</param>
/// <param name="Port">Where it is reached, literally: no environment's port rule applies. 1-65535.</param>
/// <param name="Servers">Its servers, <c>HOST:PORT</c> or <c>[V6]:PORT</c>.</param>
/// <param name="Entries">Settings as of a <c>services</c> entry; <c>protocol</c> also takes <c>http</c> (default) and <c>tcp</c>.</param>
/// <param name="Place">For example <c>gateway.yaml:31:5</c>.</param>
public sealed record StaticService(
    string Name, int Port, EquatableArray<string> Servers, EquatableArray<SettingEntry> Entries, string Place);

/// <summary>Options of the planner.</summary>
public sealed record PlanningOptions
{
    /// <summary>Environment of instances that carry no environment tag. Default <c>production</c>.</summary>
    public string DefaultEnvironment { get; init; } = "production";

    /// <summary>Known environments, in the order of the file.</summary>
    public EquatableArray<EnvironmentRule> Environments { get; init; } =
        [new("production", "{port}", "{host}"), new("staging", "1{port}", "staging-{host}")];

    /// <summary>Ports of Gateway's own on the internal addresses; they always win.</summary>
    public EquatableArray<ReservedPort> Reserved { get; init; }

    /// <summary>Hand tuning from the file.</summary>
    public EquatableArray<ServiceSettings> Services { get; init; }

    /// <summary>Services outside every catalog; of ports they win all but <see cref="Reserved"/>.</summary>
    public EquatableArray<StaticService> Static { get; init; }

    /// <summary>Addresses that are this host, for finding destinations that are our own listeners (loops).</summary>
    public EquatableArray<string> OwnAddresses { get; init; } = ["127.0.0.1", "::1", "localhost"];

    /// <summary>Whether edge listeners exist; without them host tags are checked but make no routes.</summary>
    public bool Edge { get; init; }

    /// <summary>Listeners of the edge.</summary>
    public EquatableArray<EdgeListener> EdgeListeners { get; init; }

    /// <summary>Hosts of the edge from the file.</summary>
    public EquatableArray<EdgeHost> EdgeHosts { get; init; }
}
