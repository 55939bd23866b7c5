using System.Collections.Immutable;
using Gateway.Catalog;

namespace Gateway.Discovery.Consul;

/// <summary>How one read of a service went.</summary>
/// <param name="Good">The facts are as Consul says, also where nothing changed.</param>
/// <param name="Refused">A waiting query was refused after its connection was made (reset, 429): a limit, perhaps.</param>
/// <param name="Index">Index of the answer.</param>
/// <param name="Newest">Highest ModifyIndex among the instances.</param>
/// <param name="Checkless">An instance has no check of its own, so no check tells when it changes.</param>
internal readonly record struct ReadOutcome(
    bool Good, bool Refused = false, ulong Index = 0, ulong Newest = 0, bool Checkless = false);

/// <summary>
/// Reads one service and decides what of the answer counts. In: a name and the pace of its watch. Out: facts in
/// <see cref="KnownCatalog"/>. An instance leaves only by an answer that is certain of it.
/// </summary>
internal static class ServiceReader
{
    public static async Task<ReadOutcome> ReadAsync(WatchContext context, string name, WatchPace pace, CancellationToken stop)
    {
        // 1. Ask. Backwards: this answer does not count, the next one is asked for at once (within the pace).
        ConsulReply<List<WireEntry>> reply;
        bool waited;
        do
        {
            waited = pace.Index != 0;
            reply = await context.AskAsync(pace, Read, stop);
        }
        while (reply.Value is not null && WentBack(reply.Index));

        // 2. Is it an answer to our question?
        Service? before = context.Known.Find(name);
        Service? next = Map(ref reply, before);
        if (next is null)
        {
            context.Count("error");
            context.Problems.Failed(reply.Place, name, reply.Failure!);
            return new ReadOutcome(false, waited && reply.Failure!.Kind is (ConsulFailureKind.Reset or ConsulFailureKind.TooMany));
        }

        // 3. Does it take something away that it is not certain of? While catalog/services lists the service, an empty list
        //    is odd; a server without leader or far behind may say anything. The leader decides.
        string? doubt = reply.Doubt(context.Timing.LastContactMax);
        string? question = InstanceMapping.OnlyAdds(before, next) ? null
            : doubt ?? (next.Instances.Count == 0 ? "no instances, while catalog/services lists the service" : null);
        if (question is not null)
        {
            ConsulReply<List<WireEntry>> confirmed = await context.AskNowAsync(pace, Read, consistent: true, stop);
            context.Count(confirmed.Failure is null ? "unchanged" : "error");
            Service? truth = Map(ref confirmed, before);
            string? unsure = truth is null ? confirmed.Failure!.Seen
                : confirmed.Doubt(context.Timing.LastContactMax) is { } still ? still
                : truth.Instances.Count == 0 ? await WhyNotGone()
                : null;
            if (unsure is not null)
            {
                context.Count("error");
                context.Problems.Doubtful(reply.Place, name, unsure == question ? question : $"{question}; the leader: {unsure}");
                context.Known.Put(InstanceMapping.Additions(before, next), stop);
                return default;
            }

            next = truth!;
        }

        // 4. Facts.
        pace.Settle();
        context.Count(ReferenceEquals(next, before) ? "unchanged" : "changed");
        context.Known.Put(next, stop);
        if (reply.Repaired)
        {
            context.Problems.Set(reply.Place, NotUtf8(reply.Place, name));
        }
        else
        {
            context.Problems.Clear(reply.Place);
        }

        return new ReadOutcome(
            true,
            Index: reply.Index,
            Newest: reply.Value!.Max(e => e.Service?.ModifyIndex) ?? 0,
            Checkless: reply.Value!.Exists(e => e.Checks?.Exists(c => !string.IsNullOrEmpty(c?.ServiceId)) != true));

        bool WentBack(ulong index)
        {
            bool back = !pace.Advance(index);
            if (back)
            {
                context.Count("unchanged");
            }

            return back;
        }

        // Consul lists a service exactly as long as it has an instance. One that is listed and has none, or a list of nothing at
        // all, is what a token without rights is shown: Consul before 1.12 says 200 and not that it left anything out.
        async Task<string?> WhyNotGone()
        {
            ImmutableSortedDictionary<string, Service> known = context.Known.Services;
            ConsulReply<Dictionary<string, List<string>>> listed =
                await context.AskNowAsync(pace, context.Client.ReadCatalogAsync, consistent: true, stop);
            context.Count(listed.Failure is null ? "unchanged" : "error");
            string? why = listed.Value is not { } services ? listed.Failure!.Seen
                : listed.Doubt(context.Timing.LastContactMax)
                ?? (services.Count == 0 ? "no service at all, not even Consul itself"
                    : services.ContainsKey(name) ? "no instances, and catalog/services lists the service"
                    : null);
            if (why is null)
            {
                context.Known.Keep(listed.Value!.Keys, known);
            }

            return why;
        }

        Task<ConsulReply<List<WireEntry>>> Read(ConsulQuery query, CancellationToken token) =>
            context.Client.ReadServiceAsync(name, query, token);

        Service? Map(ref ConsulReply<List<WireEntry>> answer, Service? known)
        {
            if (answer.Value is null)
            {
                return null;
            }

            Service mapped = InstanceMapping.Map(name, answer.Value, known, out string? wrong);
            answer = wrong is null ? answer : answer.Rejected(wrong);
            return wrong is null ? mapped : null;
        }
    }

    /// <summary>Something in an answer was not UTF-8.</summary>
    public static Problem NotUtf8(string place, string? service) => new()
    {
        Code = ProblemCodes.ConsulNotUtf8,
        Service = service,
        Place = place,
        Allowed = "UTF-8",
        Now = "each wrong byte is read as U+FFFD; correct the registration that holds it",
    };
}
