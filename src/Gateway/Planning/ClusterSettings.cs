using System.Globalization;

namespace Gateway.Planning;

/// <summary>The effective values of one cluster, folded from slots of canonical text; an empty slot means the default.</summary>
internal sealed record ClusterSettings
{
    /// <summary>How many slots there are.</summary>
    public const int Slots = (int)SettingSlot.Weight + 1;

    /// <summary>Nobody said anything.</summary>
    public static readonly ClusterSettings Default = new();

    private static readonly string[] Defaults =
        ["roundrobin", "auto", "10s", "1s", "2s", "1", "1", "5s", "1m", "1h", "on", "auto", ""];

    private static readonly string[] Names =
    [
        "balance", "check", "check.interval", "check.fastInterval", "check.timeout", "check.rise", "check.fall",
        "timeouts.connect", "timeouts.response", "timeouts.tunnel", "forwardedFor", "protocol", "weight",
    ];

    /// <summary>How work is shared.</summary>
    public BalanceAlgorithm Balance { get; private init; }

    /// <summary>What is spoken to the destinations.</summary>
    public UpstreamProtocol Upstream { get; private init; }

    /// <summary>The active check; auto is not resolved yet.</summary>
    public CheckPlan Check { get; private init; } = new();

    /// <summary>Timeouts by phase.</summary>
    public TimeoutsPlan Timeouts { get; private init; } = new();

    /// <summary>Whether X-Forwarded-For is appended.</summary>
    public bool ForwardedFor { get; private init; } = true;

    /// <summary>The canonical text of a slot's default; empty where saying nothing has no text.</summary>
    public static string DefaultOf(SettingSlot slot) => Defaults[(int)slot];

    /// <summary>The name of a slot in messages: the shortest key that sets it.</summary>
    public static string NameOf(SettingSlot slot) => Names[(int)slot];

    /// <summary>Reads slots of canonical text.</summary>
    public static ClusterSettings From(ReadOnlySpan<string?> slots)
    {
        if (!slots.ContainsAnyExcept((string?)null))
        {
            return Default;
        }

        string check = Text(slots, SettingSlot.Check);
        TimeSpan interval = Time(slots, SettingSlot.CheckInterval);
        TimeSpan fast = Time(slots, SettingSlot.CheckFastInterval);
        return new ClusterSettings
        {
            Balance = Text(slots, SettingSlot.Balance) == "leastconn" ? BalanceAlgorithm.LeastConn : BalanceAlgorithm.RoundRobin,
            Upstream = Text(slots, SettingSlot.Protocol) switch
            {
                "http1" => UpstreamProtocol.Http1,
                "h2c" => UpstreamProtocol.H2c,
                _ => UpstreamProtocol.Auto,
            },
            Check = new CheckPlan
            {
                Kind = check switch
                {
                    "auto" => CheckKind.Auto,
                    "tcp" => CheckKind.Tcp,
                    "none" => CheckKind.None,
                    _ => CheckKind.Http,
                },
                Path = check[0] == '/' ? check : Default.Check.Path,
                Interval = interval,

                // A state in question is never probed more slowly than a settled one.
                FastInterval = fast < interval ? fast : interval,
                Timeout = Time(slots, SettingSlot.CheckTimeout),
                Rise = Number(slots, SettingSlot.CheckRise),
                Fall = Number(slots, SettingSlot.CheckFall),
            },
            Timeouts = new TimeoutsPlan
            {
                Connect = Time(slots, SettingSlot.TimeoutConnect),
                Response = Time(slots, SettingSlot.TimeoutResponse),
                Tunnel = Time(slots, SettingSlot.TimeoutTunnel),
            },
            ForwardedFor = Text(slots, SettingSlot.ForwardedFor) == "on",
        };
    }

    private static string Text(ReadOnlySpan<string?> slots, SettingSlot slot) => slots[(int)slot] ?? Defaults[(int)slot];

    private static int Number(ReadOnlySpan<string?> slots, SettingSlot slot) =>
        int.Parse(Text(slots, slot), CultureInfo.InvariantCulture);

    // Canonical text was written by Units, so it reads back; anything else is our own mistake.
    private static TimeSpan Time(ReadOnlySpan<string?> slots, SettingSlot slot) =>
        Units.TryDuration(Text(slots, slot), out TimeSpan time)
            ? time
            : throw new InvalidOperationException($"'{Text(slots, slot)}' is not canonical for {slot}");
}
