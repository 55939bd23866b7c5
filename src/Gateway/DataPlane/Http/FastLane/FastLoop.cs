using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Loops;
using Gateway.Observability;
using Gateway.Planning;

namespace Gateway.DataPlane.Http.FastLane;

/// <summary>One loop's share of the lane: its parsers, its connections to clients and instances. Touched by its loop only.</summary>
internal sealed class FastLoop(FastLane lane, EventLoop loop)
{
    private const int ExchangesKept = 256;

    private readonly Dictionary<DestinationState, InstancePool> _pools = [];
    private readonly Stack<FastExchange> _exchanges = [];

    // Where requests are counted, by listener and service.
    private readonly Dictionary<(string Listener, string Service, string Environment), RequestCell> _cells = [];
    private RequestLabels _lastLabels;
    private RequestCell? _lastCell;
    private int _requests;
    private int _tunnels;

    // The second under way as Date has it, and when the next begins by the loop's clock.
    private readonly byte[] _date = new byte[29];
    private long _dateUntil = long.MinValue;

    /// <summary>The lane.</summary>
    public FastLane Lane => lane;

    /// <summary>The loop.</summary>
    public EventLoop Loop => loop;

    /// <summary>Parses heads of requests; holds the last one only.</summary>
    public RequestHead Request { get; } = new();

    /// <summary>Parses heads of responses; holds the last one only.</summary>
    public ResponseHead Response { get; } = new();

    /// <summary>The time as Date has it (RFC 9110 §5.6.7), made once a second.</summary>
    public ReadOnlySpan<byte> Date
    {
        get
        {
            if (loop.Now >= _dateUntil)
            {
                DateTimeOffset now = lane.Time.GetUtcNow();
                _ = System.Buffers.Text.Utf8Formatter.TryFormat(now, _date, out _, 'R');
                _dateUntil = loop.Now + 1000 - now.Millisecond;
            }

            return _date;
        }
    }

    /// <summary>Client connections that live here, by the order in which they came.</summary>
    public HashSet<ClientConnection> Clients { get; } = [];

    /// <summary>Requests and upgraded connections under way. Read by anybody.</summary>
    public int Requests => Volatile.Read(ref _requests);

    /// <summary>Upgraded connections under way. Read by anybody.</summary>
    public int Tunnels => Volatile.Read(ref _tunnels);

    /// <summary>A request begins (1) or ends (-1).</summary>
    public void NoteRequest(int change) => Volatile.Write(ref _requests, _requests + change);

    /// <summary>A tunnel begins (1) or ends (-1).</summary>
    public void NoteTunnel(int change) => Volatile.Write(ref _tunnels, _tunnels + change);

    /// <summary>The pool of an instance.</summary>
    public InstancePool PoolOf(DestinationState destination)
    {
        if (!_pools.TryGetValue(destination, out InstancePool? pool))
        {
            _pools.Add(destination, pool = new InstancePool(this, destination));
        }

        return pool;
    }

    /// <summary>Closes the idle connections of instances that are gone, and forgets them.</summary>
    public void Prune()
    {
        foreach ((DestinationState destination, InstancePool pool) in _pools)
        {
            if (destination.IsRetired)
            {
                pool.Close();
                _pools.Remove(destination);
            }
        }
    }

    /// <summary>Counts a request.</summary>
    public void CountRequest(ListenerState listener, ClusterPlan? cluster, int status, double seconds)
    {
        RequestLabels labels = new(listener.Name, cluster?.Service ?? "", cluster?.Environment ?? "");

        // The same strings nearly always, so comparing them ends with their references.
        if (_lastCell is null || _lastLabels != labels)
        {
            (string, string, string) key = (labels.Listener, labels.Service, labels.Environment);
            if (!_cells.TryGetValue(key, out RequestCell? cell))
            {
                _cells.Add(key, cell = lane.Records.Open(labels));
            }

            (_lastLabels, _lastCell) = (labels, cell);
        }

        lane.Records.Count(_lastCell, labels, status, seconds);
    }

    /// <summary>Connections to instances that wait for work.</summary>
    public int IdleInstances => _pools.Values.Sum(pool => pool.Idle);

    /// <summary>An exchange that nobody uses.</summary>
    public FastExchange Rent() => _exchanges.TryPop(out FastExchange? exchange) ? exchange : new FastExchange(this);

    /// <summary>Takes an exchange back.</summary>
    public void Return(FastExchange exchange)
    {
        if (_exchanges.Count < ExchangesKept)
        {
            _exchanges.Push(exchange);
        }
    }
}
