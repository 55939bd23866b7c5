using System.Collections.Immutable;
using Gateway.Catalog;

namespace Gateway.Discovery.Consul;

/// <summary>
/// The last good facts. Watches put in what they learned, one reporter hands out whole snapshots in order; what arrives
/// during a report is one next report. Nothing ever leaves because of an error: that is the watches' part, which put in only
/// what is certain.
/// </summary>
internal sealed class KnownCatalog(WatchTiming timing, TimeProvider time)
{
    private readonly Lock _gate = new();
    private readonly Pulse _changed = new();

    // Services of which no read has succeeded yet, with the time they were listed; they hold back the first report, for a while.
    private readonly Dictionary<string, long> _awaited = new(StringComparer.Ordinal);
    private HashSet<string>? _routed;
    private volatile bool _hasReported;

    // Of the reporter: those of _awaited that the first report went without.
    private HashSet<string> _late = new(StringComparer.Ordinal);
    private ImmutableSortedDictionary<string, Service> _services = CatalogSnapshot.EmptyServices;

    /// <summary>Whether the first snapshot was reported.</summary>
    public bool HasReported => _hasReported;

    /// <summary>
    /// Routed services that could not be read for so long that somebody should know; a new one is nobody's problem for the
    /// milliseconds until its first read.
    /// </summary>
    public IReadOnlyList<string> Awaited
    {
        get
        {
            lock (_gate)
            {
                return
                [
                    .. _awaited.Where(a => time.GetElapsedTime(a.Value) >= timing.FirstReport)
                        .Select(a => a.Key).Order(StringComparer.Ordinal),
                ];
            }
        }
    }

    /// <summary>All services known.</summary>
    public ImmutableSortedDictionary<string, Service> Services
    {
        get
        {
            lock (_gate)
            {
                return _services;
            }
        }
    }

    /// <summary>What is known of a service, or null.</summary>
    public Service? Find(string name) => Services.GetValueOrDefault(name);

    /// <summary>The routed services are these now; the others go at once.</summary>
    public void Route(IReadOnlyCollection<string> names)
    {
        lock (_gate)
        {
            HashSet<string> routed = new(names, StringComparer.Ordinal);
            foreach (string name in routed)
            {
                if (_routed is null || !_routed.Contains(name))
                {
                    _awaited.TryAdd(name, time.GetTimestamp());
                }
            }

            foreach (string gone in _awaited.Keys.Where(n => !routed.Contains(n)))
            {
                _awaited.Remove(gone);
            }

            _services = _services.RemoveRange(_services.Keys.Where(n => !routed.Contains(n)));
            _routed = routed;
        }

        _changed.Set();
    }

    /// <summary>
    /// The leader lists these services and no others: all the rest goes in one report. Else a mass would trickle away as one watch
    /// after the other hears of it, and its first services would be gone before anybody could see that they are many.
    /// <paramref name="before"/>: what was known when the leader was asked; what was read since stays.
    /// </summary>
    public void Keep(IReadOnlyCollection<string> listed, ImmutableSortedDictionary<string, Service> before)
    {
        lock (_gate)
        {
            HashSet<string> names = new(listed, StringComparer.Ordinal);
            _services = _services.RemoveRange(
                before.Where(s => !names.Contains(s.Key) && ReferenceEquals(_services.GetValueOrDefault(s.Key), s.Value)).Select(s => s.Key));
        }

        _changed.Set();
    }

    /// <summary>
    /// A service was read. One without instances is none. <paramref name="watch"/>: a watch that was stopped meanwhile is not
    /// heard, or it could put an old answer over a new one.
    /// </summary>
    public void Put(Service service, CancellationToken watch)
    {
        lock (_gate)
        {
            if (watch.IsCancellationRequested || _routed is null || !_routed.Contains(service.Name))
            {
                return;
            }

            bool first = _awaited.Remove(service.Name);
            if (service.Instances.Count == 0)
            {
                _services = _services.Remove(service.Name);
            }
            else if (!ReferenceEquals(_services.GetValueOrDefault(service.Name), service))
            {
                _services = _services.SetItem(service.Name, service);
            }
            else if (!first)
            {
                return;
            }
        }

        _changed.Set();
    }

    /// <summary>Reports until stopped: the first time when all is read, or enough time went by since the services are listed.</summary>
    public async Task ReportAsync(Action<CatalogSnapshot> report, CancellationToken stop)
    {
        Task? patience = null;
        ImmutableSortedDictionary<string, Service>? reported = null;
        EquatableArray<string> told = [];
        Task changed = _changed.WaitAsync(stop);
        while (true)
        {
            await (patience is null || reported is not null ? changed : Task.WhenAny(changed, patience));
            stop.ThrowIfCancellationRequested();
            if (changed.IsCompleted)
            {
                changed = _changed.WaitAsync(stop);
            }

            ImmutableSortedDictionary<string, Service> now;
            bool whole;
            EquatableArray<string> unread = [];
            lock (_gate)
            {
                if (_routed is null)
                {
                    continue;
                }

                (now, whole) = (_services, _awaited.Count == 0);

                // What the first report lacks is known to exist; later ones lack it until it is read.
                _late = reported is null ? [.. _awaited.Keys] : _late;
                if (_late.Count > 0)
                {
                    _late.IntersectWith(_awaited.Keys);
                    unread = _late.Order(StringComparer.Ordinal).ToEquatableArray();
                }
            }

            patience ??= Task.Delay(timing.FirstReport, time, stop);
            if ((ReferenceEquals(now, reported) && unread == told) || (reported is null && !whole && !patience.IsCompleted))
            {
                continue;
            }

            (reported, told) = (now, unread);
            report(new CatalogSnapshot { Services = now, Unread = unread });
            _hasReported = true;
        }
    }
}
