namespace Gateway.DataPlane.Balancing;

/// <summary>
/// The order of one period of weighted round robin, worked out once so that a pick is one step of a cursor. Over a period every
/// destination has exactly its weight in turns, spread as evenly as the others allow: no bursts to the heavy one.
/// </summary>
internal static class WeightedSchedule
{
    /// <summary>Turns in a period at most (or two per destination, whichever is more); heavier sums are scaled down to it.</summary>
    public const int LengthMax = 4096;

    /// <summary>Indexes into <paramref name="weights"/> (each 1 or more), one per turn.</summary>
    public static int[] Build(ReadOnlySpan<int> weights)
    {
        if (weights.IsEmpty)
        {
            return [];
        }

        int[] turns = Turns(weights);
        int length = turns.Sum();
        int[] order = new int[length];
        double[] moments = new double[length];

        // 1. Equal weights share one evenly spaced sequence: the j-th of m such destinations is j/m of a step behind the first.
        //    Without that shift equals would have their turns at the same moment, and the heavy ones their bursts between.
        Dictionary<int, int> sharers = [];
        foreach (int turn in turns)
        {
            sharers[turn] = sharers.GetValueOrDefault(turn) + 1;
        }

        // 2. A destination with w turns has its k-th at (k + shift) / w of the period.
        Dictionary<int, int> seen = [];
        int next = 0;
        for (int i = 0; i < turns.Length; i++)
        {
            int w = turns[i];
            int j = seen.GetValueOrDefault(w);
            seen[w] = j + 1;
            double shift = (j + 0.5) / sharers[w];
            for (int k = 0; k < w; k++, next++)
            {
                order[next] = i;
                moments[next] = (k + shift) / w;
            }
        }

        // 3. In the order of time; equal moments in the order of destinations, so that equal input gives equal output.
        int[] byTime = new int[length];
        for (int i = 0; i < length; i++)
        {
            byTime[i] = i;
        }

        Array.Sort(byTime, (a, b) => moments[a].CompareTo(moments[b]) is int c && c != 0 ? c : a.CompareTo(b));
        return Array.ConvertAll(byTime, at => order[at]);
    }

    private static int[] Turns(ReadOnlySpan<int> weights)
    {
        int divisor = 0;
        long sum = 0;
        foreach (int weight in weights)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(weight, 1, nameof(weights));
            divisor = GreatestCommonDivisor(divisor, weight);
            sum += weight;
        }

        long limit = Math.Max(LengthMax, 2L * weights.Length);
        bool scale = sum / divisor > limit;
        int[] turns = new int[weights.Length];
        for (int i = 0; i < weights.Length; i++)
        {
            // Scaled, a turn is a share of 1/4096: nobody with a weight is left without one, and the sum stays near the limit.
            turns[i] = scale ? (int)Math.Max(1, Math.Round((double)weights[i] * limit / sum)) : weights[i] / divisor;
        }

        return turns;
    }

    private static int GreatestCommonDivisor(int a, int b)
    {
        while (b != 0)
        {
            (a, b) = (b, a % b);
        }

        return a;
    }
}
