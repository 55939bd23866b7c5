using System.Collections.Frozen;
using System.Globalization;
using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>What a cluster can be told. Several keys may tell the same: <c>check</c>, <c>check.http</c>, <c>check.tcp</c>.</summary>
internal enum SettingSlot
{
    Balance,
    Check,
    CheckInterval,
    CheckFastInterval,
    CheckTimeout,
    CheckRise,
    CheckFall,
    TimeoutConnect,
    TimeoutResponse,
    TimeoutTunnel,
    ForwardedFor,
    Protocol,
    Weight,
}

/// <summary>What is wrong with a value.</summary>
internal enum SettingFault
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>It is none of what is allowed.</summary>
    Invalid,

    /// <summary>It is a promise of the contract that this version does not keep yet.</summary>
    NotBuilt,
}

/// <summary>A value in one spelling per meaning, so that <c>10s</c> and <c>10000ms</c> agree. Null says nothing at all.</summary>
internal readonly record struct SettingReading(string? Canonical, SettingFault Fault = SettingFault.None)
{
    public static readonly SettingReading Silent;
    public static readonly SettingReading Invalid = new(null, SettingFault.Invalid);
    public static readonly SettingReading NotBuilt = new(null, SettingFault.NotBuilt);
}

/// <summary>One key of a <c>services</c> entry.</summary>
internal sealed record SettingKey(string Name, SettingSlot? Slot, string Allowed, Func<string, SettingReading> Read);

/// <summary>
/// The keys of a <c>services</c> entry, flattened with dots, and the values each takes. Tags, Meta and files share this one list;
/// a key of the contract that is not built yet is known here, takes the value that changes nothing, and refuses the others.
/// </summary>
internal static class SettingGrammar
{
    /// <summary>The code for a value that its key refused; without a key it is the key that is wrong.</summary>
    public static string CodeOf(SettingKey? key, SettingFault fault) => key is null ? ProblemCodes.KeyUnknown
        : fault == SettingFault.NotBuilt ? ProblemCodes.NotBuilt
        : ProblemCodes.ValueInvalid;

    private static readonly SettingKey[] All =
    [
        Words("balance", SettingSlot.Balance, ["roundrobin", "leastconn"],
            ["static-rr", "random", "p2c", "ewma", "source", "uri", "first", "hash", "url_param", "hdr", "rdp-cookie"]),
        Words("check", SettingSlot.Check, ["auto", "tcp", "none"], ["grpc"]),
        new("check.http", SettingSlot.Check, "a path that begins with /, like /healthcheck", ReadPath),
        new("check.tcp", SettingSlot.Check, "on or off", ReadCheckTcp),
        Later("check.grpc", "off"),
        Duration("check.interval", SettingSlot.CheckInterval, TimeSpan.FromMilliseconds(10), TimeSpan.FromDays(1)),
        Duration("check.fastInterval", SettingSlot.CheckFastInterval, TimeSpan.FromMilliseconds(10), TimeSpan.FromDays(1)),
        Duration("check.timeout", SettingSlot.CheckTimeout, TimeSpan.FromMilliseconds(1), TimeSpan.FromHours(1)),
        Number("check.rise", SettingSlot.CheckRise, 1, 1000),
        Number("check.fall", SettingSlot.CheckFall, 1, 1000),
        Duration("timeouts.connect", SettingSlot.TimeoutConnect, TimeSpan.FromMilliseconds(1), TimeSpan.FromHours(1)),
        LaterDuration("timeouts.request", "10s"),
        LaterDuration("timeouts.queue", "5s"),
        Duration("timeouts.response", SettingSlot.TimeoutResponse, TimeSpan.FromMilliseconds(1), TimeSpan.FromDays(7)),
        LaterDuration("timeouts.keepAlive", "60s"),
        Duration("timeouts.tunnel", SettingSlot.TimeoutTunnel, TimeSpan.FromMilliseconds(1), TimeSpan.FromDays(7)),
        new("forwardedFor", SettingSlot.ForwardedFor, "on or off", ReadSwitch),
        Words("protocol", SettingSlot.Protocol, ["auto", "http1", "h2c"], ["h2", "https"]),
        Number("weight", SettingSlot.Weight, 0, 256),
        Later("backup", "off"),
        Later("sticky", "off"),
        Later("maxConnections", "0"),
        Later("slowStart", "0"),
        Later("panicThreshold", "0%", "0"),
        Later("prefer", "off"),
        Later("retries", "off"),
        Later("outlier", "off"),
    ];

    private static readonly FrozenDictionary<string, SettingKey> ByName =
        All.ToFrozenDictionary(k => k.Name, StringComparer.OrdinalIgnoreCase);

    private static readonly FrozenDictionary<string, SettingKey> ByMetaName =
        All.ToFrozenDictionary(k => MetaName(k.Name), StringComparer.Ordinal);

    /// <summary>Every key, also those that are not built yet.</summary>
    public static IReadOnlyList<string> Keys { get; } = [.. All.Select(k => k.Name)];

    /// <summary>Null when the value is fine, else what is wrong: what is allowed, or that the feature is not built yet.</summary>
    public static string? Check(string key, string value)
    {
        if (Find(key) is not { } known)
        {
            return Unknown(key);
        }

        return known.Read(value).Fault switch
        {
            SettingFault.None => null,
            SettingFault.NotBuilt => $"{known.Name} '{Shorten(value)}' is not built yet; allowed is {known.Allowed}",
            _ => $"{known.Name} '{Shorten(value)}' is not allowed; allowed is {known.Allowed}",
        };
    }

    /// <summary>The key of a tag or of a file, compared without case; null when there is none.</summary>
    public static SettingKey? Find(string name) => ByName.GetValueOrDefault(name);

    /// <summary>The key of a Meta entry without <c>gateway_</c>; case, <c>-</c>, <c>_</c> and <c>.</c> do not count.</summary>
    public static SettingKey? FindMeta(string name) => name.Length > 128 ? null : ByMetaName.GetValueOrDefault(MetaName(name));

    /// <summary>What to say of a key that does not exist: the nearest one, or all of them.</summary>
    public static string Unknown(string key) => EditDistance.Nearest(key, Keys) is { } nearest
        ? $"unknown key '{Shorten(key)}'; the nearest is '{nearest}'"
        : $"unknown key '{Shorten(key)}'; known are {string.Join(", ", Keys)}";

    /// <summary>What is allowed in the place of an unknown key: the nearest one, or all of them.</summary>
    public static string NearestOrAll(string key) => EditDistance.Nearest(key, Keys) is { } nearest
        ? $"{nearest} (the nearest key)"
        : $"one of the keys {string.Join(", ", Keys)}";

    private static string MetaName(string name) => string.Create(
        name.Length - name.AsSpan().CountAny('-', '_', '.'),
        name,
        static (span, from) =>
        {
            int at = 0;
            foreach (char c in from)
            {
                if (c is not ('-' or '_' or '.'))
                {
                    span[at++] = char.ToLowerInvariant(c);
                }
            }
        });

    private static string Shorten(string text) => text.Length <= 100 ? text : $"{text[..100]}…";

    private static SettingKey Words(string name, SettingSlot slot, string[] built, string[] later) => new(
        name,
        slot,
        string.Join(", ", built),
        value =>
        {
            // HAProxy writes arguments in parentheses, hdr(cookie), random(2), or after a blank; the name decides here.
            string word = value.AsSpan().IndexOfAny('(', ' ') is > 0 and int cut ? value[..cut] : value;
            string? known = Array.Find(built, b => b.Equals(value, StringComparison.OrdinalIgnoreCase));
            return known is not null ? new SettingReading(known)
                : Array.Exists(later, l => l.Equals(word, StringComparison.OrdinalIgnoreCase)) ? SettingReading.NotBuilt
                : SettingReading.Invalid;
        });

    private static SettingKey Duration(string name, SettingSlot slot, TimeSpan least, TimeSpan most) => new(
        name,
        slot,
        $"{Units.DurationForm}, from {Units.Duration(least)} to {Units.Duration(most)}",
        value => Units.TryDuration(value, out TimeSpan duration) && duration >= least && duration <= most
            ? new SettingReading(Units.Duration(duration))
            : SettingReading.Invalid);

    private static SettingKey Number(string name, SettingSlot slot, int least, int most) => new(
        name,
        slot,
        string.Create(CultureInfo.InvariantCulture, $"a number from {least} to {most}"),
        value => int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int number)
            && number >= least
            && number <= most
                ? new SettingReading(number.ToString(CultureInfo.InvariantCulture))
            : SettingReading.Invalid);

    private static SettingKey Later(string name, params string[] harmless) => new(
        name,
        null,
        $"{string.Join(" or ", harmless)} (the feature is not built yet)",
        value => value is "" or "null" or "~"
            || harmless.Contains(value, StringComparer.OrdinalIgnoreCase)
            || (Units.TryBoolean(value, out bool on) && !on)
                ? SettingReading.Silent
                : SettingReading.NotBuilt);

    private static SettingKey LaterDuration(string name, string @default)
    {
        bool known = Units.TryDuration(@default, out TimeSpan only);
        return new(
            name,
            null,
            $"{@default} (another value is not built yet)",
            value => !Units.TryDuration(value, out TimeSpan given) ? SettingReading.Invalid
                : known && given == only ? SettingReading.Silent
                : SettingReading.NotBuilt);
    }

    private static SettingReading ReadPath(string value)
    {
        // Printable ASCII only: the path goes into a request line as it stands (RFC 9112 §3.2.1); a fragment never does.
        bool fine = value.Length is > 0 and <= 2000
            && value[0] == '/'
            && value.AsSpan().IndexOfAnyExceptInRange('!', '~') < 0
            && !value.Contains('#', StringComparison.Ordinal);
        return fine ? new SettingReading(value) : SettingReading.Invalid;
    }

    private static SettingReading ReadCheckTcp(string value) => !Units.TryBoolean(value, out bool on) ? SettingReading.Invalid
        : on ? new SettingReading("tcp")
        : SettingReading.Silent;

    private static SettingReading ReadSwitch(string value) => Units.TryBoolean(value, out bool on)
        ? new SettingReading(on ? "on" : "off")
        : SettingReading.Invalid;
}
