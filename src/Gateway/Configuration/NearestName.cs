namespace Gateway.Configuration;

/// <summary>Finds what somebody probably meant.</summary>
internal static class NearestName
{
    // Longer names are compared by their beginning: a key of megabytes must not cost its square.
    private const int LengthMax = 128;

    /// <summary>The candidate with the fewest edits from <paramref name="name"/>, the first one among equals; null without any.</summary>
    public static string? Of(string name, IEnumerable<string> candidates) =>
        candidates.MinBy(c => (Distance(Fold(name), Fold(c)) * 2) + (name == c ? 0 : 1));

    /// <summary>Edits (insert, delete, replace, swap neighbors) between two names.</summary>
    public static int Distance(string a, string b)
    {
        int[] beforeLast = new int[b.Length + 1];
        int[] last = new int[b.Length + 1];
        int[] row = new int[b.Length + 1];
        for (int j = 0; j <= b.Length; j++)
        {
            last[j] = j;
        }

        for (int i = 1; i <= a.Length; i++)
        {
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int replace = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
                row[j] = Math.Min(replace, Math.Min(last[j], row[j - 1]) + 1);
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                {
                    row[j] = Math.Min(row[j], beforeLast[j - 2] + 1);
                }
            }

            (beforeLast, last, row) = (last, row, beforeLast);
        }

        return last[b.Length];
    }

    private static string Fold(string name) =>
        (name.Length <= LengthMax ? name : name[..LengthMax]).ToLowerInvariant();
}
