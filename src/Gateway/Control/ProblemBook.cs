using System.Collections.Immutable;
using Gateway.Catalog;
using Microsoft.Extensions.Logging;

namespace Gateway.Control;

/// <summary>A problem and when it was first seen.</summary>
internal sealed record StandingProblem(Problem Problem, DateTimeOffset Since);

/// <summary>Remembers since when each problem stands, and says each once in the log when it comes and when it goes.</summary>
internal sealed class ProblemBook(TimeProvider clock, ILogger log)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, IReadOnlyList<Problem>> _pinned = new(StringComparer.Ordinal);
    private ImmutableDictionary<Problem, DateTimeOffset> _since = ImmutableDictionary<Problem, DateTimeOffset>.Empty;

    /// <summary>Sets the problems that <paramref name="key"/> stands for until it is set again.</summary>
    public void Pin(string key, IReadOnlyList<Problem> problems)
    {
        lock (_gate)
        {
            _pinned[key] = problems;
        }
    }

    /// <summary>Takes what is wrong now and returns it, pinned ones included, with times.</summary>
    public IReadOnlyList<StandingProblem> Observe(IEnumerable<Problem> current)
    {
        lock (_gate)
        {
            ImmutableDictionary<Problem, DateTimeOffset>.Builder next = ImmutableDictionary.CreateBuilder<Problem, DateTimeOffset>();
            List<StandingProblem> standing = [];
            foreach (Problem problem in current.Concat(_pinned.Values.SelectMany(p => p)))
            {
                Problem identity = problem.NowMoves ? problem with { Now = "" } : problem;
                if (next.ContainsKey(identity))
                {
                    continue;
                }

                bool known = _since.TryGetValue(identity, out DateTimeOffset since);
                since = known ? since : clock.GetUtcNow();
                next[identity] = since;
                standing.Add(new StandingProblem(problem, since));
                if (!known)
                {
                    log.LogWarning("problem {Code}: {Problem}", problem.Code, problem);
                }
            }

            foreach (Problem gone in _since.Keys.Where(p => !next.ContainsKey(p)))
            {
                log.LogInformation("problem {Code} is gone: {Problem}", gone.Code, gone);
            }

            _since = next.ToImmutable();
            return standing;
        }
    }
}
