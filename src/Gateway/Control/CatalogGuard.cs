using System.Collections.Immutable;
using System.Globalization;
using Gateway.Catalog;

namespace Gateway.Control;

/// <summary>
/// Stands between one source and the planner. In: what the source reports, and what probes and the source itself say of the
/// instances it dropped. Out: the catalog that counts. What must stay true: a single deregistration passes at once; of a mass
/// that goes within ten seconds nobody leaves who still answers, until the source confirms it, or the operator does.
/// </summary>
/// <remarks>No sockets, locks or waiting: <see cref="SourceGuards"/> asks what this class wants to know.</remarks>
internal sealed class CatalogGuard(TimeProvider clock)
{
    /// <summary>Drops within this time count together.</summary>
    public static readonly TimeSpan Window = TimeSpan.FromSeconds(10);

    // Of one service, oldest first; nobody older than the window.
    private readonly Dictionary<string, List<Drop>> _recent = new(StringComparer.Ordinal);

    // Who came while drops are remembered: they were not among those of whom a share went.
    private readonly Dictionary<(string Service, InstanceKey Key), long> _added = [];
    private readonly Dictionary<(string Service, InstanceKey Key), HeldRemoval> _held = [];
    private CatalogSnapshot? _reported;
    private bool _changed;

    /// <summary>The catalog that counts; null before the first. Refreshed by <see cref="Compose"/>.</summary>
    public CatalogSnapshot? Effective { get; private set; }

    /// <summary>What the source itself says, or said last; null before the first.</summary>
    public CatalogSnapshot? Reported => _reported;

    /// <summary>When the last known good that stands here was confirmed; null once the source has reported.</summary>
    public DateTimeOffset? RestoredFrom { get; private set; }

    /// <summary>Instances that are kept although the source dropped them.</summary>
    public IReadOnlyCollection<HeldRemoval> Held => _held.Values;

    /// <summary>Starts from the last known good, which counts as the state before.</summary>
    /// <param name="catalog">What was in force, held ones included.</param>
    /// <param name="from">When the source last confirmed it.</param>
    /// <param name="held">Those of it that were held, since when, and why.</param>
    public void Restore(CatalogSnapshot catalog, DateTimeOffset from, IEnumerable<SavedHold> held)
    {
        Dictionary<(string, InstanceKey), Instance> all = [];
        foreach (Instance instance in catalog.Services.Values.SelectMany(s => s.Instances.AsEnumerable()))
        {
            all.TryAdd((instance.Service, instance.Key), instance);
        }

        foreach ((string service, InstanceKey key, DateTimeOffset since, string why) in held)
        {
            if (all.Remove((service, key), out Instance? instance))
            {
                long before = (long)(Math.Max(0, (clock.GetUtcNow() - since).TotalSeconds) * clock.TimestampFrequency);
                _held[(service, key)] =
                    new HeldRemoval(instance, clock.GetTimestamp() - before, since, why) { Reached = true, Shown = true };
            }
        }

        _reported = _held.Count == 0 ? catalog : CatalogSnapshot.Of(all.Values);
        RestoredFrom = from;
        Effective = catalog;
    }

    /// <summary>Takes a report. Whoever it does not hold any more goes at once, or is held where it is one of many.</summary>
    /// <param name="report">The newest whole catalog.</param>
    /// <param name="options">When it is many.</param>
    /// <param name="planned">Whether an instance is a destination at the moment; there is nothing to keep in the others.</param>
    public void Take(CatalogSnapshot report, GuardOptions options, Func<Instance, bool> planned)
    {
        CatalogSnapshot before = _reported ?? CatalogSnapshot.Empty;
        CatalogSnapshot after = WithUnread(report, before);
        bool first = _reported is null;
        (_reported, RestoredFrom) = (after, null);
        _changed = true;
        if (first)
        {
            return;
        }

        // 1. Forget what is too old to count.
        long now = clock.GetTimestamp();
        Forget();

        // 2. Who left, who came.
        HashSet<string> shrunk = new(StringComparer.Ordinal);
        List<Instance> came = [];
        int total = Compare(before, after, gone =>
        {
            if (!_recent.TryGetValue(gone.Service, out List<Drop>? drops))
            {
                _recent[gone.Service] = drops = [];
            }

            drops.Add(new Drop(now, gone, planned(gone)));
            _added.Remove((gone.Service, gone.Key));
            shrunk.Add(gone.Service);
        }, came.Add);
        foreach (IGrouping<string, Instance> of in came.GroupBy(i => i.Service, StringComparer.Ordinal))
        {
            Came(of.Key, [.. of.Select(i => i.Key)], now);
        }

        // 3. Were they many?
        if (shrunk.Count > 0)
        {
            Judge(shrunk, total, options, now);
        }
    }

    /// <summary>How a probe of a held one ended. One that was let go meanwhile is not heard.</summary>
    public void Observe(HeldRemoval held, bool reached, string evidence)
    {
        held.Probing = false;
        held.Probed = clock.GetTimestamp();
        held.Evidence = evidence;
        if (!IsHeld(held))
        {
            return;
        }

        if (!reached)
        {
            LetGo(held);
            return;
        }

        _changed |= !held.Shown;
        (held.Reached, held.Shown) = (true, true);
    }

    /// <summary>Lets a held one go: its absence is confirmed, or the operator accepts it.</summary>
    public void LetGo(HeldRemoval held)
    {
        if (IsHeld(held))
        {
            _held.Remove((held.Instance.Service, held.Instance.Key));
            _changed = true;
        }
    }

    /// <summary>Lets everybody go: the guard was switched off.</summary>
    public void LetGoOfAll()
    {
        _changed |= _held.Count > 0;
        _held.Clear();
    }

    /// <summary>Lets those go whose address belongs to somebody else now: a scheduler gives ports out again.</summary>
    public void LetGoOfClaimed(IReadOnlySet<string> claimed)
    {
        foreach (HeldRemoval held in _held.Values.Where(h => claimed.Contains(h.Instance.EndPoint)).ToList())
        {
            LetGo(held);
        }
    }

    /// <summary>Makes <see cref="Effective"/> of the report and those held; true when it may have changed.</summary>
    public bool Compose()
    {
        if (!_changed || _reported is null)
        {
            return false;
        }

        _changed = false;
        ImmutableSortedDictionary<string, Service> services = _reported.Services;
        foreach (IGrouping<string, HeldRemoval> of in _held.Values.Where(h => h.Shown).GroupBy(h => h.Instance.Service, StringComparer.Ordinal))
        {
            IEnumerable<Instance> present = services.TryGetValue(of.Key, out Service? reported) ? reported.Instances.AsEnumerable() : [];
            Service merged = new(of.Key, present.Concat(of.Select(h => h.Instance)).OrderBy(i => i.Key).ToEquatableArray());

            // The same object where nothing changed: the planner skips it by reference.
            Service? last = Effective?.Services.GetValueOrDefault(of.Key);
            services = services.SetItem(of.Key, merged.Equals(last) ? last : merged);
        }

        Effective = ReferenceEquals(services, _reported.Services) ? _reported : new CatalogSnapshot { Services = services };
        return true;
    }

    // What the source knows to exist and could not read yet is no removal: what was known of it stands.
    private static CatalogSnapshot WithUnread(CatalogSnapshot report, CatalogSnapshot before)
    {
        ImmutableSortedDictionary<string, Service> services = report.Services;
        foreach (string name in report.Unread)
        {
            if (!services.ContainsKey(name) && before.Services.TryGetValue(name, out Service? known))
            {
                services = services.Add(name, known);
            }
        }

        return ReferenceEquals(services, report.Services) ? report : new CatalogSnapshot { Services = services };
    }

    private void Forget()
    {
        long oldest = long.MaxValue;
        foreach ((string service, List<Drop> drops) in _recent.ToList())
        {
            drops.RemoveAll(d => clock.GetElapsedTime(d.At) > Window);
            if (drops.Count == 0)
            {
                _recent.Remove(service);
            }
            else
            {
                oldest = Math.Min(oldest, drops[0].At);
            }
        }

        foreach ((string, InstanceKey) old in _added.Where(a => a.Value < oldest).Select(a => a.Key).ToList())
        {
            _added.Remove(old);
        }
    }

    /// <summary>Walks both catalogs at once, in the order that they share. Returns the instances of <paramref name="after"/>.</summary>
    private static int Compare(CatalogSnapshot before, CatalogSnapshot after, Action<Instance> gone, Action<Instance> came)
    {
        int total = 0;
        using IEnumerator<KeyValuePair<string, Service>> old = before.Services.GetEnumerator();
        using IEnumerator<KeyValuePair<string, Service>> now = after.Services.GetEnumerator();
        bool hasOld = old.MoveNext();
        bool hasNow = now.MoveNext();
        while (hasOld || hasNow)
        {
            int order = !hasOld ? 1 : !hasNow ? -1 : string.CompareOrdinal(old.Current.Key, now.Current.Key);
            Service? left = order <= 0 ? old.Current.Value : null;
            Service? right = order >= 0 ? now.Current.Value : null;
            total += right?.Instances.Count ?? 0;
            if (!ReferenceEquals(left, right))
            {
                Except(left, right, gone);
                Except(right, left, came);
            }

            hasOld = order <= 0 ? old.MoveNext() : hasOld;
            hasNow = order >= 0 ? now.MoveNext() : hasNow;
        }

        return total;
    }

    private static void Except(Service? these, Service? those, Action<Instance> found)
    {
        HashSet<InstanceKey> known = those is null ? [] : [.. those.Instances.AsEnumerable().Select(i => i.Key)];
        foreach (Instance instance in these?.Instances ?? [])
        {
            if (!known.Contains(instance.Key))
            {
                found(instance);
            }
        }
    }

    private void Came(string service, HashSet<InstanceKey> keys, long now)
    {
        foreach (InstanceKey key in keys)
        {
            _held.Remove((service, key));
        }

        // Who only came back was there before the drop as well, so it is none that came since.
        if (_recent.TryGetValue(service, out List<Drop>? drops))
        {
            List<InstanceKey> back = [.. drops.Select(d => d.Instance.Key).Where(keys.Contains)];
            drops.RemoveAll(d => keys.Contains(d.Instance.Key));
            keys.ExceptWith(back);
            if (drops.Count == 0)
            {
                _recent.Remove(service);
            }
        }

        foreach (InstanceKey key in _recent.Count > 0 ? keys : [])
        {
            _added[(service, key)] = now;
        }
    }

    private void Judge(IReadOnlySet<string> shrunk, int total, GuardOptions options, long reported)
    {
        // 1. Within a service.
        ILookup<string, long> added = _added.ToLookup(a => a.Key.Service, a => a.Value, StringComparer.Ordinal);
        foreach (string service in shrunk)
        {
            if (!_recent.TryGetValue(service, out List<Drop>? drops))
            {
                continue;
            }

            int of = CountOf(service) + drops.Count - added[service].Count(at => at >= drops[0].At);
            if (drops.Count >= options.MinInstances && IsAbove(drops.Count, of, options))
            {
                Hold(drops, $"{drops.Count} of {of} instances of the service", reported);
            }
        }

        // 2. All services together: one of one instance is no mass, a thousand of them are. Share by services, and by
        //    instances: neither many small services nor one large one may hide the rest. Services that came since do not count.
        int dropped = _recent.Values.Sum(d => d.Count);
        int had = total + dropped - _added.Count;
        int gone = _recent.Keys.Count(s => !_reported!.Services.ContainsKey(s));
        int came = added.Count(a => !_recent.ContainsKey(a.Key) && CountOf(a.Key) == a.Count());
        int served = _reported!.Services.Count + gone - came;
        string? why = dropped < options.MinInstances ? null
            : IsAbove(gone, served, options) ? $"{gone} of {served} services"
            : IsAbove(dropped, had, options) ? $"{dropped} of {had} instances of all services"
            : null;
        if (why is not null)
        {
            foreach (List<Drop> drops in _recent.Values)
            {
                Hold(drops, why, reported);
            }
        }
    }

    private int CountOf(string service) => _reported!.Services.GetValueOrDefault(service)?.Instances.Count ?? 0;

    private static bool IsAbove(int dropped, int had, GuardOptions options) =>
        options.AbovePercent < 100 && (long)dropped * 100 > (long)options.AbovePercent * had;

    /// <summary>Holds those that were not judged yet. Who was dropped at <paramref name="reported"/> never leaves the catalog.</summary>
    private void Hold(List<Drop> drops, string what, long reported)
    {
        string why = string.Create(CultureInfo.InvariantCulture, $"{what} gone within {Window.TotalSeconds:0} s");
        DateTimeOffset since = clock.GetUtcNow();
        for (int i = 0; i < drops.Count; i++)
        {
            Drop drop = drops[i];
            if (drop.Judged)
            {
                continue;
            }

            // Once each: who fails its probe or is accepted does not come back because a neighbor goes too.
            drops[i] = drop with { Judged = true };
            if (drop.Planned)
            {
                _held[(drop.Instance.Service, drop.Instance.Key)] =
                    new HeldRemoval(drop.Instance, reported, since, why) { Shown = drop.At == reported };
            }
        }
    }

    private bool IsHeld(HeldRemoval held) =>
        _held.TryGetValue((held.Instance.Service, held.Instance.Key), out HeldRemoval? present) && ReferenceEquals(present, held);

    private readonly record struct Drop(long At, Instance Instance, bool Planned, bool Judged = false);
}
