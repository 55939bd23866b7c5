using Gateway.Catalog;
using Microsoft.Extensions.Logging;

namespace Gateway.Discovery.Consul;

/// <summary>
/// Decides how the routed services are followed: each by a watch of its own as long as Consul's limit of connections allows,
/// else all by the state watch. The only one that starts and ends those watches.
/// </summary>
internal sealed class Follower
{
    private readonly WatchContext _context;
    private readonly ServiceWatches _services;
    private readonly Pulse _due = new();
    private readonly Lock _gate = new();
    private readonly TaskCompletionSource _broken = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // Guarded by the gate: what catalog/services said last, with all changes since it was last looked at.
    private RoutedServices? _listed;
    private HashSet<string> _changed = new(StringComparer.Ordinal);
    private int _limit;
    private DateTimeOffset _limitFound;

    private StateWatch? _state;
    private CancellationTokenSource? _stateStop;
    private Task _stateTask = Task.CompletedTask;

    public Follower(WatchContext context)
    {
        _context = context;
        _limit = context.Timing.ServiceWatchesMax;
        _services = new ServiceWatches(context, e => _broken.TrySetException(e)) { LimitFound = Lower };
    }

    /// <summary>How they are followed at the moment, for people.</summary>
    public string Mode { get; private set; } = "starting";

    /// <summary>When the state watch last answered; null where it does not run.</summary>
    public DateTimeOffset? StateAnswered { get; private set; }

    /// <summary>Whether the state watch runs.</summary>
    public bool ByState { get; private set; }

    /// <summary>Follow these from now on.</summary>
    public void Follow(RoutedServices services)
    {
        lock (_gate)
        {
            _listed = services;
            _changed.UnionWith(services.Changed);
        }

        _due.Set();
    }

    /// <summary>Works until stopped.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        try
        {
            while (true)
            {
                Task due = _due.WaitAsync(stop);
                await await Task.WhenAny(due, _broken.Task);
                await ApplyAsync(stop);
            }
        }
        finally
        {
            await _services.EndAsync();
            await EndStateAsync();
        }
    }

    private async Task ApplyAsync(CancellationToken stop)
    {
        RoutedServices? listed;
        HashSet<string> changed;
        int limit;
        lock (_gate)
        {
            ForgetLimit();
            (listed, changed, limit) = (_listed, _changed, _limit);
            _changed = new HashSet<string>(StringComparer.Ordinal);
        }

        if (listed is null)
        {
            return;
        }

        // Back only well below the limit, or a service that comes and goes would turn everything over each time.
        bool byState = listed.Names.Count > (ByState ? limit - (limit / 10) : limit);
        if (!byState)
        {
            await EndStateAsync();
            await _services.FollowAsync(listed.Names, stop);
            Mode = listed.Names.Count == 1 ? "1 service watch" : $"{listed.Names.Count} service watches";
            return;
        }

        if (_state is null)
        {
            await _services.EndAsync();
            _context.Log.LogInformation(
                "source '{Source}': {Count} routed services are more than {Limit} watches: following them by one state watch",
                _context.Source, listed.Names.Count, limit);
            StateWatch state = new(_context) { Answered = () => StateAnswered = _context.Time.GetUtcNow() };
            state.Follow(listed.Names, listed.Listed, changed, listed.Index);
            CancellationTokenSource own = CancellationTokenSource.CreateLinkedTokenSource(stop);
            (_state, _stateStop, ByState, Mode) = (state, own, true, "state watch");
            _stateTask = RunStateAsync(state, own.Token);
            return;
        }

        _state.Follow(listed.Names, listed.Listed, changed, listed.Index);
    }

    private async Task RunStateAsync(StateWatch state, CancellationToken stop)
    {
        try
        {
            await state.RunAsync(stop);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Asked to end.
        }
        catch (Exception e)
        {
            _broken.TrySetException(e);
        }
    }

    private async Task EndStateAsync()
    {
        if (_state is not null)
        {
            await _stateStop!.CancelAsync();
            await _stateTask;
            _context.Problems.Clear(_context.Client.StatePlace);
            _stateStop.Dispose();
            (_state, _stateStop, ByState, StateAnswered) = (null, null, false, null);
        }
    }

    /// <summary>A watch found that no more than these may wait at once.</summary>
    private void Lower(int standing, string refused)
    {
        int limit = Math.Max(1, standing - _context.Timing.LimitHeadroom);
        lock (_gate)
        {
            if (limit >= _limit)
            {
                return;
            }

            (_limit, _limitFound) = (limit, _context.Time.GetUtcNow());
        }

        _context.Problems.Set("limit", new Problem
        {
            Code = ProblemCodes.ConsulWatchLimit,
            Place = _context.Client.Address,
            Value = $"{standing} watches stand, the one of service '{refused}' is refused",
            Allowed = "limits.http_max_conns_per_client of the Consul agent above the number of routed services + 24",
            Now = "following all services by one state watch, which is slower and costs Consul more; raise that limit",
        });
        _due.Set();
    }

    private void ForgetLimit()
    {
        if (_limit < _context.Timing.ServiceWatchesMax
            && _context.Time.GetUtcNow() - _limitFound > _context.Timing.LimitMemory)
        {
            _limit = _context.Timing.ServiceWatchesMax;
            _context.Problems.Clear("limit");
        }
    }
}
