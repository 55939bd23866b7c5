using Gateway.Catalog;
using Gateway.Discovery;
using Gateway.Planning;

namespace Gateway.Control;

/// <summary>Decides on the control loop what is worth writing to the disk, and leaves it to the writer.</summary>
internal sealed class LastKnownGoodKeeper(LastKnownGoodWriter writer, SourceGuards guards, TimeProvider clock) : IAsyncDisposable
{
    private static readonly TimeSpan s_confirm = TimeSpan.FromMinutes(1);

    private LastKnownGood? _kept;
    private IReadOnlyList<HeldView> _held = [];
    private long _told = clock.GetTimestamp();

    /// <summary>What <c>/readyz</c>, <c>status</c> and <c>problems</c> say while a source has not reported.</summary>
    public static Problem Serving(string source, DateTimeOffset from, TimeProvider clock)
    {
        TimeSpan age = TimeSpan.FromSeconds(Math.Max(0, Math.Round((clock.GetUtcNow() - from).TotalSeconds)));
        return new Problem
        {
            Code = ProblemCodes.LastKnownGoodServes,
            Place = $"source {source}",
            Value = $"{from:yyyy-MM-dd HH:mm:ss} UTC",
            Allowed = "an answer of the source",
            Now = $"its last known good of {Text(age)} ago serves until it answers",
        };
    }

    /// <summary>Called after whatever the loop did; costs next to nothing where nothing changed.</summary>
    public void Keep(ControlState state, IReadOnlyList<ICatalogSource> sources)
    {
        if (state.Catalogs.Count == 0)
        {
            return;
        }

        IReadOnlyDictionary<string, DateTimeOffset> restored = guards.Restored;
        bool same = _kept is { } kept && kept.Listeners == Lasting(state.Plan) && kept.Routes == state.Plan.Routes
            && kept.Sources.Count == state.Catalogs.Count
            && kept.Sources.All(s => ReferenceEquals(state.Catalogs.GetValueOrDefault(s.Name), s.Catalog)) && SameHeld(guards.Held);
        if (same)
        {
            // A catalog that stands for days is not days old: its sources still confirm it.
            if (restored.Count == 0 && clock.GetElapsedTime(_told) >= s_confirm
                && sources.Min(s => s.Status.LastContact) is { } contact)
            {
                _told = clock.GetTimestamp();
                writer.Confirm(contact);
            }

            return;
        }

        // What was only read from the disk is there already.
        bool onDisk = _kept is null && state.Catalogs.Keys.All(restored.ContainsKey);
        _held = guards.Held;
        _kept = new LastKnownGood(
            [
                .. state.Catalogs.Select(c => new SavedSource(
                    c.Key,
                    restored.TryGetValue(c.Key, out DateTimeOffset from)
                        ? from
                        : sources.FirstOrDefault(s => s.Name == c.Key)?.Status.LastContact ?? clock.GetUtcNow(),
                    !restored.ContainsKey(c.Key),
                    c.Value,
                    [.. _held.Where(h => h.Source == c.Key).Select(h => new SavedHold(h.Instance.Service, h.Instance.Key, h.Since, h.Why))])),
            ],
            Lasting(state.Plan),
            state.Plan.Routes);
        _told = clock.GetTimestamp();
        if (!onDisk)
        {
            writer.Offer(_kept);
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => writer.DisposeAsync();

    private static EquatableArray<ListenerPlan> Lasting(Plan plan) => plan.Listeners.AsEnumerable().Any(l => l.Lingering)
        ? plan.Listeners.AsEnumerable().Where(l => !l.Lingering).ToEquatableArray()
        : plan.Listeners;

    private static string Text(TimeSpan age) => age switch
    {
        { TotalDays: >= 2 } => $"{age.TotalDays:0} days",
        { TotalHours: >= 2 } => $"{age.TotalHours:0} h",
        { TotalMinutes: >= 2 } => $"{age.TotalMinutes:0} min",
        _ => $"{age.TotalSeconds:0} s",
    };

    private bool SameHeld(IReadOnlyList<HeldView> held) =>
        ReferenceEquals(held, _held) || held.Select(h => (h.Source, h.Instance.Key)).SequenceEqual(_held.Select(h => (h.Source, h.Instance.Key)));
}
