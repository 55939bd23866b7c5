using System.Globalization;
using Gateway.Catalog;
using Gateway.DataPlane.Http.Tls;
using Gateway.DataPlane.Listening;

namespace Gateway.Admin.Doctor;

/// <summary>The limit of connections and what it hangs on.</summary>
/// <param name="Wanted">What was asked for.</param>
/// <param name="InForce">What is in force: no more than the descriptors carry.</param>
/// <param name="From">Where that comes from.</param>
/// <param name="Descriptors">Descriptors that the process may open; null: unknown.</param>
/// <param name="OpenDescriptors">Descriptors that it has open; null: unknown.</param>
/// <param name="Open">Client connections open.</param>
internal sealed record LimitFacts(int Wanted, int InForce, string From, int? Descriptors, int? OpenDescriptors, int Open);

/// <summary>Judges what carries traffic: limits, listeners, certificates.</summary>
internal static class TrafficChecks
{
    private const double NearShare = 0.8;

    /// <summary>Connections and descriptors.</summary>
    public static void Limits(Diagnosis diagnosis, LimitFacts facts)
    {
        static string Number(int? n) => n is null ? "unknown" : n == int.MaxValue ? "unlimited" : n.Value.ToString(CultureInfo.InvariantCulture);
        diagnosis.Saw("connections", string.Create(
            CultureInfo.InvariantCulture,
            $"{facts.Open} of {facts.InForce} ({facts.From}); descriptors {Number(facts.OpenDescriptors)} of {Number(facts.Descriptors)}"));
        if (facts.InForce < facts.Wanted)
        {
            diagnosis.Found(
                ProblemCodes.LimitLowered, "limits.maxConnections",
                string.Create(CultureInfo.InvariantCulture, $"{facts.Wanted} wanted, and {Number(facts.Descriptors)} descriptors carry {facts.InForce}: (descriptors - listeners - 500) / 2"),
                string.Create(CultureInfo.InvariantCulture, $"{facts.InForce} connections at a time; further ones wait in the kernel"),
                @do: string.Create(CultureInfo.InvariantCulture, $"set LimitNOFILE={(2L * facts.Wanted) + 2000} in the unit (or ulimit -n) and restart, or ask for {facts.InForce}"),

                // Nobody asked for that many: it is only the default.
                severity: facts.From.StartsWith("default", StringComparison.Ordinal) ? ProblemSeverity.Info : null);
        }

        if (facts.Open >= facts.InForce)
        {
            diagnosis.Found(
                ProblemCodes.ConnectionsAtLimit, $"limits.maxConnections ({facts.From})",
                string.Create(CultureInfo.InvariantCulture, $"{facts.Open} connections are open, and {facts.InForce} are allowed"),
                "nobody is accepted: new connections wait in the kernel until one ends");
        }
        else if (facts.Open >= facts.InForce * NearShare)
        {
            diagnosis.Found(
                ProblemCodes.ConnectionsNearLimit, $"limits.maxConnections ({facts.From})",
                string.Create(CultureInfo.InvariantCulture, $"{facts.Open} of {facts.InForce} connections are open"),
                "all are served; at the limit new ones wait in the kernel");
        }
    }

    /// <summary>Open ports; those that could not be bound are problems already.</summary>
    public static void Listeners(Diagnosis diagnosis, IReadOnlyList<ListenerState> listeners)
    {
        int unbound = listeners.Count(l => !l.Bindings.Any(b => b.IsBound));
        int partly = listeners.Count(l => l.Bindings.Any(b => b.IsBound) && l.Bindings.Any(b => !b.IsBound));
        diagnosis.Saw("listeners", string.Create(
            CultureInfo.InvariantCulture,
            $"{listeners.Count - unbound - partly} bound{(partly == 0 ? "" : $", {partly} on some of their addresses")}{(unbound == 0 ? "" : $", {unbound} not bound")}"));
    }

    /// <summary>A certificate that clients refuse already is worse than one that they will.</summary>
    public static ProblemSeverity? SeverityOf(Problem problem, IReadOnlyList<ServerCertificate> certificates, DateTimeOffset now) =>
        problem.Code == ProblemCodes.CertificateExpires
            && certificates.Any(c => c.File == Path.GetFileName(problem.Place) && (c.NotAfter <= now || c.NotBefore > now))
                ? ProblemSeverity.Error
                : null;

    /// <summary>Certificates; those that end soon are problems already.</summary>
    public static void Certificates(Diagnosis diagnosis, IReadOnlyList<ServerCertificate> certificates)
    {
        ServerCertificate? first = certificates.MinBy(c => c.NotAfter);
        diagnosis.Saw("certificates", first is null ? "none" : string.Create(
            CultureInfo.InvariantCulture, $"{certificates.Count}, the first to end is {first.File} on {first.NotAfter:yyyy-MM-dd}"));
    }
}
