using Gateway.Catalog;
using Microsoft.Extensions.Logging;

namespace Gateway.Discovery.Consul;

/// <summary>What is wrong at the moment, one problem per place; each logged when it begins and when it ends.</summary>
internal sealed class WatchProblems(string source, ILogger log)
{
    public const string Unreachable = "consul-unreachable";
    public const string Forbidden = "consul-forbidden";

    private readonly Lock _gate = new();
    private readonly SortedDictionary<string, Problem> _byPlace = new(StringComparer.Ordinal);

    /// <summary>
    /// All of them. Where Consul as a whole is away or refuses us, that is one problem, not one per service.
    /// </summary>
    public IReadOnlyList<Problem> All
    {
        get
        {
            lock (_gate)
            {
                HashSet<string> general = [.. _byPlace.Values.Where(p => p.Service is null && IsGeneral(p)).Select(p => p.Code)];
                return [.. _byPlace.Values.Where(p => p.Service is null || !general.Contains(p.Code))];
            }
        }
    }

    /// <summary>A request failed.</summary>
    public void Failed(string place, string? service, ConsulFailure failure)
    {
        (string code, string? allowed, string advice) = failure.Kind switch
        {
            ConsulFailureKind.Forbidden =>
                (Forbidden, "a token with service_prefix \"\" read and node_prefix \"\" read", "; put one into catalog.consul.tokenFile"),
            ConsulFailureKind.BadAnswer => ("consul-bad-answer", "Consul's answer to this question", "; see what answers there"),
            ConsulFailureKind.TooMany or ConsulFailureKind.Status => ("consul-error", "status 200", ""),
            _ => (Unreachable, (string?)null, "; start Consul there, or correct catalog.consul.address"),
        };
        Set(place, new Problem
        {
            Code = code,
            Service = service,
            Place = place,
            Value = failure.Seen,
            Allowed = allowed,
            Now = $"what is known of the catalog stays; asked again with growing pauses of up to 10 s{advice}",
        });
    }

    /// <summary>An answer would remove something but cannot be trusted with that.</summary>
    public void Doubtful(string place, string? service, string doubt) => Set(place, new Problem
    {
        Code = "consul-doubtful",
        Service = service,
        Place = place,
        Value = doubt,
        Allowed = "an answer of the leader",
        Now = "what it adds is taken, what it lacks stays until the leader confirms it",
    });

    /// <summary>Sets the problem of a place.</summary>
    public void Set(string place, Problem problem)
    {
        bool tell;
        lock (_gate)
        {
            // A restart of Consul breaks every watch at once: the first line says it.
            tell = IsGeneral(problem)
                ? !_byPlace.Values.Any(p => p.Code == problem.Code)
                : _byPlace.GetValueOrDefault(place)?.Code != problem.Code;
            _byPlace[place] = problem;
        }

        if (tell)
        {
            log.LogWarning("source '{Source}': {Problem}", source, problem);
        }
    }

    /// <summary>The place is well again, or nobody asks there any more.</summary>
    public void Clear(string place)
    {
        Problem? gone;
        bool tell;
        lock (_gate)
        {
            tell = _byPlace.Remove(place, out gone) && (!IsGeneral(gone) || !_byPlace.Values.Any(p => p.Code == gone.Code));
        }

        if (tell)
        {
            log.LogInformation("source '{Source}': {Place}: {Code} is over", source, gone!.Place, gone.Code);
        }
    }

    /// <summary>Services that are not routed any more have no problems.</summary>
    public void Retain(IReadOnlyCollection<string> services)
    {
        string[] gone;
        lock (_gate)
        {
            HashSet<string> routed = new(_byPlace.Count == 0 ? [] : services, StringComparer.Ordinal);
            gone = [.. _byPlace.Where(p => p.Value.Service is { } s && !routed.Contains(s)).Select(p => p.Key)];
        }

        foreach (string place in gone)
        {
            Clear(place);
        }
    }

    private static bool IsGeneral(Problem problem) => problem.Code is Unreachable or Forbidden;
}
