using Gateway.Catalog;

namespace Gateway.Discovery.Consul;

/// <summary>What catalog/services says, as far as it is believed.</summary>
/// <param name="Names">Services that are routed, sorted.</param>
/// <param name="Listed">Number of all services.</param>
/// <param name="Changed">Routed services that are new, or whose tags changed.</param>
/// <param name="Index">Index of the answer.</param>
/// <param name="Certain">All of the answer was believed; else only what it adds.</param>
internal sealed record RoutedServices(
    IReadOnlyList<string> Names, int Listed, IReadOnlyCollection<string> Changed, ulong Index, bool Certain);

/// <summary>
/// The one watch of catalog/services: which services exist, and which of them are routed. In: Consul. Out: the routed names, in
/// <see cref="KnownCatalog"/> and to those who follow them. A service that it no longer lists is removed at once; an answer that
/// cannot be trusted removes nothing.
/// </summary>
internal sealed class CatalogWatch(WatchContext context, Func<string, IReadOnlyCollection<string>, bool> routed)
{
    /// <summary>Consul registers itself under this name, so a list without it is no list of a sane Consul.</summary>
    private const string Itself = "consul";

    private Dictionary<string, List<string>>? _known;

    // Followed services, and since when those are untagged that still are.
    private HashSet<string> _followed = [];
    private readonly Dictionary<string, long> _untagged = new(StringComparer.Ordinal);

    /// <summary>Called with every good answer, changed or not.</summary>
    public required Action<RoutedServices> Listed { get; init; }

    /// <summary>Watches until stopped.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        WatchPace pace = context.NewPace();
        bool failing = false;
        while (true)
        {
            // 1. Ask.
            ConsulReply<Dictionary<string, List<string>>> reply = await context.AskAsync(pace, context.Client.ReadCatalogAsync, stop);
            if (reply.Failure is { } failure)
            {
                failing = true;
                context.Count("error");
                context.Problems.Failed(reply.Place, null, failure);
                await context.PauseAsync(pace.Fail(), stop);
                continue;
            }

            if (!pace.Advance(reply.Index))
            {
                context.Count("unchanged");
                continue;
            }

            // 2. Believe it, or as much of it as adds something.
            Dictionary<string, List<string>> next = Clean(reply.Value!);
            string? question = Question(reply, next);
            bool certain = question is null;
            if (question is not null)
            {
                ConsulReply<Dictionary<string, List<string>>> confirmed =
                    await context.AskNowAsync(pace, context.Client.ReadCatalogAsync, consistent: true, stop);
                context.Count(confirmed.Failure is null ? "unchanged" : "error");
                certain = confirmed.Value is not null
                    && confirmed.Doubt(context.Timing.LastContactMax) is null
                    && !IsAbsurd(next = Clean(confirmed.Value));
                if (!certain)
                {
                    context.Count("error");
                    context.Problems.Doubtful(
                        reply.Place, null, confirmed.Failure is { } f ? $"{question}; the leader: {f.Seen}" : question);
                    next = Additions(Clean(reply.Value!));
                }
            }

            // 3. Tell. An answer without anything for us that nobody confirmed is not even a beginning.
            if (certain || _known is not null || next.Any(s => routed(s.Key, s.Value)))
            {
                Accept(next, reply.Index, certain);
            }

            if (!certain)
            {
                failing = true;
                await context.PauseAsync(pace.Fail(), stop);
                continue;
            }

            pace.Settle();
            if (reply.Repaired)
            {
                context.Problems.Set(reply.Place, ServiceReader.NotUtf8(reply.Place, null));
            }
            else
            {
                context.Problems.Clear(reply.Place);
            }

            if (failing)
            {
                failing = false;
                context.Recovered();
            }
        }
    }

    /// <summary>Why the leader should confirm this answer before it removes anything, or null.</summary>
    private string? Question(ConsulReply<Dictionary<string, List<string>>> reply, Dictionary<string, List<string>> next)
    {
        bool removes = _known is not null && _known.Any(k => !next.TryGetValue(k.Key, out List<string>? tags)
            || (routed(k.Key, k.Value) && !routed(k.Key, tags)));
        return next.Count == 0 && _known is not { Count: 0 } ? "no service at all, not even Consul itself"
            : IsAbsurd(next) ? "Consul itself is missing"
            : removes || _known is null ? reply.Doubt(context.Timing.LastContactMax)
            : null;
    }

    /// <summary>Consul was in the list and is not any more: a token that lost its rights, or a server that lost its mind.</summary>
    private bool IsAbsurd(Dictionary<string, List<string>> next) =>
        _known is not null && _known.ContainsKey(Itself) && !next.ContainsKey(Itself);

    /// <summary>What is known, and what is new.</summary>
    private Dictionary<string, List<string>> Additions(Dictionary<string, List<string>> next)
    {
        Dictionary<string, List<string>> all = new(_known ?? [], StringComparer.Ordinal);
        foreach ((string name, List<string> tags) in next)
        {
            all[name] = all.TryGetValue(name, out List<string>? old) && routed(name, old) ? old : tags;
        }

        return all;
    }

    private void Accept(Dictionary<string, List<string>> next, ulong index, bool certain)
    {
        Dictionary<string, List<string>> before = _known ?? [];
        _known = next;
        string[] names =
        [
            .. next.Where(s => routed(s.Key, s.Value) ? Tagged(s.Key) : WasJustTagged(s.Key))
                .Select(s => s.Key).Order(StringComparer.Ordinal),
        ];
        _followed = new HashSet<string>(names, StringComparer.Ordinal);
        foreach (string gone in _untagged.Keys.Where(n => !_followed.Contains(n)))
        {
            _untagged.Remove(gone);
        }

        string[] changed =
        [
            .. names.Where(n => !before.TryGetValue(n, out List<string>? tags) || !tags.SequenceEqual(next[n], StringComparer.Ordinal)),
        ];
        if (certain)
        {
            context.Count(changed.Length > 0 || before.Count != next.Count ? "changed" : "unchanged");
        }

        // Removals take effect here, at once; what is new comes with its first read.
        context.Known.Route(names);
        context.Problems.Retain(names);
        Listed(new RoutedServices(names, next.Count, changed, index, certain));
    }

    private bool Tagged(string name)
    {
        _untagged.Remove(name);
        return true;
    }

    /// <summary>
    /// A service that only lost its tags is still there, and its port answers for its grace: without facts it could not.
    /// </summary>
    private bool WasJustTagged(string name)
    {
        if (!_followed.Contains(name))
        {
            return false;
        }

        _untagged.TryAdd(name, context.Time.GetTimestamp());
        return context.Time.GetElapsedTime(_untagged[name]) < context.Timing.UntaggedKept;
    }

    /// <summary>Consul gives tags in any order; nobody can be called nothing.</summary>
    private static Dictionary<string, List<string>> Clean(Dictionary<string, List<string>> services)
    {
        Dictionary<string, List<string>> clean = new(services.Count, StringComparer.Ordinal);
        foreach ((string name, List<string>? tags) in services)
        {
            if (name.Length > 0)
            {
                List<string> sorted = tags?.FindAll(t => t is not null) ?? [];
                sorted.Sort(StringComparer.Ordinal);
                clean[name] = sorted;
            }
        }

        return clean;
    }
}
