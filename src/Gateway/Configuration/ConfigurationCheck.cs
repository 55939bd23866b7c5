using Gateway.Catalog;
using Gateway.DataPlane.Http.Tls;
using Gateway.Planning;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.Configuration;

/// <summary>What <c>gateway check</c> says.</summary>
/// <param name="ExitCode">0 clean (warnings allowed), 1 errors, 2 a file that cannot be read.</param>
/// <param name="Lines">For standard output.</param>
public sealed record CheckReport(int ExitCode, IReadOnlyList<string> Lines);

/// <summary>
/// Validates a configuration and, with it, a catalog: everything <c>run</c> would refuse or report as a problem, without binding.
/// </summary>
internal static class ConfigurationCheck
{
    /// <summary>Checks.</summary>
    /// <param name="configPath">File named by the operator, or null for the default one.</param>
    /// <param name="catalogPath">Catalog dump, or null.</param>
    /// <param name="environment">Environment variables.</param>
    /// <param name="readDump">Reads catalog files.</param>
    public static CheckReport Run(
        string? configPath, string? catalogPath, IReadOnlyDictionary<string, string> environment, ReadCatalogDump readDump)
    {
        ConfigurationResult result = ConfigurationFile.Load(GatewayConfiguration.PathOf(configPath), environment, []);
        List<Diagnostic> findings = [.. result.Diagnostics, .. Certificates(result)];
        bool unreadable = result.Unreadable;
        string catalogText = "";
        if (catalogPath is not null || (result.Options?.Files is not null && !unreadable))
        {
            IReadOnlyList<string> paths = catalogPath is not null ? [catalogPath] : CatalogFiles(result.Options!);
            List<(string Path, CatalogDump Dump)> dumps = [.. paths.Select(p => (p, readDump(p)))];
            foreach ((string path, CatalogDump dump) in dumps)
            {
                unreadable |= dump.Unreadable is not null && catalogPath is not null;
                findings.AddRange(dump.Findings);
                if (dump.Unreadable is { } reason)
                {
                    findings.Add(new Diagnostic(path, DiagnosticSeverity.Error, $"cannot be read: {reason}"));
                }
            }

            if (result.Options is not null)
            {
                catalogText = Plan(result.Options, dumps, findings);
            }
        }

        int errors = findings.Count(f => f.Severity == DiagnosticSeverity.Error);
        int warnings = findings.Count - errors;
        List<string> lines = [.. findings.Select(f => f.ToString())];
        if (errors == 0)
        {
            lines.Add(Ok(result, catalogText, warnings));
        }
        else
        {
            lines.Add($"{Count(errors, "error")}{(warnings > 0 ? $", {Count(warnings, "warning")}" : "")}"
                + (result.Options is null && catalogPath is not null && !unreadable
                    ? "; the catalog was not planned, because the configuration has errors" : ""));
        }

        return new CheckReport(unreadable ? 2 : errors > 0 ? 1 : 0, lines);
    }

    // At run a certificate that cannot be used is a problem, and the rest serves; whoever checks wants to know before.
    private static IEnumerable<Diagnostic> Certificates(ConfigurationResult result)
    {
        if (result.Options?.Edge is not { HasTls: true } edge)
        {
            yield break;
        }

        string Place(string key) => result.Values.FirstOrDefault(v => v.Key == key && v.Source != "default")?.Source
            ?? result.Values.FirstOrDefault(v => v.Key == "external.https")?.Source ?? "external";
        using CertificateStore store = new(TimeProvider.System, NullLogger.Instance);
        store.Configure(edge);
        foreach (Problem problem in store.Problems())
        {
            bool named = problem.Place.StartsWith("external.", StringComparison.Ordinal);
            yield return new Diagnostic(
                Place(named ? problem.Place : "external.certificates"),
                problem.Code == CertificateStore.Expiring ? DiagnosticSeverity.Warning : DiagnosticSeverity.Error,
                named ? problem.ToString() : $"external.certificates: {problem}");
        }
    }

    private static string Plan(
        GatewayOptions options, List<(string Path, CatalogDump Dump)> dumps, List<Diagnostic> findings)
    {
        List<DumpPlaces> places = [.. dumps.Select(d => new DumpPlaces(d.Path, d.Dump))];
        Plan plan = new Planner().Plan(new PlanInput
        {
            Catalogs = [.. dumps.Select(d => CatalogSnapshot.Of(d.Dump.Instances))],
            Options = options.Planning,
        });
        DiagnosticList problems = new();
        foreach (Problem problem in plan.Problems)
        {
            // A problem of the configuration carries its own place; one of the catalog stands where the instance stands.
            Place place = places.Select(p => p.Of(problem)).FirstOrDefault(p => p is not null)
                ?? new Place(problem.Service is null || dumps.Count == 0 ? problem.Place : dumps[0].Path);
            problems.Error(place, problem.ToString());
        }

        findings.AddRange(problems.InOrder());
        int instances = dumps.Sum(d => d.Dump.Instances.Count);
        int services = dumps
            .SelectMany(d => d.Dump.Instances)
            .Select(i => i.Service)
            .Distinct(StringComparer.Ordinal)
            .Count();
        return $"; catalog: {Count(services, "service")}, {Count(instances, "instance")}, "
            + $"{Count(plan.Listeners.Count, "listener")}, {Count(plan.Routes.Count, "route")}";
    }

    private static List<string> CatalogFiles(GatewayOptions options) =>
    [
        .. options.Files!.Paths.AsEnumerable()
            .SelectMany(p => Directory.Exists(Path.GetDirectoryName(p))
                ? Directory.EnumerateFiles(Path.GetDirectoryName(p)!, Path.GetFileName(p)).Order(StringComparer.Ordinal)
                : Enumerable.Empty<string>())
            .Distinct(StringComparer.Ordinal),
    ];

    private static string Ok(ConfigurationResult result, string catalogText, int warnings)
    {
        string from = result.File is null ? "defaults (no file)" : result.File;
        GatewayOptions options = result.Options!;
        List<string> sources = [];
        if (options.Consul is { } consul)
        {
            sources.Add($"consul {consul.Address.GetLeftPart(UriPartial.Authority)}");
        }

        if (options.Embedded is { } embedded)
        {
            sources.Add($"embedded {AddressForms.Listen(embedded.Listen)}");
        }

        if (options.Files is { } files)
        {
            sources.Add($"files {string.Join(" ", files.Paths.AsEnumerable())}");
        }

        return $"ok: {from}: {Count(result.KeysChecked, "key")} checked, {Count(result.Values.Count, "value")} in force; "
            + $"catalog from {string.Join(" and ", sources)}; admin {AddressForms.Listen(options.Admin.Listen)}; "
            + $"state {options.StateDirectory}{catalogText}{(warnings > 0 ? $"; {Count(warnings, "warning")}" : "")}";
    }

    private static string Count(int number, string of) => number == 1 ? $"1 {of}" : $"{number} {of}s";
}
