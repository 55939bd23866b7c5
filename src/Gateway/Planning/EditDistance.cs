namespace Gateway.Planning;

/// <summary>How far a typing error is from what was probably meant.</summary>
internal static class EditDistance
{
    private const int LengthMax = 128;

    /// <summary>
    /// Insertions, deletions, replacements and swaps of neighbors between two words, without case;
    /// <paramref name="max"/> + 1 when there are more than <paramref name="max"/>.
    /// </summary>
    public static int Between(ReadOnlySpan<char> a, ReadOnlySpan<char> b, int max)
    {
        if (Math.Abs(a.Length - b.Length) > max || a.Length > LengthMax || b.Length > LengthMax)
        {
            return max + 1;
        }

        // Optimal string alignment: three rows of the table are enough, the third one back is for swaps.
        Span<int> twoBack = stackalloc int[LengthMax + 1];
        Span<int> back = stackalloc int[LengthMax + 1];
        Span<int> row = stackalloc int[LengthMax + 1];
        for (int j = 0; j <= b.Length; j++)
        {
            back[j] = j;
        }

        for (int i = 1; i <= a.Length; i++)
        {
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                bool same = Same(a[i - 1], b[j - 1]);
                int best = Math.Min(Math.Min(back[j], row[j - 1]) + 1, back[j - 1] + (same ? 0 : 1));
                if (i > 1 && j > 1 && Same(a[i - 1], b[j - 2]) && Same(a[i - 2], b[j - 1]))
                {
                    best = Math.Min(best, twoBack[j - 2] + 1);
                }

                row[j] = best;
            }

            Span<int> spare = twoBack;
            twoBack = back;
            back = row;
            row = spare;
        }

        return Math.Min(back[b.Length], max + 1);
    }

    /// <summary>The nearest of some words, the first of equally near ones; null when none is near enough to be meant.</summary>
    public static string? Nearest(ReadOnlySpan<char> word, IEnumerable<string> candidates)
    {
        string? nearest = null;
        int best = Math.Max(2, word.Length / 3) + 1;
        foreach (string candidate in candidates)
        {
            int distance = Between(word, candidate, best - 1);
            if (distance < best)
            {
                (nearest, best) = (candidate, distance);
            }
        }

        return nearest;
    }

    /// <summary>
    /// The candidate with the fewest typing errors, however many: exactly the word before another case, then the first one; null
    /// without any. Long words are compared by their beginning.
    /// </summary>
    public static string? Closest(string word, IEnumerable<string> candidates) =>
        candidates.MinBy(c => (Between(Beginning(word), Beginning(c), LengthMax) * 2) + (word == c ? 0 : 1));

    private static ReadOnlySpan<char> Beginning(string word) => word.AsSpan(0, Math.Min(word.Length, LengthMax));

    private static bool Same(char a, char b) => a == b || char.ToLowerInvariant(a) == char.ToLowerInvariant(b);
}
