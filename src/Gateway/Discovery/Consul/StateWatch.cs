using System.Text;
using System.Text.RegularExpressions;

namespace Gateway.Discovery.Consul;

/// <summary>
/// Follows any number of services with one watch of all checks, and reads again only the services whose checks changed. What
/// checks do not show (an instance without a check, a weight, Meta) moves only the index of catalog/services and tells no name.
/// Such a move that no read explains makes us ask for the number of instances of each service, and if that does not explain it
/// either, sweep over all services, which never takes more than a twentieth of the time. All reads go through one queue.
/// </summary>
internal sealed partial class StateWatch
{
    /// <summary>
    /// Longest filter sent, and most names in it. Of 9,000 checks on Consul 1.8.7, 200 names cost as much CPU as sending
    /// everything, for a fifteenth of the bytes; 400 cost half as much again.
    /// </summary>
    private const int FilterLengthMax = 4500;
    private const int FilterNamesMax = 250;

    private readonly WatchContext _context;
    private readonly ReadQueue _queue;
    private readonly Pulse _moved = new();
    private readonly Pulse _sweepWanted = new();
    private readonly Lock _gate = new();

    // All guarded by the gate. Indexes since the last move of catalog/services that reads have come upon; services with
    // instances that no check speaks for.
    private readonly HashSet<ulong> _explained = [];
    private readonly HashSet<string> _checkless = new(StringComparer.Ordinal);
    private ulong _catalogIndex;
    private bool _resyncDue;

    // Written by the catalog watch, read here; immutable once set.
    private volatile HashSet<string> _routed = [];
    private volatile string? _filter;
    private volatile bool _readAll;
    private bool _filterRefused;

    public StateWatch(WatchContext context)
    {
        _context = context;
        _queue = new ReadQueue(context, name => _routed.Contains(name), Note);
    }

    /// <summary>Called with every good answer.</summary>
    public required Action Answered { get; init; }

    /// <summary>
    /// Consul lists these services as routed now. <paramref name="changed"/>: new ones, and ones whose tags changed.
    /// </summary>
    public void Follow(IReadOnlyCollection<string> routed, int listed, IEnumerable<string> changed, ulong catalogIndex)
    {
        _routed = new HashSet<string>(routed, StringComparer.Ordinal);
        _filter = FilterFor(routed, listed);
        if (_readAll)
        {
            _queue.Add(changed);
        }

        lock (_gate)
        {
            bool moved = _catalogIndex != 0 && catalogIndex != _catalogIndex;
            _catalogIndex = catalogIndex;
            if (!moved || _explained.Contains(catalogIndex))
            {
                return;
            }
        }

        _moved.Set();
    }

    /// <summary>Works until stopped.</summary>
    public Task RunAsync(CancellationToken stop) =>
        Together.RunAsync(stop, WatchAsync, _queue.RunAsync, ExplainAsync, SweepAsync, ResyncAsync);

    /// <summary>
    /// Only the checks of routed services and of nodes, where that spares most of the answer. Null: everything.
    /// </summary>
    internal static string? FilterFor(IReadOnlyCollection<string> routed, int listed)
    {
        if (routed.Count == 0 || routed.Count > FilterNamesMax || routed.Count * 2 > listed || !routed.All(n => PlainName.IsMatch(n)))
        {
            return null;
        }

        StringBuilder filter = new("ServiceName == \"\" or ServiceName matches \"^(?:");
        filter.AppendJoin('|', routed.Order(StringComparer.Ordinal).Select(n => n.Replace(".", "[.]", StringComparison.Ordinal)));
        filter.Append(")$\"");
        return filter.Length > FilterLengthMax ? null : filter.ToString();
    }

    [GeneratedRegex("^[A-Za-z0-9_.-]{1,128}$", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex PlainName { get; }

    private async Task WatchAsync(CancellationToken stop)
    {
        WatchPace pace = _context.NewPace();
        CheckDigest? known = null;
        string? used = null;
        while (true)
        {
            string? filter = _filterRefused ? null : _filter;
            if (filter != used)
            {
                pace.Restart();
                used = filter;
            }

            ConsulReply<CheckDigest> reply = await _context.AskAsync(
                pace, (query, token) => _context.Client.ReadStateAsync(filter, query, token), stop);
            if (reply.Failure is { } failure)
            {
                _context.Count("error");
                if (filter is not null && (failure.Seen.StartsWith("status 400", StringComparison.Ordinal)
                    || failure.Seen.Contains("expression", StringComparison.OrdinalIgnoreCase)))
                {
                    // An older agent, or something that only speaks like one; its other errors are not about the filter.
                    _filterRefused = true;
                }

                if (!_readAll)
                {
                    // No news yet, but the services can be known as they are now.
                    _readAll = true;
                    _queue.Add(_routed);
                }

                _context.Problems.Failed(reply.Place, null, failure);
                await _context.PauseAsync(pace.Fail(), stop);
                continue;
            }

            if (!pace.Advance(reply.Index))
            {
                _context.Count("unchanged");
                continue;
            }

            // The digest is only a hint what to read; each read decides for itself what it believes.
            pace.Settle();
            _context.Problems.Clear(reply.Place);
            Answered();
            IReadOnlyList<string> changed = ChangedServices(known, reply.Value!);
            known = reply.Value;
            _context.Count(changed.Count == 0 ? "unchanged" : "changed");
            _queue.Add(changed);

            // The first change was passed on at once; those right behind it share the next answer.
            TimeSpan spacing = _context.Timing.StateSpacing
                + (_context.Timing.StateSpacingPerMiB * (reply.Bytes / (double)(1024 * 1024)));
            await Task.Delay(spacing, _context.Time, stop);
        }
    }

    private IReadOnlyList<string> ChangedServices(CheckDigest? before, CheckDigest now)
    {
        HashSet<string> routed = _routed;
        if (before is null)
        {
            // What happened before the first answer, nobody saw. Set before the names are taken: see Follow.
            _readAll = true;
            routed = _routed;
            return [.. routed];
        }

        HashSet<string> changed = [.. now.ServicesChangedSince(before).Where(routed.Contains)];
        HashSet<string> nodes = [.. now.NodesChangedSince(before)];
        if (nodes.Count > 0)
        {
            changed.UnionWith(_context.Known.Services.Values
                .Where(s => s.Instances.Any(i => nodes.Contains(i.Node)))
                .Select(s => s.Name));
        }

        return [.. changed];
    }

    /// <summary>Remembers which moves of the catalog a read has explained: it came upon exactly that index.</summary>
    private void Note(string name, ReadOutcome outcome)
    {
        if (!outcome.Good)
        {
            return;
        }

        lock (_gate)
        {
            if (_explained.Count > 10_000)
            {
                _explained.Clear();
            }

            foreach (ulong index in (ReadOnlySpan<ulong>)[outcome.Index, outcome.Newest])
            {
                if (index >= _catalogIndex)
                {
                    _explained.Add(index);
                }
            }

            _ = outcome.Checkless ? _checkless.Add(name) : _checkless.Remove(name);
        }
    }

    /// <summary>The catalog moved: finds out where, with as little as possible.</summary>
    private async Task ExplainAsync(CancellationToken stop)
    {
        WatchPace pace = _context.NewPace();
        Dictionary<string, string> known = await SummarizeAsync(pace, stop) ?? [];
        while (true)
        {
            // 1. The watch of checks may be about to explain it.
            await _moved.WaitAsync(stop);
            await Task.Delay(_context.Timing.StateSpacing, _context.Time, stop);
            _moved.Reset();
            if (IsExplained())
            {
                continue;
            }

            // 2. Another number of instances, or other nodes.
            long started = _context.Time.GetTimestamp();
            if (await SummarizeAsync(pace, stop) is { } now)
            {
                HashSet<string> routed = _routed;
                TimeSpan took = _context.Time.GetElapsedTime(started) * 4;
                _queue.Add([.. now.Except(known).Concat(known.Except(now)).Select(s => s.Key).Where(routed.Contains).Distinct()]);
                known = now;
                await Task.Delay(took > _context.Timing.StateSpacing ? took : _context.Timing.StateSpacing, _context.Time, stop);
                if (IsExplained())
                {
                    continue;
                }
            }

            // 3. Anything else.
            _sweepWanted.Set();
        }
    }

    private async Task<Dictionary<string, string>?> SummarizeAsync(WatchPace pace, CancellationToken stop)
    {
        // Not everything that speaks Consul's API has it; an error here is no problem, sweeps do as well.
        ConsulReply<List<WireSummary>> reply =
            await _context.AskNowAsync(pace, _context.Client.ReadSummaryAsync, consistent: false, stop);
        Dictionary<string, string> summary = new(StringComparer.Ordinal);
        foreach (WireSummary? service in reply.Value ?? [])
        {
            if (service?.Name is not null)
            {
                IEnumerable<string?> nodes = service.Nodes?.Order(StringComparer.Ordinal) ?? Enumerable.Empty<string?>();
                summary[service.Name] = $"{service.InstanceCount} {string.Join(' ', nodes)}";
            }
        }

        return reply.Value is null ? null : summary;
    }

    private bool IsExplained()
    {
        lock (_gate)
        {
            _explained.RemoveWhere(i => i < _catalogIndex);
            return _explained.Contains(_catalogIndex);
        }
    }

    private async Task SweepAsync(CancellationToken stop)
    {
        while (true)
        {
            await _sweepWanted.WaitAsync(stop);
            bool explained = IsExplained();
            string[] names;
            lock (_gate)
            {
                bool due = _resyncDue || !explained;
                _resyncDue = false;
                if (!due)
                {
                    continue;
                }

                // Services with instances that no check speaks for come first: theirs are the changes that checks do not show.
                _checkless.IntersectWith(_routed);
                names = [.. _checkless, .. _routed.Where(n => !_checkless.Contains(n))];
            }

            long started = _context.Time.GetTimestamp();
            await _queue.SweepAsync(names).WaitAsync(stop);
            TimeSpan rest = _context.Time.GetElapsedTime(started) * 19;
            await Task.Delay(rest > _context.Timing.SweepSpacing ? rest : _context.Timing.SweepSpacing, _context.Time, stop);
        }
    }

    /// <summary>Whatever Consul told or did not tell: now and then everything is read again.</summary>
    private async Task ResyncAsync(CancellationToken stop)
    {
        while (true)
        {
            await Task.Delay(_context.Timing.Resync, _context.Time, stop);
            lock (_gate)
            {
                _resyncDue = true;
            }

            _sweepWanted.Set();
        }
    }
}
