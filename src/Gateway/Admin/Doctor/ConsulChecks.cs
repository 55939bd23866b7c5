using System.Globalization;
using Gateway.Catalog;
using Gateway.Discovery;
using Gateway.Discovery.Consul;

namespace Gateway.Admin.Doctor;

/// <summary>A source as the doctor sees it.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Status">What it says of itself; null where no gateway runs.</param>
/// <param name="Sight">What a look at its Consul showed; null: it is no Consul.</param>
internal sealed record SourceSight(string Name, SourceStatus? Status, ConsulSight? Sight);

/// <summary>Judges sources and their Consuls; a pure function.</summary>
internal static class ConsulChecks
{
    // A wait of 55 s, Consul's jitter and the slack come to less than two minutes; then something hangs.
    private static readonly TimeSpan s_oldAfter = TimeSpan.FromMinutes(3);
    private static readonly TimeSpan s_skewMax = TimeSpan.FromSeconds(5);

    /// <summary>Judges one.</summary>
    public static void Judge(Diagnosis diagnosis, SourceSight source, DateTimeOffset now)
    {
        List<string> seen = [];
        if (source.Sight is { } sight)
        {
            seen.Add(sight.Failure is { } failure ? $"{sight.Address} does not answer: {failure.Seen}"
                : sight.Leader is { Length: > 0 } leader ? $"{sight.Address} answers, leader {leader}"
                : $"{sight.Address} answers and has no leader");
            if (sight.Skew is { } skew)
            {
                seen.Add(string.Create(CultureInfo.InvariantCulture, $"clock {(skew.Duration() < TimeSpan.FromSeconds(1.5) ? "agrees" : $"differs by {skew.TotalSeconds:0} s")}"));
            }

            Look(diagnosis, sight, source.Status is not null);
        }

        if (source.Status is { } status)
        {
            TimeSpan? age = now - status.LastContact;
            seen.Add(age is { } a ? string.Create(CultureInfo.InvariantCulture, $"catalog confirmed {Math.Max(0, a.TotalSeconds):0.#} s ago") : "catalog not read yet");
            if (status.Mode.Length > 0)
            {
                seen.Add(status.Mode);
            }

            seen.Add(status.Problems.Count == 0 ? "no error" : $"last error: {status.Problems[0].Value ?? status.Problems[0].Code}");

            // Whatever is silent has said why, as a rule; this is for what hangs without a word.
            if (age > s_oldAfter && source.Sight is not null && !diagnosis.Codes.Any(c => c.StartsWith("consul-", StringComparison.Ordinal)))
            {
                diagnosis.Found(
                    ProblemCodes.CatalogOld, $"source {source.Name}",
                    string.Create(CultureInfo.InvariantCulture, $"its catalog was confirmed {age.Value.TotalMinutes:0} min ago; allowed is {s_oldAfter.TotalMinutes:0} min"),
                    "the last catalog stays in force; changes since then are unknown", since: status.LastContact);
            }
        }

        diagnosis.Saw($"source {source.Name}", string.Join(", ", seen));
    }

    private static void Look(Diagnosis diagnosis, ConsulSight sight, bool running)
    {
        string now = running ? "what is known of the catalog stays in force" : "a gateway started now would serve its last known good, if it has one";
        IReadOnlySet<string> found = diagnosis.Codes;
        if (sight.Failure is { } failure)
        {
            string code = failure.Kind switch
            {
                ConsulFailureKind.Forbidden => ProblemCodes.ConsulForbidden,
                ConsulFailureKind.BadAnswer => ProblemCodes.ConsulBadAnswer,
                ConsulFailureKind.Status or ConsulFailureKind.TooMany => ProblemCodes.ConsulError,
                _ => ProblemCodes.ConsulUnreachable,
            };

            // The watches have said so, as a rule, and know since when.
            if (!found.Contains(code) && !found.Contains(ProblemCodes.ConsulUnreachable))
            {
                diagnosis.Found(code, sight.Address, $"'{failure.Seen}': {ProblemTable.Find(code).Means}", now);
            }
        }
        else if (sight.Leader is not { Length: > 0 })
        {
            diagnosis.Found(ProblemCodes.ConsulNoLeader, sight.Address, "/v1/status/leader names nobody", now);
        }

        if (sight.Skew is { } skew && skew.Duration() > s_skewMax)
        {
            diagnosis.Found(
                ProblemCodes.ClockSkew, sight.Address,
                string.Create(CultureInfo.InvariantCulture, $"its clock is {skew.Duration().TotalSeconds:0} s {(skew > TimeSpan.Zero ? "ahead of" : "behind")} this host's; allowed are {s_skewMax.TotalSeconds:0} s"),
                "routing does not depend on it; times in logs, certificates and TTL checks do");
        }
    }
}
