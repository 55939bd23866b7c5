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
/// Takes an accepted socket; must return at once. Owns the socket from then on: calls <see cref="ListenerState.ConnectionOpened"/>
/// before it returns and <see cref="ListenerState.ConnectionClosed"/> once, when the connection is closed.
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
    private static readonly IReadOnlyList<IPAddress> EveryAddress = [IPAddress.Any, IPAddress.IPv6Any];

    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly AdoptedSockets? _adopted;
    private readonly AcceptContext _context;
    private readonly long _epoch;
    private readonly ITimer _timer;
    private readonly PortOwners _owners = new();

    // One operation at a time; everything below, up to the next comment, is touched in a turn only.
    private readonly SemaphoreSlim _turn = new(1, 1);
    private readonly SortedDictionary<ListenerKey, OpenPort> _ports = [];
    private readonly Dictionary<string, OpenPort> _own = new(StringComparer.Ordinal);
    private readonly HashSet<PortAddress> _failed = [];
    private BindAddresses _addresses;
    private ListeningOptions _options;
    private bool _exported;
    private bool _stopped;
    private bool _watching;
    private bool _loopback6Noted;
    private bool _disposed;

    // Written in a turn, read by anybody.
    private volatile IReadOnlyList<ListenerState> _listeners = [];
    private volatile IReadOnlyList<Problem> _problems = [];

    // Written by accept loops and by the network watch.
    private int _starved;
    private volatile bool _networkChanged;

    /// <summary>Makes a set without listeners.</summary>
    /// <param name="options">Addresses of the internal listeners.</param>
    /// <param name="time">Clock of retries and rechecks.</param>
    /// <param name="logger">Log.</param>
    /// <param name="http">Takes connections of HTTP ports.</param>
    /// <param name="tcp">Takes connections of TCP ports.</param>
    /// <param name="maxConnections">Client connections at a time over all listeners of the plan, 1 or more.</param>
    /// <param name="adopted">Sockets of a predecessor, used before any is bound; null: none.</param>
    public ListenerSet(
        ListeningOptions options,
        TimeProvider time,
        ILogger logger,
        AcceptedSocket http,
        AcceptedSocket tcp,
        int maxConnections,
        AdoptedSockets? adopted = null)
    {
        _options = options;
        _addresses = BindAddresses.Resolve(options);
        _time = time;
        _logger = logger;
        _adopted = adopted;
        _epoch = time.GetTimestamp();
        Gate = new ConnectionGate(maxConnections);

        // The protocol is read per connection: a port may change it without closing its socket.
        _context = new AcceptContext(
            (listener, socket) => (listener.Plan.Protocol == ListenProtocol.Tcp ? tcp : http)(listener, socket),
            Gate, time, logger, Starved);
        _timer = time.CreateTimer(_ => _ = RetryAsync(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        WatchNetwork();
        Publish();
    }

    /// <summary>The limit over all listeners of the plan, and how many connections there are. Own sockets are not counted.</summary>
    public ConnectionGate Gate { get; }

    /// <summary>Open ports, in the order of their keys.</summary>
    public IReadOnlyList<ListenerState> Listeners => _listeners;

    /// <summary>What could not be bound, and why.</summary>
    public EquatableArray<Problem> Problems => Volatile.Read(ref _starved) == 0
        ? _problems.ToEquatableArray()
        : _problems.Where(p => p.Code != PortAddress.DescriptorLimit).Append(StarvedProblem).ToEquatableArray();

    private static Problem StarvedProblem => new()
    {
        Code = PortAddress.DescriptorLimit,
        Place = "process",
        Allowed = "fewer connections and listeners than descriptors",
        Now = PortAddress.DescriptorAdvice,
    };

    private TimeSpan Now => _time.GetElapsedTime(_epoch);

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

        Bind(unbound);
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
        _addresses = BindAddresses.Resolve(options);
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
            OpenPort port = new(new ListenerState(plan), _context with { Dispatch = accepted, Gate = null });
            PortAddress address = port.Want([endPoint.Address])[0];
            if (address.TryBind(_adopted, Now))
            {
                port.PublishBindings();
                _own.Add(name, port);
                result = new OwnSocket(port.State, address.View.EndPoint, null);
            }
            else
            {
                FindOwners([address]);
                Problem problem = address.ToProblem();
                result = new OwnSocket(null, null, problem with
                {
                    Service = null,
                    Now = address.Failure == PortAddress.InUse
                        ? $"{name} cannot listen there: held by {address.Owner?.ToString() ?? "a program this user may not see"}"
                        : $"{name} cannot listen there: {address.ErrorText}",
                });
            }

            return Task.CompletedTask;
        });
        return result!;
    }

    /// <summary>Closes a socket of Gateway's own; connections go on.</summary>
    public Task CloseOwnAsync(string name) => InTurnAsync(
        () => _own.Remove(name, out OpenPort? port) ? CloseAsync(port.TakeUnwanted([])) : Task.CompletedTask);

    /// <summary>
    /// Every bound socket, Gateway's own included, to be handed to a successor. They stay ours and go on accepting; from now on
    /// a close leaves what waits in their queues to the successor.
    /// </summary>
    public async Task<IReadOnlyList<ExportedSocket>> ExportAsync()
    {
        List<ExportedSocket> exported = [];
        await InTurnAsync(() =>
        {
            _exported = true;
            foreach (PortAddress address in _ports.Values.Concat(_own.Values).SelectMany(p => p.Addresses))
            {
                if (address.Socket is { } socket)
                {
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
        _exported = false;
        return Task.CompletedTask;
    });

    /// <summary>Stops accepting on every port of the plan and closes its sockets (drain). Gateway's own stay until the end.</summary>
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
            Publish();
            Schedule();
        }
        finally
        {
            _turn.Release();
        }
    }

    private IReadOnlyList<IPAddress> Wanted(ListenerKey key) => key.Scope switch
    {
        ListenerKey.Internal => _addresses.Addresses,
        "" or "*" => EveryAddress,
        _ => [IPAddress.Parse(key.Scope)],
    };

    private void Bind(IReadOnlyList<PortAddress> unbound)
    {
        if (unbound.Count == 0)
        {
            return;
        }

        HashSet<OpenPort> touched = [];
        List<PortAddress> failed = [];
        foreach (PortAddress address in unbound)
        {
            string? before = address.Failure;
            touched.Add(address.Port);
            if (address.TryBind(_adopted, Now))
            {
                _failed.Remove(address);
                if (before is not null)
                {
                    _logger.LogInformation("{EndPoint}: bound at last", address.Key.EndPoint);
                }
            }
            else
            {
                _failed.Add(address);
                failed.Add(address);
            }

            if (address.Failure == before)
            {
                failed.Remove(address); // said already
            }
        }

        if (unbound.Any(a => a.Failure == PortAddress.InUse))
        {
            FindOwners(_failed);
        }

        foreach (Problem problem in failed.Where(f => !IsQuiet(f)).Select(f => f.ToProblem()).Distinct())
        {
            _logger.LogWarning("{Problem}", problem);
        }

        foreach (OpenPort port in touched)
        {
            port.PublishBindings();
        }
    }

    private void FindOwners(IEnumerable<PortAddress> failed)
    {
        PortAddress[] inUse = [.. failed.Where(f => f.Failure == PortAddress.InUse)];
        if (inUse.Length == 0)
        {
            return;
        }

        IReadOnlyDictionary<IPEndPoint, PortOwner> owners = _owners.Find([.. inUse.Select(f => f.Key.EndPoint)]);
        foreach (PortAddress address in inUse)
        {
            address.Owner = owners.GetValueOrDefault(address.Key.EndPoint);
        }
    }

    private async Task CloseAsync(IReadOnlyList<PortAddress> closing)
    {
        _failed.ExceptWith(closing);
        await Task.WhenAll(closing.Select(a => a.CloseAsync(acceptQueued: !_exported)));

        // What just closed may be what another listener waits for: 127.0.0.1 in the way of 0.0.0.0.
        if (closing.Count > 0 && !_stopped)
        {
            Bind([.. _failed.Where(f => f.Failure == PortAddress.InUse)]);
        }
    }

    private async Task BindWantedAsync()
    {
        if (_stopped)
        {
            return;
        }

        Bind([.. _ports.Values.SelectMany(p => p.Want(Wanted(p.State.Key)))]);
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
                    BindAddresses found = BindAddresses.Resolve(_options);

                    // An interface that went away keeps its sockets: they cost nothing and serve again when it is back.
                    _addresses = found.MissingInterfaces.Count == 0
                        ? found
                        : found with { Addresses = [.. found.Addresses.Union(_addresses.Addresses)] };
                    await BindWantedAsync();
                }

                // 2. What failed and is due. An absent address is asked for once, not once per port.
                Dictionary<IPAddress, bool> present = [];
                List<PortAddress> due = [];
                foreach (PortAddress address in _failed)
                {
                    bool absent = address.Failure == PortAddress.NotAvailable;
                    if (address.Due > Now && !(absent && networkChanged))
                    {
                        continue;
                    }

                    if (absent && !IsPresent(address.Key.Address, present))
                    {
                        address.Postpone(Now);
                        continue;
                    }

                    due.Add(address);
                }

                Bind(due);
            });
        }
        catch (Exception e)
        {
            // Ours to repair; the listeners that are open must go on.
            _logger.LogError(e, "retrying to bind failed");
        }
    }

    private static bool IsPresent(IPAddress address, Dictionary<IPAddress, bool> known)
    {
        if (!known.TryGetValue(address, out bool present))
        {
            try
            {
                using Socket probe = new(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
                probe.Bind(new IPEndPoint(address, 0));
                present = true;
            }
            catch (SocketException)
            {
                present = false;
            }

            known[address] = present;
        }

        return present;
    }

    // With IPv6 switched off there is no ::1, and nobody asked for it: it is among the default addresses.
    private bool IsQuiet(PortAddress address)
    {
        bool quiet = address.Failure == PortAddress.NotAvailable
            && address.Key.Address.Equals(IPAddress.IPv6Loopback)
            && _addresses.Addresses.Contains(IPAddress.Loopback);
        if (quiet && !_loopback6Noted)
        {
            _loopback6Noted = true;
            _logger.LogInformation("this host has no ::1 (IPv6 is off); internal listeners serve on their other addresses");
        }

        return quiet;
    }

    private void Publish()
    {
        _listeners = [.. _ports.Values.Select(p => p.State)];
        _problems =
        [
            .. _addresses.MissingInterfaces.Select(name => new Problem
            {
                Code = "interface-not-found",
                Place = "internal.addresses",
                Value = name,
                Allowed = "an IP address or the name of a network interface that has one",
                Now = "nothing is bound there; bound as soon as the interface appears",
            }),
            .. _failed.Where(f => !IsQuiet(f))
                .OrderBy(f => f.Port.State.Key)
                .ThenBy(f => f.Key.Address.ToString(), StringComparer.Ordinal)
                .Select(f => f.ToProblem())
                .Distinct(),
        ];
    }

    private void Schedule()
    {
        TimeSpan next = _stopped || _disposed
            ? Timeout.InfiniteTimeSpan
            : _failed.Select(f => (TimeSpan?)f.Due - Now).Append(_addresses.NamesInterfaces ? InterfaceRecheck : null).Min()
                ?? Timeout.InfiniteTimeSpan;
        _timer.Change(next < TimeSpan.Zero && next != Timeout.InfiniteTimeSpan ? TimeSpan.Zero : next, Timeout.InfiniteTimeSpan);
    }

    private void Starved(bool starved) => Interlocked.Add(ref _starved, starved ? 1 : -1);

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
