using System.Net;
using System.Net.Sockets;
using Gateway.Catalog;

namespace Gateway.DataPlane.Listening;

/// <summary>One address of one port: bound, or waiting to be tried again. Touched by the listener set in its turn only.</summary>
internal sealed class PortAddress(OpenPort port, SocketKey key)
{
    /// <summary>Code of a port that another program holds.</summary>
    public const string InUse = ProblemCodes.PortInUse;

    /// <summary>Code of an address this host does not have.</summary>
    public const string NotAvailable = ProblemCodes.AddressNotAvailable;

    /// <summary>Code of a process out of descriptors.</summary>
    public const string DescriptorLimit = ProblemCodes.DescriptorLimit;

    private static readonly TimeSpan RetryFirst = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RetryMax = TimeSpan.FromSeconds(30);

    // What comes by itself should serve soon: an address that appears (asked once per address, not once per port), and a port
    // whose holder leaves, which is HAProxy on the day of the change. Not sooner: who holds a port is read from all of /proc.
    private static readonly TimeSpan SoonRetryMax = TimeSpan.FromSeconds(5);

    private SocketException? _error;
    private TimeSpan _pause;

    /// <summary>The port it belongs to.</summary>
    public OpenPort Port => port;

    /// <summary>Identity of the socket.</summary>
    public SocketKey Key => key;

    /// <summary>The socket; null while it is not bound.</summary>
    public ListeningSocket? Socket { get; private set; }

    /// <summary>A successor holds the socket too, and takes what waits in its queue.</summary>
    public bool Exported { get; set; }

    /// <summary>Who holds the port, where visible.</summary>
    public PortOwner? Owner { get; set; }

    /// <summary>Who holds the port, in words.</summary>
    public string OwnerText => Owner?.ToString() ?? "a program this user may not see";

    /// <summary>Code of the problem; null: bound, or not tried yet.</summary>
    public string? Failure { get; private set; }

    /// <summary>The failure in the system's words; empty: none.</summary>
    public string ErrorText => _error?.Message ?? "";

    /// <summary>When it is tried next, on the set's clock.</summary>
    public TimeSpan Due { get; private set; }

    /// <summary>What it looks like from outside.</summary>
    public ListenerBinding View => new(Socket?.EndPoint ?? key.EndPoint, Failure);

    /// <summary>Tries to bind; false with <see cref="Failure"/> and <see cref="Due"/> set when it cannot be.</summary>
    public bool TryBind(AdoptedSockets? adopted, TimeSpan now)
    {
        try
        {
            Socket = ListeningSocket.Open(key, adopted, port.State, port.Context);
            (_error, Failure, Owner, _pause) = (null, null, null, TimeSpan.Zero);
            return true;
        }
        catch (SocketException e)
        {
            _error = e;
            Failure = e.SocketErrorCode switch
            {
                SocketError.AddressAlreadyInUse => InUse,
                SocketError.AccessDenied => ProblemCodes.PortNotPermitted,
                SocketError.AddressNotAvailable or SocketError.AddressFamilyNotSupported => NotAvailable,
                SocketError.TooManyOpenSockets or SocketError.NoBufferSpaceAvailable => DescriptorLimit,
                _ => ProblemCodes.BindFailed,
            };
            Postpone(now);
            return false;
        }
    }

    /// <summary>Waits longer: 1 s, doubling up to 30 s (5 s for an address that is not there or a port that is held), ±25 %.</summary>
    public void Postpone(TimeSpan now)
    {
        TimeSpan max = Failure is NotAvailable or InUse ? SoonRetryMax : RetryMax;
        _pause = _pause == TimeSpan.Zero ? RetryFirst : TimeSpan.FromTicks(Math.Min(_pause.Ticks * 2, max.Ticks));
        Due = now + (_pause * (0.75 + (Random.Shared.NextDouble() / 2)));
    }

    /// <summary>Closes the socket; connections go on.</summary>
    public Task CloseAsync()
    {
        ListeningSocket? socket = Socket;
        Socket = null;
        return socket?.CloseAsync(acceptQueued: !Exported) ?? Task.CompletedTask;
    }

    /// <summary>What an operator should know of the failure.</summary>
    public Problem ToProblem() => new()
    {
        Code = Failure!,

        // An absent address or a used-up descriptor limit is one problem, however many ports it concerns.
        Service = Failure is NotAvailable or DescriptorLimit || port.State.Plan.Service.Length == 0 ? null : port.State.Plan.Service,
        Value = Failure == ProblemCodes.BindFailed ? ErrorText : null,
        ValueMoves = true,
        Place = Failure switch
        {
            NotAvailable => key.Address.ToString(),
            DescriptorLimit => "process",
            _ => key.EndPoint.ToString(),
        },
        Allowed = Failure switch
        {
            NotAvailable => "an address of this host",
            DescriptorLimit => "fewer connections and listeners than descriptors",
            InUse => "a port that no other program holds",
            ProblemCodes.PortNotPermitted => "a port from net.ipv4.ip_unprivileged_port_start on, or CAP_NET_BIND_SERVICE",
            _ => "an address that the system lets this process listen on",
        },
        Now = Failure switch
        {
            InUse => $"held by {OwnerText}; tried again every 5 s, the "
                + "listener serves on its other addresses; stop that program or give the service another port",
            ProblemCodes.PortNotPermitted => "this user may not bind it: grant CAP_NET_BIND_SERVICE or lower "
                + "net.ipv4.ip_unprivileged_port_start; tried again with back-off",
            NotAvailable => "nothing is bound there; bound as soon as the address appears",
            DescriptorLimit => DescriptorAdvice,
            _ => $"{ErrorText}; tried again with back-off",
        },
    };

    /// <summary>What to do about a used-up descriptor limit.</summary>
    public const string DescriptorAdvice =
        "new connections wait in the kernel until a descriptor is free; raise LimitNOFILE or lower limits.maxConnections";
}

/// <summary>One port with its addresses. Touched by the listener set in its turn only.</summary>
internal sealed class OpenPort(ListenerState state, AcceptContext context)
{
    private readonly List<PortAddress> _addresses = [];

    /// <summary>The live listener.</summary>
    public ListenerState State => state;

    /// <summary>What its sockets need.</summary>
    public AcceptContext Context => context;

    /// <summary>Bound and unbound addresses.</summary>
    public IReadOnlyList<PortAddress> Addresses => _addresses;

    /// <summary>Adds what is wanted and not there; returns what it added, unbound.</summary>
    public IReadOnlyList<PortAddress> Want(IReadOnlyList<IPAddress> wanted)
    {
        List<PortAddress> added = [];
        foreach (IPAddress address in wanted)
        {
            SocketKey key = SocketKey.Tcp(new IPEndPoint(address, state.Key.Port));
            if (!_addresses.Exists(a => a.Key == key))
            {
                added.Add(new PortAddress(this, key));
            }
        }

        _addresses.AddRange(added);
        return added;
    }

    /// <summary>Takes out what is there and not wanted; the caller closes it.</summary>
    public IReadOnlyList<PortAddress> TakeUnwanted(IReadOnlyList<IPAddress> wanted)
    {
        List<PortAddress> unwanted = _addresses.FindAll(a => !wanted.Contains(a.Key.Address));
        _addresses.RemoveAll(unwanted.Contains);
        PublishBindings();
        return unwanted;
    }

    /// <summary>Shows readers what is bound now.</summary>
    public void PublishBindings() => state.Bindings = _addresses.ConvertAll(a => a.View);
}
