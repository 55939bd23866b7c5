using System.Collections.Concurrent;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Gateway.Catalog;
using Gateway.Planning;
using Microsoft.Extensions.Logging;

namespace Gateway.DataPlane.Listening;

// In: listener plans, and addresses to bind them on. Out: accepted sockets, handed to the lane of the port's protocol at that
// moment. Invariant: a listener that stays in the plan keeps its sockets, whatever else comes, goes or fails; and no socket is
// ever disposed with an accept pending (see ListeningSocket).

/// <summary>
/// Takes an accepted socket; must return at once. Owns the socket from then on: calls
/// <see cref="ListenerState.ConnectionOpened"/> before it returns and <see cref="ListenerState.ConnectionClosed"/> once, when
/// the connection is closed.
/// </summary>
internal delegate void AcceptedSocket(ListenerState listener, Socket socket);

/// <summary>A socket for a successor: its identity and its descriptor, which stays ours.</summary>
internal readonly record struct ExportedSocket(SocketKey Key, SafeSocketHandle Handle);

/// <summary>What came of opening a socket of Gateway's own: the listener and its address, or the problem.</summary>
/// <param name="Listener">The live listener; null: it is not open.</param>
/// <param name="EndPoint">Where it is bound, with the real port where 0 was asked for; null: it is not open.</param>
/// <param name="Problem">Why it is not open; null: it is.</param>
internal sealed record OwnSocket(ListenerState? Listener, IPEndPoint? EndPoint, Problem? Problem);

/// <summary>Every listening socket of the process, live.</summary>
internal sealed class ListenerSet : IAsyncDisposable
{
    private static readonly TimeSpan InterfaceRecheck = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan StarvedSaidEvery = TimeSpan.FromMinutes(1);
    private static readonly IReadOnlyList<IPAddress> EveryAddress = [IPAddress.Any, IPAddress.IPv6Any];

    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly AcceptContext _context;
    private readonly PortBinder _binder;
    private readonly Func<string, IReadOnlyList<IPAddress>> _interfaces;
    private readonly int _descriptorLimit;
    private readonly ITimer _timer;

    // One operation at a time; everything below, up to the next comment, is touched in a turn only.
    private readonly SemaphoreSlim _turn = new(1, 1);
    private readonly SortedDictionary<ListenerKey, OpenPort> _ports = [];
    private readonly Dictionary<string, OpenPort> _own = new(StringComparer.Ordinal);
    private readonly Dictionary<string, IReadOnlyList<IPAddress>> _lastSeen = new(StringComparer.Ordinal);
    private BindAddresses _addresses;
    private ListeningOptions _options;
    private long _rechecked;
    private bool _stopped;
    private bool _watching;
    private bool _disposed;

    // Written in a turn, read by anybody.
    private volatile IReadOnlyList<ListenerState> _listeners = [];
    private volatile IReadOnlyList<Problem> _problems = [];

    // Written by accept loops and by the network watch.
    private int _starved;
    private long _starvedSaid;
    private readonly ConcurrentDictionary<ListeningSocket, Problem> _failing = [];
    private volatile bool _networkChanged;

    /// <summary>Makes a set without listeners.</summary>
    /// <param name="options">Addresses of the internal listeners.</param>
    /// <param name="time">Clock of retries and rechecks.</param>
    /// <param name="logger">Log.</param>
    /// <param name="http">Takes connections of HTTP ports.</param>
    /// <param name="tcp">Takes connections of TCP ports.</param>
    /// <param name="maxConnections">Client connections at a time over all listeners of the plan, 1 or more.</param>
    /// <param name="adopted">Sockets of a predecessor, used before any is bound; null: none.</param>
    /// <param name="interfaces">Addresses of an interface by its name; null: this host's.</param>
    /// <param name="loops">The loops accept connections of the plan's listeners, and take them; null: tasks of our own do, for
    /// <paramref name="http"/> and <paramref name="tcp"/>.</param>
    public ListenerSet(
        ListeningOptions options,
        TimeProvider time,
        ILogger logger,
        AcceptedSocket http,
        AcceptedSocket tcp,
        int maxConnections,
        AdoptedSockets? adopted = null,
        Func<string, IReadOnlyList<IPAddress>>? interfaces = null,
        LoopDispatch? loops = null)
    {
        _options = options;
        _interfaces = interfaces ?? BindAddresses.OfInterface;
        _addresses = BindAddresses.Resolve(options, _interfaces, _lastSeen);
        _time = time;
        _rechecked = time.GetTimestamp();
        _logger = logger;
        _binder = new PortBinder(time, logger, adopted);
        Gate = new ConnectionGate(maxConnections);

        _descriptorLimit = DescriptorLimit.Read();

        // The protocol is read per connection: a port may change it without closing its socket.
        _context = new AcceptContext(
            (listener, socket) => (listener.Plan.Protocol == ListenProtocol.Tcp ? tcp : http)(listener, socket),
            Gate, time, logger, DescriptorLimit.MarkOfPlan(_descriptorLimit), Starved, Failing)
        {
            Loops = loops,
        };
        _timer = time.CreateTimer(_ => _ = RetryAsync(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        WatchNetwork();
        Publish();
    }

    /// <summary>The limit over all listeners of the plan, and how many connections there are; own sockets do not count.</summary>
    public ConnectionGate Gate { get; }

    /// <summary>Open ports, in the order of their keys.</summary>
    public IReadOnlyList<ListenerState> Listeners => _listeners;

    /// <summary>What could not be bound or cannot accept, and why.</summary>
    public EquatableArray<Problem> Problems
    {
        get
        {
            IEnumerable<Problem> problems = _problems;
            if (!_failing.IsEmpty)
            {
                problems = problems.Concat(_failing.Values.OrderBy(p => p.Place, StringComparer.Ordinal));
            }

            return Volatile.Read(ref _starved) == 0
                ? problems.ToEquatableArray()
                : problems.Where(p => p.Code != PortAddress.DescriptorLimit).Append(StarvedProblem).ToEquatableArray();
        }
    }

    private static Problem StarvedProblem => new()
    {
        Code = PortAddress.DescriptorLimit,
        Place = "process",
        Allowed = "fewer connections and listeners than descriptors",
        Now = PortAddress.DescriptorAdvice,
    };

    /// <summary>Binds what is new, hands kept listeners their new plan. Never closes anything.</summary>
    public Task OpenAsync(IReadOnlyList<ListenerPlan> added, IReadOnlyList<Change<ListenerPlan>> changed) => InTurnAsync(() =>
    {
        foreach (Change<ListenerPlan> change in changed)
        {
            if (_ports.TryGetValue(change.New.Key, out OpenPort? port))
            {
                port.State.Plan = change.New;
            }
        }

        List<PortAddress> unbound = [];
        foreach (ListenerPlan plan in added)
        {
            if (_ports.TryGetValue(plan.Key, out OpenPort? port))
            {
                port.State.Plan = plan;
                continue;
            }

            // A port that was removed and comes back is a new listener: connections of the old one keep finishing.
            port = new OpenPort(new ListenerState(plan, Gate), _context);
            _ports.Add(plan.Key, port);
            if (!_stopped)
            {
                unbound.AddRange(port.Want(Wanted(plan.Key)));
            }
        }

        _binder.Bind(unbound);
        return Task.CompletedTask;
    });

    /// <summary>Stops accepting on what is gone and closes its sockets; connections go on.</summary>
    public Task CloseAsync(IReadOnlyList<ListenerPlan> removed) => InTurnAsync(async () =>
    {
        List<PortAddress> closing = [];
        foreach (ListenerPlan plan in removed)
        {
            if (_ports.Remove(plan.Key, out OpenPort? port))
            {
                port.State.Closing = true;
                closing.AddRange(port.TakeUnwanted([]));
            }
        }

        await CloseAsync(closing);
    });

    /// <summary>Takes new addresses for the internal listeners: binds the new ones, then closes those that are gone.</summary>
    public Task ReconfigureAsync(ListeningOptions options) => InTurnAsync(() =>
    {
        _options = options;
        _addresses = BindAddresses.Resolve(options, _interfaces, _lastSeen);
        WatchNetwork();
        return BindWantedAsync();
    });

    /// <summary>Opens a socket of Gateway's own (admin, embedded catalog), outside of plan and limit.</summary>
    /// <param name="name">Whose it is.</param>
    /// <param name="endPoint">Where; port 0 takes any.</param>
    /// <param name="accepted">Takes its connections.</param>
    /// <returns>The listener, or the problem that kept it from being bound: not retried, the caller decides.</returns>
    public async Task<OwnSocket> OpenOwnAsync(string name, IPEndPoint endPoint, AcceptedSocket accepted)
    {
        OwnSocket? result = null;
        await InTurnAsync(() =>
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_own.ContainsKey(name))
            {
                throw new InvalidOperationException($"'{name}' has a socket already");
            }

            ListenerPlan plan = new()
            {
                Key = new ListenerKey(endPoint.Address.ToString(), endPoint.Port),
                Protocol = ListenProtocol.Http,
                Service = name,
                Environment = "",
                Cluster = "",
            };
            AcceptContext context = _context with
            {
                Dispatch = accepted,
                Loops = null,
                Gate = null,
                DescriptorMark = DescriptorLimit.MarkOfOwn(_descriptorLimit),
            };
            OpenPort port = new(new ListenerState(plan), context);
            PortAddress address = port.Want([endPoint.Address])[0];
            Problem? problem = _binder.BindOnce(address, name);
            if (problem is null)
            {
                _own.Add(name, port);
            }

            result = problem is null
                ? new OwnSocket(port.State, address.View.EndPoint, null)
                : new OwnSocket(null, null, problem);
            return Task.CompletedTask;
        });
        return result!;
    }

    /// <summary>Closes a socket of Gateway's own; connections go on.</summary>
    public Task CloseOwnAsync(string name) => InTurnAsync(
        () => _own.Remove(name, out OpenPort? port) ? CloseAsync(port.TakeUnwanted([])) : Task.CompletedTask);

    /// <summary>
    /// Every bound socket, Gateway's own included, to be handed to a successor. They stay ours and go on accepting; from now on
    /// a close leaves what waits in their queues to the successor; the queue of a port opened later is ours as ever.
    /// </summary>
    public async Task<IReadOnlyList<ExportedSocket>> ExportAsync()
    {
        List<ExportedSocket> exported = [];
        await InTurnAsync(() =>
        {
            foreach (PortAddress address in _ports.Values.Concat(_own.Values).SelectMany(p => p.Addresses))
            {
                if (address.Socket is { } socket)
                {
                    address.Exported = true;
                    exported.Add(new ExportedSocket(SocketKey.Tcp(socket.EndPoint), socket.Handle));
                }
            }

            return Task.CompletedTask;
        });
        return exported;
    }

    /// <summary>The successor did not take over: closes empty the queues first again.</summary>
    public Task ExportFailedAsync() => InTurnAsync(() =>
    {
        foreach (PortAddress address in _ports.Values.Concat(_own.Values).SelectMany(p => p.Addresses))
        {
            address.Exported = false;
        }

        return Task.CompletedTask;
    });

    /// <summary>Stops accepting on every port of the plan and closes its sockets (drain). Gateway's own stay open.</summary>
    public Task StopAcceptingAsync() => InTurnAsync(() =>
    {
        _stopped = true;
        return CloseAsync([.. _ports.Values.SelectMany(p => p.TakeUnwanted([]))]);
    });

    /// <summary>Closes every socket.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_watching)
        {
            NetworkChange.NetworkAddressChanged -= OnNetworkChanged;
        }

        await StopAcceptingAsync();
        await InTurnAsync(async () =>
        {
            await CloseAsync([.. _own.Values.SelectMany(p => p.TakeUnwanted([]))]);
            _own.Clear();
            _disposed = true;
        });
        await _timer.DisposeAsync();
    }

    private async Task InTurnAsync(Func<Task> operation)
    {
        await _turn.WaitAsync();
        try
        {
            await operation();
        }
        finally
        {
            try
            {
                Publish();
                Schedule();
            }
            finally
            {
                _turn.Release();
            }
        }
    }

    private IReadOnlyList<IPAddress> Wanted(ListenerKey key) => key.Scope switch
    {
        ListenerKey.Internal => _addresses.Addresses,
        "" or "*" => EveryAddress,
        _ => [IPAddress.Parse(key.Scope)],
    };

    private async Task CloseAsync(IReadOnlyList<PortAddress> closing)
    {
        _binder.Forget(closing);
        await Task.WhenAll(closing.Select(a => a.CloseAsync()));

        // What just closed may be what another listener waits for: 127.0.0.1 in the way of 0.0.0.0.
        if (closing.Count > 0 && !_stopped)
        {
            _binder.RetryInUse();
        }
    }

    private async Task BindWantedAsync()
    {
        if (_stopped)
        {
            return;
        }

        _binder.Bind([.. _ports.Values.SelectMany(p => p.Want(Wanted(p.State.Key)))]);
        await CloseAsync([.. _ports.Values.SelectMany(p => p.TakeUnwanted(Wanted(p.State.Key)))]);
    }

    private async Task RetryAsync()
    {
        try
        {
            await InTurnAsync(async () =>
            {
                if (_stopped)
                {
                    return;
                }

                bool networkChanged = _networkChanged;
                _networkChanged = false;

                // 1. Addresses that interface names stand for now.
                if (_addresses.NamesInterfaces)
                {
                    _rechecked = _time.GetTimestamp();
                    _addresses = BindAddresses.Resolve(_options, _interfaces, _lastSeen);
                    await BindWantedAsync();
                }

                // 2. What failed and is due.
                _binder.RetryDue(networkChanged);
            });
        }
        catch (Exception e)
        {
            // Ours to repair; the listeners that are open must go on.
            _logger.LogError(e, "retrying to bind failed");
        }
    }

    private void Publish()
    {
        _listeners = [.. _ports.Values.Select(p => p.State)];
        _problems =
        [
            .. _addresses.MissingInterfaces.Select(name => new Problem
            {
                Code = ProblemCodes.InterfaceNotFound,
                Place = "internal.addresses",
                Value = name,
                Allowed = "an IP address or the name of a network interface that has one",
                Now = "nothing is bound there; bound as soon as the interface appears",
            }),
            .. _binder.Problems,
        ];
    }

    private void Schedule()
    {
        TimeSpan next = _stopped || _disposed
            ? Timeout.InfiniteTimeSpan
            : new[] { _binder.NextDue, _addresses.NamesInterfaces ? InterfaceRecheck - _time.GetElapsedTime(_rechecked) : null }.Min() ?? Timeout.InfiniteTimeSpan;
        if (next != Timeout.InfiniteTimeSpan)
        {
            next = next < TimeSpan.Zero || _networkChanged ? TimeSpan.Zero : next;
        }

        _timer.Change(next, Timeout.InfiniteTimeSpan);
    }

    private void Starved(bool starved)
    {
        // At the limit this comes and goes with every connection that ends: said once in a while.
        if (Interlocked.Add(ref _starved, starved ? 1 : -1) == 1 && starved)
        {
            long now = _time.GetTimestamp(), said = Interlocked.Read(ref _starvedSaid);
            if ((said == 0 || _time.GetElapsedTime(said, now) > StarvedSaidEvery)
                && Interlocked.CompareExchange(ref _starvedSaid, now, said) == said)
            {
                _logger.LogWarning("{Problem}", StarvedProblem);
            }
        }
    }

    private void Failing(ListeningSocket socket, Problem? problem)
    {
        if (problem is null)
        {
            _failing.TryRemove(socket, out _);
        }
        else
        {
            _failing[socket] = problem;
        }
    }

    private void WatchNetwork()
    {
        if (_watching)
        {
            return;
        }

        try
        {
            NetworkChange.NetworkAddressChanged += OnNetworkChanged;
            _watching = true;
        }
        catch (NetworkInformationException e)
        {
            _logger.LogDebug(e, "the network cannot be watched; addresses are checked from time to time");
        }
    }

    private void OnNetworkChanged(object? sender, EventArgs args)
    {
        _networkChanged = true;
        _timer.Change(TimeSpan.FromMilliseconds(50), Timeout.InfiniteTimeSpan);
    }
}
