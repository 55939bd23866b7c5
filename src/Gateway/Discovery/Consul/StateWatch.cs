using System.Text;
using System.Text.RegularExpressions;

namespace Gateway.Discovery.Consul;

/// <summary>
/// Follows any number of services with one watch of all checks, and reads again only the services whose checks changed. What
/// checks do not show (an instance without a check, a weight, Meta) moves only the index of catalog/services and tells no name;
/// such a move that no read explains is answered by a sweep over all services, which never takes more than a twentieth of the
/// time. All reads go through one queue.
/// </summary>
internal sealed partial class StateWatch
{
    /// <summary>Longest filter sent, and most names in it: it costs Consul a comparison per check.</summary>
    private const int FilterLengthMax = 6000;
    private const int FilterNamesMax = 400;

    private readonly WatchContext _context;
    private readonly ReadQueue _queue;
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

        _sweepWanted.Set();
    }

    /// <summary>Works until stopped.</summary>
    public Task RunAsync(CancellationToken stop) =>
        Together.RunAsync(stop, WatchAsync, _queue.RunAsync, SweepAsync, ResyncAsync);

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
                if (filter is not null && failure.Kind == ConsulFailureKind.Status)
                {
                    // An older agent, or something that only speaks like one.
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

    private async Task SweepAsync(CancellationToken stop)
    {
        while (true)
        {
            await _sweepWanted.WaitAsync(stop);

            // The watch of checks may be about to explain it.
            await Task.Delay(_context.Timing.StateSpacing, _context.Time, stop);
            _sweepWanted.Reset();

            string[] names;
            lock (_gate)
            {
                bool due = _resyncDue || !_explained.Contains(_catalogIndex);
                _resyncDue = false;
                _explained.RemoveWhere(i => i < _catalogIndex);
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
