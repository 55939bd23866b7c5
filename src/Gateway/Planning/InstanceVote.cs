using System.Globalization;
using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>
/// One value per cluster out of what its instances say. The value of most instances wins, ties go by ordinal order. Saying
/// nothing is a vote for the default: the first instance of a rolling deploy that brings <c>check.http=/up</c> must not have the
/// old ones probed at a path that they do not know.
/// </summary>
internal static class InstanceVote
{
    /// <summary>Fills the slots; what all leave open stays null. Weight is an instance's own and not voted on.</summary>
    public static void Count(ServiceDraft draft, List<InstanceDraft> members, string cluster, Span<string?> slots)
    {
        if (!members.Exists(m => m.Values is not null))
        {
            return;
        }

        for (int i = 0; i < slots.Length; i++)
        {
            SettingSlot slot = (SettingSlot)i;
            if (slot == SettingSlot.Weight)
            {
                continue;
            }

            string? first = members[0].Values?[i];
            slots[i] = members.TrueForAll(m => m.Values?[i] == first) ? first : Decide(draft, members, cluster, slot);
        }
    }

    private static string Decide(ServiceDraft draft, List<InstanceDraft> members, string cluster, SettingSlot slot)
    {
        string @default = ClusterSettings.DefaultOf(slot);
        var votes = members
            .GroupBy(m => m.Values?[(int)slot] ?? @default, StringComparer.Ordinal)
            .Select(g => (Value: g.Key, Count: g.Count(), Speaker: g.FirstOrDefault(m => m.Values?[(int)slot] is not null)))
            .OrderByDescending(v => v.Count)
            .ThenBy(v => v.Value, StringComparer.Ordinal)
            .ToList();

        // An instance that only leaves the default has not said anything that could be ignored.
        foreach ((string value, int _, InstanceDraft? speaker) in votes.Skip(1))
        {
            if (speaker is not null)
            {
                draft.Report(
                    ProblemCodes.InstancesDisagree,
                    speaker.Instance.Key,
                    ClusterSettings.NameOf(slot),
                    value,
                    $"one value for all instances of {cluster}",
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"{votes[0].Value} is used, said or left as default by {votes[0].Count} of {members.Count} instances"));
            }
        }

        return votes[0].Value;
    }
}
