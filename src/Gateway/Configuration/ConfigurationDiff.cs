using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.Configuration;

/// <summary>A value that differs.</summary>
/// <param name="Key">Dotted path.</param>
/// <param name="Old">In force, as text.</param>
/// <param name="New">In the new configuration, as text.</param>
public sealed record ChangedValue(string Key, string Old, string New)
{
    /// <summary><c>drain.grace: 5s -> 10s</c>.</summary>
    public override string ToString() => $"{Key}: {Old} -> {New}";
}

/// <summary>What a reload does: which values it applies, and which wait for an upgrade.</summary>
/// <param name="Options">The new options, with the values that a reload cannot change kept as they run.</param>
/// <param name="Applied">What changes now.</param>
/// <param name="Kept">What the new file says and a reload cannot do; <see cref="ChangedValue.Old"/> stays in force.</param>
public sealed record ConfigurationDiff(
    GatewayOptions Options, IReadOnlyList<ChangedValue> Applied, IReadOnlyList<ChangedValue> Kept)
{
    // The state directory holds the sockets by which the process is found, the engine owns every connection, and the two
    // listening sockets belong to the process: they move by a handoff only.
    private static readonly string[] s_byUpgrade = ["stateDirectory", "engine", "catalog.embedded.listen", "admin.listen"];

    /// <summary>Compares the options in force with new ones.</summary>
    public static ConfigurationDiff Between(GatewayOptions running, GatewayOptions next)
    {
        GatewayOptions kept = next with
        {
            StateDirectory = running.StateDirectory,
            Engine = running.Engine,
            Embedded = running.Embedded,
            Admin = next.Admin with { Listen = running.Admin.Listen },
        };
        List<string> byUpgrade = [.. s_byUpgrade];
        if (kept is { Consul: null, Embedded: null, Files: null })
        {
            // Only the embedded catalog was to stay, and it cannot open now: without any source every service would go.
            kept = kept with { Consul = running.Consul, Files = running.Files };
            byUpgrade.AddRange(["catalog.consul.address", "catalog.files"]);
        }

        EquatableArray<ReservedPort> reserved = OwnPorts.Of(kept);
        kept = kept with { Planning = kept.Planning with { Reserved = reserved } };
        return new ConfigurationDiff(
            kept,
            Changes(running, kept),
            [.. Changes(running, next).Where(c => byUpgrade.Contains(c.Key, StringComparer.Ordinal))]);
    }

    /// <summary>For the log: what is applied, then what waits.</summary>
    public IEnumerable<string> Lines() =>
        Applied.Select(c => c.ToString())
            .Concat(Kept.Select(c => $"{c.Key}: stays {c.Old}; {c.New} takes an upgrade (gateway upgrade)"));

    private static List<ChangedValue> Changes(GatewayOptions old, GatewayOptions @new)
    {
        List<KeyValuePair<string, string>> before = [.. OptionsListing.Of(old)];
        List<KeyValuePair<string, string>> after = [.. OptionsListing.Of(@new)];
        Dictionary<string, string> was = new(before, StringComparer.Ordinal);
        Dictionary<string, string> becomes = new(after, StringComparer.Ordinal);
        return
        [
            .. before.Concat(after)
                .Select(v => v.Key)
                .Distinct(StringComparer.Ordinal)
                .Select(k => new ChangedValue(k, was.GetValueOrDefault(k, "not set"), becomes.GetValueOrDefault(k, "not set")))
                .Where(c => c.Old != c.New),
        ];
    }
}
