using System.Text.Json.Serialization;

namespace Gateway.Admin;

// What the admin API answers: plain records, one shape for machines (JSON) and for the command line's tables. Public, because
// the command line and other programs read them back.

/// <summary>One source of the catalog.</summary>
public sealed record SourceView(string Name, bool Reported, DateTimeOffset? LastContact, double? AgeSeconds, string Mode, int Problems)
{
    /// <summary>When the last known good that serves until it reports was last confirmed; null once it has reported.</summary>
    public DateTimeOffset? LastKnownGood { get; init; }
}

/// <summary>The process as a whole: <c>/api/v1/status</c>.</summary>
public sealed record StatusView
{
    /// <summary>Process id.</summary>
    public required int Pid { get; init; }

    /// <summary>Generation, counted from 1 over upgrades.</summary>
    public required int Generation { get; init; }

    /// <summary>Version of the program.</summary>
    public required string Version { get; init; }

    /// <summary><c>starting</c>, <c>ready</c>, <c>draining</c>, <c>stopped</c>.</summary>
    public required string State { get; init; }

    /// <summary>What <c>/readyz</c> says while the last known good serves; null otherwise.</summary>
    public string? Degraded { get; init; }

    /// <summary>Start of this process.</summary>
    public required DateTimeOffset StartedAt { get; init; }

    /// <summary>The generation before, while it drains; null when there is none.</summary>
    public object? Previous { get; init; }

    /// <summary>What runs the traffic.</summary>
    public required string Engine { get; init; }

    /// <summary>State directory.</summary>
    public required string StateDirectory { get; init; }

    /// <summary>Plans applied, and when the last one was.</summary>
    public required long Applies { get; init; }

    /// <summary>When the plan in force was applied.</summary>
    public DateTimeOffset? AppliedAt { get; init; }

    /// <summary>Services in the plan.</summary>
    public required int Services { get; init; }

    /// <summary>Listeners in the plan.</summary>
    public required int Listeners { get; init; }

    /// <summary>Destinations, and how many of them take new work.</summary>
    public required int Destinations { get; init; }

    /// <summary>Destinations that take new work.</summary>
    public required int Usable { get; init; }

    /// <summary>HTTP connections open.</summary>
    public required int HttpConnections { get; init; }

    /// <summary>HTTP requests under way.</summary>
    public required int HttpRequests { get; init; }

    /// <summary>TCP relays open.</summary>
    public required int TcpRelays { get; init; }

    /// <summary>Client connections at a time, in force: min(configured, (descriptor limit − listeners − 500) / 2).</summary>
    public required int MaxConnections { get; init; }

    /// <summary>Where that comes from: a place of the file, a variable, <c>key NAME</c> (of the KV store), or <c>default</c>.</summary>
    public required string MaxConnectionsFrom { get; init; }

    /// <summary>Problems standing.</summary>
    public required int Problems { get; init; }

    /// <summary>Sources.</summary>
    public required IReadOnlyList<SourceView> Sources { get; init; }
}

/// <summary>One destination.</summary>
public sealed record InstanceView
{
    /// <summary>Instance as NODE/ID.</summary>
    public required string Instance { get; init; }

    /// <summary>ADDRESS:PORT.</summary>
    public required string Address { get; init; }

    /// <summary>Whether it takes new work.</summary>
    public required bool Usable { get; init; }

    /// <summary>Why it does, or does not.</summary>
    public required string Reason { get; init; }

    /// <summary>The catalog's verdict.</summary>
    public required string Reported { get; init; }

    /// <summary>Whether the active check lets it.</summary>
    public required bool Up { get; init; }

    /// <summary>Last check in words.</summary>
    public string? Check { get; init; }

    /// <summary>Since when its check says so.</summary>
    public DateTimeOffset? Since { get; init; }

    /// <summary>Weight in force.</summary>
    public required int Weight { get; init; }

    /// <summary>Requests and relays under way.</summary>
    public required int InFlight { get; init; }

    /// <summary>Requests and relays so far.</summary>
    public required long Requests { get; init; }

    /// <summary>Attempts that failed so far.</summary>
    public required long Failures { get; init; }
}

/// <summary>One service in one environment.</summary>
public sealed record EnvironmentView
{
    /// <summary>Identity.</summary>
    public required string Cluster { get; init; }

    /// <summary>Environment.</summary>
    public required string Environment { get; init; }

    /// <summary>Where it is reached.</summary>
    public required IReadOnlyList<string> Listeners { get; init; }

    /// <summary>How work is shared.</summary>
    public required string Balance { get; init; }

    /// <summary>The active check in words.</summary>
    public required string Check { get; init; }

    /// <summary>Every value in force with where it comes from; only where one service is asked for, else null.</summary>
    public IReadOnlyList<SettingView>? Settings { get; init; }

    /// <summary>Destinations.</summary>
    public required IReadOnlyList<InstanceView> Destinations { get; init; }
}

/// <summary>One value in force: a key of a <c>services</c> entry, and where it comes from.</summary>
public sealed record SettingView(string Key, string Value, string From);

/// <summary>One service.</summary>
public sealed record ServiceView(string Name, IReadOnlyList<EnvironmentView> Clusters);

/// <summary>One route.</summary>
public sealed record RouteView(string Listener, string Host, string Path, string Service, string Environment, string Cluster, string Lane, string Upstream);

/// <summary>One listener.</summary>
public sealed record ListenerView
{
    /// <summary>Listener as <c>:3000</c>.</summary>
    public required string Listener { get; init; }

    /// <summary><c>http</c> or <c>tcp</c>.</summary>
    public required string Protocol { get; init; }

    /// <summary>Owner.</summary>
    public required string Service { get; init; }

    /// <summary>Environment.</summary>
    public required string Environment { get; init; }

    /// <summary><c>bound</c>, <c>partly bound</c>, <c>not bound</c>, <c>lingering</c>.</summary>
    public required string State { get; init; }

    /// <summary>Addresses it is bound on.</summary>
    public required IReadOnlyList<string> Addresses { get; init; }

    /// <summary>Connections open.</summary>
    public required int Connections { get; init; }
}

/// <summary>One problem: <c>/api/v1/problems</c>. Absent parts are null.</summary>
public sealed record ProblemView(
    string Code, string? Service, string? Instance, string Place, string? Value, string? Allowed, string Now, DateTimeOffset Since);

/// <summary>What a command did.</summary>
public sealed record CommandResult(bool Done, string Message);

/// <summary>Serializers of the views, generated at build time.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(StatusView))]
[JsonSerializable(typeof(IReadOnlyList<ServiceView>))]
[JsonSerializable(typeof(IReadOnlyList<RouteView>))]
[JsonSerializable(typeof(IReadOnlyList<ListenerView>))]
[JsonSerializable(typeof(IReadOnlyList<InstanceView>))]
[JsonSerializable(typeof(IReadOnlyList<ProblemView>))]
[JsonSerializable(typeof(CommandResult))]
public sealed partial class AdminJson : JsonSerializerContext;
