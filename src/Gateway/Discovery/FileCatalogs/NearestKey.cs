namespace Gateway.Discovery.FileCatalogs;

/// <summary>The valid key that a mistyped one is closest to.</summary>
internal static class NearestKey
{
    public static string Of(string key, IEnumerable<string> valid)
    {
        // A key of kilobytes is nobody's typo; distances are quadratic.
        string shortened = key.Length <= 64 ? key : key[..64];
        return valid.MinBy(v => Distance(shortened, v))!;
    }

    /// <summary>Edits (insert, delete, replace, swap neighbours) from one to the other, without case.</summary>
    private static int Distance(string a, string b)
    {
        int[,] d = new int[a.Length + 1, b.Length + 1];
        for (int i = 0; i <= a.Length; i++)
        {
            for (int j = 0; j <= b.Length; j++)
            {
                if (i == 0 || j == 0)
                {
                    d[i, j] = i + j;
                    continue;
                }

                bool same = char.ToLowerInvariant(a[i - 1]) == char.ToLowerInvariant(b[j - 1]);
                d[i, j] = Math.Min(Math.Min(d[i - 1, j], d[i, j - 1]) + 1, d[i - 1, j - 1] + (same ? 0 : 1));
                if (i > 1 && j > 1 && char.ToLowerInvariant(a[i - 1]) == char.ToLowerInvariant(b[j - 2])
                    && char.ToLowerInvariant(a[i - 2]) == char.ToLowerInvariant(b[j - 1]))
                {
                    d[i, j] = Math.Min(d[i, j], d[i - 2, j - 2] + 1);
                }
            }
        }

        return d[a.Length, b.Length];
    }
}
