using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using Gateway.DataPlane.Loops;
using Gateway.Observability;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;

namespace Gateway.DataPlane.Listening;

// In: accepted sockets of any number of ports. Out: a transport that Kestrel believes in. Kestrel binds to one name and never
// learns of ports, so ports come and go without a word to it, and no listening socket of ours is ever in its hands (its own
// listener disposes with an accept pending, which poisons a socket shared with a successor).

/// <summary>The listener a connection came in on. Found on the connection's features and so on the request's.</summary>
internal interface IListenerFeature
{
    /// <summary>The open port, live.</summary>
    ListenerState Listener { get; }
}

/// <summary>The address of a <see cref="ConnectionFeed"/>: a name instead of an IP address.</summary>
internal sealed class FeedEndPoint(string name) : EndPoint
{
    /// <summary>Name of the feed.</summary>
    public string Name => name;

    /// <inheritdoc/>
    public override string ToString() => $"feed:{name}";
}

/// <summary>Hands accepted sockets to a Kestrel server as if it had accepted them itself. One server binds it, once.</summary>
internal sealed class ConnectionFeed : IConnectionListenerFactory, IConnectionListenerFactorySelector
{
    // What waits here has been accepted but not taken: as many as a descriptor limit lets live, so in practice the connection
    // gate of the listener set is the bound that is met and this one only keeps a stuck server from growing without end.
    private const int QueueLengthMax = 65536;

    private readonly Channel<Queued> _queue = Channel.CreateBounded<Queued>(
        new BoundedChannelOptions(QueueLengthMax) { SingleReader = false, SingleWriter = false });

    private readonly SocketConnectionFactoryOptions _options;
    private readonly GatewayMetrics? _metrics;
    private readonly ILogger _logger;
    private int _bound;
    private volatile bool _stopped;

    /// <summary>Makes a feed.</summary>
    /// <param name="name">Name in logs and metrics: <c>http</c>, <c>admin</c>, <c>embedded</c>.</param>
    /// <param name="logger">Takes what goes wrong here and in the transport.</param>
    /// <param name="metrics">Counts connections; null: not counted.</param>
    /// <param name="options">Options of the socket transport; null: its defaults.</param>
    public ConnectionFeed(
        string name, ILogger logger, GatewayMetrics? metrics = null, SocketConnectionFactoryOptions? options = null)
    {
        EndPoint = new FeedEndPoint(name);
        _logger = logger;
        _metrics = metrics;
        _options = options ?? new SocketConnectionFactoryOptions();
    }

    /// <summary>What the server listens on.</summary>
    public FeedEndPoint EndPoint { get; }

    /// <inheritdoc/>
    public bool CanBind(EndPoint endpoint) => ReferenceEquals(endpoint, EndPoint);

    /// <inheritdoc/>
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        if (!CanBind(endpoint))
        {
            throw new NotSupportedException($"feed '{EndPoint.Name}' cannot listen on {endpoint}");
        }

        return Interlocked.Exchange(ref _bound, 1) == 0
            ? ValueTask.FromResult<IConnectionListener>(new Listener(this, new SocketConnectionContextFactory(_options, _logger)))
            : throw new AddressInUseException($"feed '{EndPoint.Name}' is already bound");
    }

    /// <summary>
    /// Takes an accepted socket and owns it from then on; returns at once. Before the server has started it waits in the queue,
    /// after the server has stopped it is closed.
    /// </summary>
    public void Accept(ListenerState? listener, Socket socket)
    {
        listener?.ConnectionOpened();
        _metrics?.ConnectionOpened(listener?.Name ?? EndPoint.Name, EndPoint.Name);
        Enqueue(new Queued(listener, socket, null));
    }

    /// <summary>Takes a descriptor that was accepted on a loop, there; the connection stays on the loop.</summary>
    /// <param name="listener">Where it came in.</param>
    /// <param name="loop">Its loop.</param>
    /// <param name="fd">The descriptor, owned from now on.</param>
    /// <param name="inline">See <see cref="LoopTransport.RunInline"/>.</param>
    public void Accept(ListenerState listener, EventLoop loop, int fd, bool inline)
    {
        listener.ConnectionOpened();
        _metrics?.ConnectionOpened(listener.Name, EndPoint.Name);
        Enqueue(new Queued(listener, null, LoopConnection.Begin(loop, fd, default, inline)));
    }

    /// <summary>
    /// Takes a connection that somebody else has begun to serve on a loop, there, and has counted; <paramref name="read"/> was read of it.
    /// </summary>
    public void TakeOver(ListenerState listener, EventLoop loop, int fd, ReadOnlySpan<byte> read) =>
        Enqueue(new Queued(listener, null, LoopConnection.Begin(loop, fd, read, inline: true)));

    private void Enqueue(Queued queued)
    {
        if (!_queue.Writer.TryWrite(queued))
        {
            if (!_stopped)
            {
                _logger.LogWarning("feed {Feed}: {Queued} connections wait; one more is closed", EndPoint.Name, QueueLengthMax);
            }

            Drop(queued);
        }
    }

    private void Stop()
    {
        _stopped = true;
        _queue.Writer.TryComplete();
        while (_queue.Reader.TryRead(out Queued queued))
        {
            Drop(queued);
        }
    }

    private void Drop(Queued queued)
    {
        queued.Socket?.Dispose();
        if (queued.OnLoop is { } connection)
        {
            connection.Abort();
            _ = connection.DisposeAsync().AsTask();
        }

        Ended(queued);
    }

    private void Ended(Queued queued)
    {
        queued.Listener?.ConnectionClosed();
    }

    // Either the one or the other.
    private readonly record struct Queued(ListenerState? Listener, Socket? Socket, LoopConnection? OnLoop);

    private sealed class Listener(ConnectionFeed feed, SocketConnectionContextFactory transport) : IConnectionListener
    {
        public EndPoint EndPoint => feed.EndPoint;

        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
        {
            while (await feed._queue.Reader.WaitToReadAsync(cancellationToken))
            {
                while (!feed._stopped && feed._queue.Reader.TryRead(out Queued queued))
                {
                    try
                    {
                        return new Connection(feed, queued, queued.OnLoop ?? transport.Create(queued.Socket!));
                    }
                    catch (Exception e)
                    {
                        // The client may be gone already. Kestrel ends its accept loop for good on any exception, so none
                        // may leave.
                        feed._logger.LogDebug(e, "feed {Feed}: connection lost before it was taken", feed.EndPoint.Name);
                        feed.Drop(queued);
                    }
                }

                if (feed._stopped)
                {
                    break;
                }
            }

            return null;
        }

        public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
        {
            feed.Stop();
            return ValueTask.CompletedTask;
        }

        public ValueTask DisposeAsync()
        {
            feed.Stop();
            transport.Dispose();
            return ValueTask.CompletedTask;
        }
    }

    /// <summary>
    /// The transport's connection, and nothing more than a count at its end. DisposeAsync is the end: the ConnectionClosed token
    /// already fires on the client's FIN, while a response may still be on its way.
    /// </summary>
    private sealed class Connection : ConnectionContext, IListenerFeature
    {
        private readonly ConnectionFeed _feed;
        private readonly Queued _queued;
        private readonly ConnectionContext _inner;
        private int _ended;

        public Connection(ConnectionFeed feed, Queued queued, ConnectionContext inner)
        {
            (_feed, _queued, _inner) = (feed, queued, inner);
            if (queued.Listener is not null)
            {
                inner.Features.Set<IListenerFeature>(this);
            }
        }

        public ListenerState Listener => _queued.Listener!;

        public override string ConnectionId
        {
            get => _inner.ConnectionId;
            set => _inner.ConnectionId = value;
        }

        public override Microsoft.AspNetCore.Http.Features.IFeatureCollection Features => _inner.Features;

        public override IDictionary<object, object?> Items
        {
            get => _inner.Items;
            set => _inner.Items = value;
        }

        public override System.IO.Pipelines.IDuplexPipe Transport
        {
            get => _inner.Transport;
            set => _inner.Transport = value;
        }

        public override EndPoint? LocalEndPoint
        {
            get => _inner.LocalEndPoint;
            set => _inner.LocalEndPoint = value;
        }

        public override EndPoint? RemoteEndPoint
        {
            get => _inner.RemoteEndPoint;
            set => _inner.RemoteEndPoint = value;
        }

        public override CancellationToken ConnectionClosed
        {
            get => _inner.ConnectionClosed;
            set => _inner.ConnectionClosed = value;
        }

        public override void Abort() => _inner.Abort();

        public override void Abort(ConnectionAbortedException abortReason) => _inner.Abort(abortReason);

        public override async ValueTask DisposeAsync()
        {
            try
            {
                await _inner.DisposeAsync();
                await base.DisposeAsync();
            }
            finally
            {
                if (Interlocked.Exchange(ref _ended, 1) == 0)
                {
                    _feed.Ended(_queued);
                }
            }
        }
    }
}
