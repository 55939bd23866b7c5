using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>Hosts of the edge that the file gives to services, by service; none without an edge.</summary>
internal sealed class FileHosts
{
    private readonly Dictionary<string, List<EdgeHost>> _byService = new(StringComparer.Ordinal);
    private readonly List<Problem> _problems = [];

    /// <summary>Reads the options.</summary>
    public FileHosts(PlanningOptions options, IReadOnlyDictionary<string, int> environments)
    {
        foreach (EdgeHost entry in options.EdgeHosts.AsSpan())
        {
            if (!HostNames.TryHost(entry.Host, out string host) || !HostNames.TryPrefix(entry.PathPrefix, out string prefix))
            {
                Refuse(ProblemCodes.HostInvalid, entry, $"{HostNames.HostForm}, and {HostNames.PrefixForm}", "ignored; no request could match it");
            }
            else if (entry.Environment is { } named && !environments.ContainsKey(named))
            {
                Refuse(ProblemCodes.EnvironmentUnknown, entry, string.Join(", ", environments.Keys), "ignored; name an environment of this file");
            }
            else if (options.Edge)
            {
                if (!_byService.TryGetValue(entry.Service, out List<EdgeHost>? hosts))
                {
                    _byService[entry.Service] = hosts = [];
                }

                hosts.Add(entry with { Host = host, PathPrefix = prefix });
            }
        }
    }

    /// <summary>What is wrong. The config room refuses such a file; an embedding program may not have asked.</summary>
    public IReadOnlyList<Problem> Problems => _problems;

    /// <summary>Services that are named.</summary>
    public IReadOnlyCollection<string> Services => _byService.Keys;

    /// <summary>The hosts of a service, in the order of the file.</summary>
    public IReadOnlyList<EdgeHost> Of(string service) => _byService.TryGetValue(service, out List<EdgeHost>? hosts) ? hosts : [];

    /// <summary>An entry as it is written.</summary>
    public static string Text(EdgeHost entry) =>
        $"{entry.Host}{(entry.PathPrefix == "/" ? "" : entry.PathPrefix)}: {entry.Service}{(entry.Environment is null ? "" : $"@{entry.Environment}")}";

    private void Refuse(string code, EdgeHost entry, string allowed, string now) => _problems.Add(new Problem
    {
        Code = code,
        Service = entry.Service,
        Place = entry.Place,
        Value = Text(entry),
        Allowed = allowed,
        Now = now,
    });
}
