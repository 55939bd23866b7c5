using Gateway.Catalog;
using Microsoft.Extensions.Logging;

namespace Gateway.Control;

/// <summary>A problem and when it was first seen.</summary>
internal sealed record StandingProblem(Problem Problem, DateTimeOffset Since);

/// <summary>
/// Remembers since when each problem stands, and says each once in the log when it comes and when it goes: nobody who reports a
/// problem logs it as well. A problem stays the same one while its words change, and over any number of plans.
/// </summary>
internal sealed class ProblemBook(TimeProvider clock, ILogger log)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, (IReadOnlyList<Problem> Problems, bool Said)> _pinned = new(StringComparer.Ordinal);
    private Dictionary<Identity, Entry> _known = [];

    /// <summary>Sets the problems that <paramref name="key"/> stands for until it is set again.</summary>
    /// <param name="key">What they stand for.</param>
    /// <param name="problems">All of them.</param>
    /// <param name="said">Whoever sets them says them in the log: it knows how often it was asked.</param>
    public void Pin(string key, IReadOnlyList<Problem> problems, bool said = false)
    {
        lock (_gate)
        {
            _pinned[key] = (problems, said);
        }
    }

    /// <summary>Looks at what is wrong now and returns it, pinned ones included, with times.</summary>
    /// <param name="current">Read in turn with other observers: an older look after a newer one would begin and end problems.</param>
    public IReadOnlyList<StandingProblem> Observe(Func<IEnumerable<Problem>> current)
    {
        lock (_gate)
        {
            Dictionary<Identity, Entry> next = [];
            HashSet<Problem> taken = [];
            List<StandingProblem> standing = [];
            foreach ((Problem problem, bool said) in current().Select(p => (p, false)).Concat(_pinned.Values.SelectMany(p => p.Problems.Select(q => (q, p.Said)))))
            {
                if (!taken.Add(problem))
                {
                    continue;
                }

                Identity identity = Identity.Of(problem);
                bool known = _known.TryGetValue(identity, out Entry? entry);
                entry = next.GetValueOrDefault(identity) ?? new Entry(problem, entry?.Since ?? clock.GetUtcNow(), said);
                standing.Add(new StandingProblem(problem, entry.Since));
                if (next.TryAdd(identity, entry) && !known && !said)
                {
                    log.LogWarning("problem {Code}: {Problem}", problem.Code, problem);
                }
            }

            foreach (Entry gone in _known.Where(k => !next.ContainsKey(k.Key)).Select(k => k.Value).Where(e => !e.Said))
            {
                log.LogInformation("problem {Code} is gone: {Problem}", gone.Problem.Code, gone.Problem);
            }

            _known = next;
            return standing;
        }
    }

    private sealed record Entry(Problem Problem, DateTimeOffset Since, bool Said);

    // What stays while the problem does; the words of what happens now may tell the time, a pid or an error's text.
    private readonly record struct Identity(string Code, string? Service, string? Instance, string Place, string? Value)
    {
        public static Identity Of(Problem p) => new(p.Code, p.Service, p.Instance, p.Place, p.ValueMoves ? null : p.Value);
    }
}
