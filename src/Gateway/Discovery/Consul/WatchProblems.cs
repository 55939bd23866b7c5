using Gateway.Catalog;

namespace Gateway.Discovery.Consul;

/// <summary>What is wrong at the moment, one problem per place. Whoever keeps all problems says in the log when one comes and goes.</summary>
internal sealed class WatchProblems
{
    public const string Unreachable = ProblemCodes.ConsulUnreachable;
    public const string Forbidden = ProblemCodes.ConsulForbidden;

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
            ConsulFailureKind.BadAnswer => (ProblemCodes.ConsulBadAnswer, "Consul's answer to this question", "; see what answers there"),
            ConsulFailureKind.TooMany or ConsulFailureKind.Status => (ProblemCodes.ConsulError, "status 200", ""),
            _ => (Unreachable, "an answer of Consul", "; start Consul there, or correct catalog.consul.address"),
        };
        Set(place, new Problem
        {
            Code = code,
            Service = service,
            Place = place,
            Value = failure.Seen,
            ValueMoves = true,
            Allowed = allowed,
            Now = $"what is known of the catalog stays; asked again with growing pauses of up to 10 s{advice}",
        });
    }

    /// <summary>An answer would remove something but cannot be trusted with that.</summary>
    public void Doubtful(string place, string? service, string doubt) => Set(place, new Problem
    {
        Code = ProblemCodes.ConsulDoubtful,
        Service = service,
        Place = place,
        Value = doubt,
        ValueMoves = true,
        Allowed = "an answer of the leader",
        Now = "what it adds is taken, what it lacks stays until the leader confirms it",
    });

    /// <summary>Sets the problem of a place.</summary>
    public void Set(string place, Problem problem)
    {
        lock (_gate)
        {
            _byPlace[place] = problem;
        }
    }

    /// <summary>The place is well again, or nobody asks there any more.</summary>
    public void Clear(string place)
    {
        lock (_gate)
        {
            _byPlace.Remove(place);
        }
    }

    /// <summary>Services that are not routed any more have no problems.</summary>
    public void Retain(IReadOnlyCollection<string> services)
    {
        lock (_gate)
        {
            HashSet<string> routed = new(_byPlace.Count == 0 ? [] : services, StringComparer.Ordinal);
            foreach (string place in _byPlace.Where(p => p.Value.Service is { } s && !routed.Contains(s)).Select(p => p.Key).ToArray())
            {
                _byPlace.Remove(place);
            }
        }
    }

    private static bool IsGeneral(Problem problem) => problem.Code is Unreachable or Forbidden;
}
