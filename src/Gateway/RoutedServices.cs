namespace Gateway;

/// <summary>
/// Tells a source which services could matter at all, so that it need not follow hundreds that nobody routes. Deliberately
/// generous and ignorant of the grammar: a misspelt tag must reach the planner, which reports it.
/// </summary>
internal static class RoutedServices
{
    private static readonly string[] s_marks = ["internal-listen", "external-host", "gateway-"];

    /// <summary>Whether any tag of the service might be meant for us.</summary>
    public static bool MayBeRouted(string name, IReadOnlyCollection<string> tags)
    {
        foreach (string tag in tags)
        {
            foreach (string mark in s_marks)
            {
                if (tag.Contains(mark, StringComparison.OrdinalIgnoreCase))
                {
                    return true;
                }
            }
        }

        return false;
    }
}
