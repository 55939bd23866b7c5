using System.Net;
using System.Net.Sockets;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Loops;
using Gateway.Planning;

namespace Gateway.DataPlane.Http.FastLane;

/// <summary>
/// The connections of one loop to one instance. In: connections whose answer was complete and clean; out: the one used last, or a new
/// one. Invariant: whatever waits here has no byte to be read; the first one that comes, or a FIN, ends it.
/// </summary>
internal sealed class InstancePool(FastLoop on, DestinationState destination)
{
    /// <summary>How many may be idle, per loop.</summary>
    public const int IdleMax = 512;

    /// <summary>
    /// How long one may be idle, in milliseconds: shorter than what servers wait before they close without asking (Node: 5 s), because a
    /// request that crosses with their FIN is lost.
    /// </summary>
    public const long IdleMs = 4000;

    private readonly List<InstanceConnection> _idle = [];
    private byte[]? _address;

    /// <summary>The instance.</summary>
    public DestinationState Destination => destination;

    /// <summary>Its loop's share of the lane.</summary>
    public FastLoop On => on;

    /// <summary>Connections that wait for work.</summary>
    public int Idle => _idle.Count;

    /// <summary>One that waits, or null. It was alive a moment ago.</summary>
    public InstanceConnection? Take()
    {
        while (_idle.Count > 0)
        {
            InstanceConnection connection = _idle[^1];
            _idle.RemoveAt(_idle.Count - 1);
            if (!connection.IsClosed)
            {
                return connection;
            }
        }

        return null;
    }

    /// <summary>Takes a connection back whose answer was complete.</summary>
    public void Return(InstanceConnection connection)
    {
        if (_idle.Count >= IdleMax || destination.IsRetired || !connection.IsClean())
        {
            connection.Leave();
            connection.Close();
            return;
        }

        connection.BecomeIdle(IdleMs);
        _idle.Add(connection);
    }

    /// <summary>Forgets one that ended while it waited.</summary>
    public void Forget(InstanceConnection connection) => _idle.Remove(connection);

    /// <summary>Closes what waits.</summary>
    public void Close()
    {
        foreach (InstanceConnection connection in _idle.ToArray())
        {
            connection.Close();
        }

        _idle.Clear();
    }

    /// <summary>Begins to connect for <paramref name="exchange"/>, which is told of the outcome, maybe before this returns.</summary>
    public void Connect(FastExchange exchange, TimeSpan timeout)
    {
        DestinationPlan plan = destination.Plan;
        if (_address is null && IPAddress.TryParse(plan.Address, out IPAddress? ip))
        {
            _address = SocketAddresses.Of(new IPEndPoint(ip, plan.Port));
        }

        if (_address is not null)
        {
            InstanceConnection.Connect(this, exchange, _address, timeout);
            return;
        }

        // A name: resolving waits, so it happens elsewhere and comes back. The timeout counts from here.
        exchange.Resolving(timeout);
        int attempt = exchange.AttemptNumber;
        _ = ResolveAsync(plan, exchange, attempt, timeout);
    }

    private async Task ResolveAsync(DestinationPlan plan, FastExchange exchange, int attempt, TimeSpan timeout)
    {
        byte[]? address = null;
        string evidence = "the name has no address";
        try
        {
            IPAddress[] found = await Dns.GetHostAddressesAsync(plan.Address).ConfigureAwait(false);
            address = found.Length == 0 ? null : SocketAddresses.Of(new IPEndPoint(found[0], plan.Port));
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            evidence = e.Message;
        }

        on.Loop.Post(
            _ =>
            {
                if (!exchange.StillResolves(attempt))
                {
                    return;
                }

                if (address is null)
                {
                    exchange.ConnectFailed(Reason.ConnectFailed, evidence);
                }
                else
                {
                    InstanceConnection.Connect(this, exchange, address, timeout);
                }
            },
            null);
    }
}
