using Gateway.Catalog;

namespace Gateway.Discovery.Consul;

/// <summary>What a look at Consul shows at one moment.</summary>
/// <param name="Address">Where it was looked.</param>
/// <param name="Failure">Why it does not answer, or null.</param>
/// <param name="Leader">The leader's address, empty: there is none; null where it does not answer.</param>
/// <param name="Skew">How far its clock is ahead of ours; null: unknown. Good to a second.</param>
internal sealed record ConsulSight(string Address, ConsulFailure? Failure, string? Leader, TimeSpan? Skew);

/// <summary>
/// Questions of somebody who looks for a fault, asked once and with a short deadline; watches neither wait for them nor learn from
/// them. In: a client. Out: values, never an exception but cancellation.
/// </summary>
internal static class ConsulLook
{
    private const int WordsMax = 160;

    /// <summary>Asks who leads, and what time it is there.</summary>
    public static async Task<ConsulSight> AtAsync(ConsulClient client, TimeProvider clock, TimeSpan patience, CancellationToken cancel)
    {
        ConsulReply<string>? reply = await AskAsync(client.ReadLeaderAsync, clock, patience, cancel);
        if (reply is null)
        {
            return new ConsulSight(client.Address, new ConsulFailure(ConsulFailureKind.Silent, $"no answer within {patience.TotalSeconds:0.#} s"), null, null);
        }

        // A date has whole seconds: the middle of that second is closest on average.
        TimeSpan? skew = reply.Date is { } date ? date + TimeSpan.FromSeconds(0.5) - clock.GetUtcNow() : null;

        // Without a leader Consul answers 500 to most questions, and "" or 500 to this one.
        bool leaderless = reply.Failure is { Kind: ConsulFailureKind.Status } f && f.Seen.Contains("leader", StringComparison.OrdinalIgnoreCase);
        return new ConsulSight(client.Address, leaderless ? null : reply.Failure, leaderless ? "" : reply.Value, skew);
    }

    /// <summary>Why instances of <paramref name="services"/> are not passing, by instance, in words.</summary>
    public static async Task<IReadOnlyDictionary<InstanceKey, string>> WhyOutAsync(
        ConsulClient client, IReadOnlyCollection<string> services, TimeProvider clock, TimeSpan patience, CancellationToken cancel)
    {
        Dictionary<InstanceKey, string> why = [];
        ConsulReply<List<WireVerdict>>?[] replies = await Task.WhenAll(
            services.Select(s => AskAsync(stop => client.ReadVerdictsAsync(s, stop), clock, patience, cancel)));
        foreach (WireVerdict? entry in replies.SelectMany(r => r?.Value ?? []))
        {
            if (entry is { Service.Id: { } id, Node.Node: { } node }
                && (entry.Checks ?? []).Where(c => c is not null && (string.IsNullOrEmpty(c.ServiceId) || c.ServiceId == id)).Select(c => Words(c!)).OfType<string>()
                    .ToArray() is { Length: > 0 } words)
            {
                why[new InstanceKey(node, id)] = string.Join("; ", words);
            }
        }

        return why;
    }

    private static string? Words(WireWords check)
    {
        string said = new((check.Output is { Length: > 0 } output ? output : check.Notes ?? "").ReplaceLineEndings(" ").Trim().Take(WordsMax).ToArray());
        string tail = said.Length == 0 ? "" : $": {said}";
        return check switch
        {
            { CheckId: "_node_maintenance" } => $"the node is in maintenance{tail}",
            { CheckId: { } id } when id.StartsWith("_service_maintenance:", StringComparison.Ordinal) => $"it is in maintenance{tail}",
            { Status: "passing" or "warning" } => null,
            _ => $"Consul check '{check.Name ?? check.CheckId}' is {check.Status}{tail}",
        };
    }

    private static async Task<ConsulReply<T>?> AskAsync<T>(
        Func<CancellationToken, Task<ConsulReply<T>>> ask, TimeProvider clock, TimeSpan patience, CancellationToken cancel)
        where T : class
    {
        using CancellationTokenSource deadline = new(patience, clock);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancel);
        try
        {
            return await ask(either.Token);
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException && !cancel.IsCancellationRequested)
        {
            // Too slow, or a reload ended this source meanwhile.
            return null;
        }
    }
}
