using Gateway.Planning;

namespace Gateway.DataPlane.Balancing;

/// <summary>
/// The destinations of a cluster that may have new work at one moment, ready to pick from. Immutable: a change of plan or health
/// publishes another one by a single reference write, and a pick sees one or the other, never a mixture.
/// </summary>
internal sealed class UsableSet
{
    /// <summary>Nobody.</summary>
    public static readonly UsableSet Empty = new(BalanceAlgorithm.RoundRobin, []);

    private readonly BalanceAlgorithm _algorithm;
    private readonly DestinationState[] _trusted;
    private readonly int[] _weights;
    private readonly DestinationState[] _turns;
    private readonly DestinationState[] _suspects;

    /// <summary>Takes those of <paramref name="destinations"/> that are usable now.</summary>
    public UsableSet(BalanceAlgorithm algorithm, ReadOnlySpan<DestinationState> destinations)
    {
        List<DestinationState> trusted = new(destinations.Length);
        List<DestinationState> suspects = [];
        List<int> weights = new(destinations.Length);
        foreach (DestinationState destination in destinations)
        {
            if (destination.Plan is { Admitted: true } plan && destination.Health.IsUp)
            {
                if (destination.Health.IsSuspect)
                {
                    suspects.Add(destination);
                }
                else
                {
                    trusted.Add(destination);
                    weights.Add(plan.Weight);
                }
            }
        }

        _algorithm = algorithm;
        _trusted = [.. trusted];
        _suspects = [.. suspects];
        _weights = [.. weights];

        // Equal weights, the usual case, need no schedule of their own: the destinations in order are one.
        _turns = algorithm != BalanceAlgorithm.RoundRobin || weights.TrueForAll(weight => weight == weights[0])
            ? _trusted
            : Array.ConvertAll(WeightedSchedule.Build(_weights), turn => _trusted[turn]);
    }

    /// <summary>Destinations that may have new work.</summary>
    public int Count => _trusted.Length + _suspects.Length;

    /// <summary>
    /// One that is not in <paramref name="tried"/>, those that refused a connect last; null when there is none.
    /// </summary>
    /// <param name="cursor">The cluster's position in the round; outlives this set.</param>
    /// <param name="retries">
    /// The same for retries. They have a round of their own: of two instances of which one resets, a retry that took the other's
    /// turn would bring every next request to the broken one.
    /// </param>
    /// <param name="tried">Not these. A handful at most.</param>
    public DestinationState? Pick(ref uint cursor, ref uint retries, ReadOnlySpan<DestinationState> tried)
    {
        DestinationState? picked = _trusted switch
        {
            [] => null,
            [DestinationState only] => Contains(tried, only) ? null : only,
            _ when _algorithm == BalanceAlgorithm.LeastConn => LeastLoaded(ref tried.IsEmpty ? ref cursor : ref retries, tried),
            _ => InTurn(_turns, ref cursor, ref retries, tried),
        };
        return picked ?? (_suspects.Length == 0 ? null : InTurn(_suspects, ref cursor, ref retries, tried));
    }

    private static DestinationState? InTurn(
        DestinationState[] turns, ref uint cursor, ref uint retries, ReadOnlySpan<DestinationState> tried) => tried.IsEmpty
        ? turns[Interlocked.Increment(ref cursor) % (uint)turns.Length]
        : Other(turns, ref retries, tried);

    // One turn among those of the others, so that not the neighbor alone carries what a broken one does not. It looks at all of
    // them, which only a retry has to.
    private static DestinationState? Other(DestinationState[] turns, ref uint retries, ReadOnlySpan<DestinationState> tried)
    {
        uint others = 0;
        foreach (DestinationState turn in turns)
        {
            others += Contains(tried, turn) ? 0u : 1u;
        }

        if (others == 0)
        {
            return null;
        }

        uint left = Interlocked.Increment(ref retries) % others;
        int at = 0;
        while (Contains(tried, turns[at]) || left-- > 0)
        {
            at++;
        }

        return turns[at];
    }

    private DestinationState? LeastLoaded(ref uint cursor, ReadOnlySpan<DestinationState> tried)
    {
        // Begins somewhere else each time, so that equals take turns.
        uint at = Interlocked.Increment(ref cursor) % (uint)_trusted.Length;
        DestinationState? best = null;
        long bestLoad = 0;
        long bestWeight = 1;
        for (int i = 0; i < _trusted.Length; i++)
        {
            DestinationState candidate = _trusted[at];
            long load = candidate.InFlight + 1L;
            long weight = _weights[at];

            // (a + 1) / weight of a < (b + 1) / weight of b, without dividing.
            if ((best is null || load * bestWeight < bestLoad * weight) && !Contains(tried, candidate))
            {
                (best, bestLoad, bestWeight) = (candidate, load, weight);
            }

            at = at + 1 == (uint)_trusted.Length ? 0 : at + 1;
        }

        return best;
    }

    private static bool Contains(ReadOnlySpan<DestinationState> tried, DestinationState destination)
    {
        foreach (DestinationState one in tried)
        {
            if (ReferenceEquals(one, destination))
            {
                return true;
            }
        }

        return false;
    }
}
