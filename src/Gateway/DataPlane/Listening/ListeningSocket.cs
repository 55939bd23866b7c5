using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace Gateway.DataPlane.Listening;

/// <summary>What every listening socket needs of its set.</summary>
/// <param name="Dispatch">Takes accepted sockets.</param>
/// <param name="Gate">Admits connections; null: no limit.</param>
/// <param name="Time">Clock of pauses.</param>
/// <param name="Logger">Log.</param>
/// <param name="Starved">Told when a socket begins (true) and ends (false) to lack descriptors.</param>
internal sealed record AcceptContext(
    AcceptedSocket Dispatch, ConnectionGate? Gate, TimeProvider Time, ILogger Logger, Action<bool> Starved);

/// <summary>
/// One bound socket and its accept loop. The rule of its end: cancel, await the loop, then dispose. .NET's Dispose with an accept
/// pending sets SO_LINGER {1,0} and may call connect(AF_UNSPEC) on the open file description, and after a handoff that
/// description belongs to our successor too: its connections would be cut or its listener killed. Shutdown acts on the
/// description as well and is never called here.
/// </summary>
internal sealed class ListeningSocket : IAsyncDisposable
{
    // The kernel lowers it to net.core.somaxconn, which is 4096 since Linux 5.4.
    private const int Backlog = 4096;

    private static readonly TimeSpan PauseMin = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan PauseMax = TimeSpan.FromSeconds(1);

    private readonly Socket _socket;
    private readonly ListenerState _listener;
    private readonly AcceptContext _context;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _loop;
    private bool _starved;

    private ListeningSocket(Socket socket, ListenerState listener, AcceptContext context)
    {
        _socket = socket;
        _listener = listener;
        _context = context;
        EndPoint = (IPEndPoint)socket.LocalEndPoint!;
        _loop = Task.Run(AcceptLoopAsync);
    }

    /// <summary>Where it is bound; the real port where 0 was asked for.</summary>
    public IPEndPoint EndPoint { get; }

    /// <summary>The descriptor, for handing it to another process. Stays ours.</summary>
    public SafeSocketHandle Handle => _socket.SafeHandle;

    /// <summary>Takes the adopted socket of that key, or binds one, and starts to accept.</summary>
    /// <exception cref="SocketException">It cannot be bound.</exception>
    public static ListeningSocket Open(SocketKey key, AdoptedSockets? adopted, ListenerState listener, AcceptContext context)
    {
        Socket? socket = adopted?.Take(key);
        try
        {
            if (socket is null)
            {
                // Bind sets SO_REUSEADDR on Unix: connections in TIME_WAIT do not keep a restart from binding. Never
                // SO_REUSEPORT (which .NET's ReuseAddress option would set too): two processes would share the port unseen,
                // and a close would reset what waits in one of the queues.
                socket = new Socket(key.Family, key.Type, ProtocolType.Tcp);
                if (key.Family == AddressFamily.InterNetworkV6)
                {
                    socket.DualMode = false; // IPV6_V6ONLY: [::] must not take the port of 0.0.0.0
                }

                socket.Bind(key.EndPoint);
            }

            // On an adopted socket this sets our backlog and disturbs nothing.
            socket.Listen(Backlog);
            return new ListeningSocket(socket, listener, context);
        }
        catch
        {
            socket?.Dispose();
            throw;
        }
    }

    /// <summary>Stops accepting and closes the socket.</summary>
    /// <param name="acceptQueued">
    /// Whether clients that the kernel has connected already are still accepted: the close would reset them. Not wanted when a
    /// successor accepts from the same queue.
    /// </param>
    public async Task CloseAsync(bool acceptQueued)
    {
        // 1. Cancel. 2. Await the loop.
        await _stop.CancelAsync();
        await _loop;
        SetStarved(false);

        // 3. Empty the queue; a connection that arrives between here and the close is lost, the kernel offers no way around it.
        if (acceptQueued)
        {
            AcceptQueued();
        }

        // 4. Close. No accept is pending, so this is a plain close(2).
        _socket.Dispose();
        _stop.Dispose();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync() => await CloseAsync(acceptQueued: false);

    private async Task AcceptLoopAsync()
    {
        CancellationToken cancel = _stop.Token;
        TimeSpan pause = TimeSpan.Zero;
        try
        {
            while (true)
            {
                if (_context.Gate is { } gate)
                {
                    await gate.WhenRoomAsync(cancel);
                }

                SocketError error;
                try
                {
                    ValueTask<Socket> accept = _socket.AcceptAsync(cancel);
                    if (!accept.IsCompleted)
                    {
                        // accept(2) takes a descriptor before it looks at the queue, so "nothing there" proves there is one.
                        SetStarved(false);
                    }

                    Socket accepted = await accept;
                    SetStarved(false);
                    pause = TimeSpan.Zero;
                    await AdmitAsync(accepted, cancel);
                    continue;
                }
                catch (SocketException e)
                {
                    error = e.SocketErrorCode;
                }

                // The client left before it was accepted: its affair.
                if (error is SocketError.ConnectionAborted or SocketError.ConnectionReset)
                {
                    continue;
                }

                // Anything else would repeat at once, so pause: the queue keeps the clients meanwhile.
                SetStarved(error is SocketError.TooManyOpenSockets or SocketError.NoBufferSpaceAvailable);
                pause = pause == TimeSpan.Zero ? PauseMin : TimeSpan.FromTicks(Math.Min(pause.Ticks * 2, PauseMax.Ticks));
                if (pause == PauseMin)
                {
                    _context.Logger.LogWarning("{EndPoint}: accept failed: {Error}; pausing", EndPoint, error);
                }

                await Task.Delay(pause * (0.75 + (Random.Shared.NextDouble() / 2)), _context.Time, cancel);
            }
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
        }
        catch (Exception e)
        {
            // Ours to repair, but every other port must go on.
            _context.Logger.LogCritical(e, "{EndPoint}: accept loop ended", EndPoint);
        }
    }

    // The accept was pending when the last place went to another port: this one connection waits here, at most one per socket.
    private async ValueTask AdmitAsync(Socket accepted, CancellationToken cancel)
    {
        if (_context.Gate is { } gate)
        {
            while (!gate.TryEnter())
            {
                try
                {
                    await gate.WhenRoomAsync(cancel);
                }
                catch (OperationCanceledException)
                {
                    gate.Enter();
                    break;
                }
            }
        }

        Dispatch(accepted);
    }

    private void AcceptQueued()
    {
        try
        {
            _socket.Blocking = false;
            while (_context.Gate?.TryEnter() ?? true)
            {
                Socket accepted;
                try
                {
                    accepted = _socket.Accept();
                }
                catch
                {
                    _context.Gate?.Exit();
                    throw;
                }

                Dispatch(accepted);
            }
        }
        catch (SocketException)
        {
            // Empty (EAGAIN), or not acceptable now: either way the queue is done with.
        }
    }

    private void Dispatch(Socket accepted)
    {
        try
        {
            accepted.NoDelay = true;
        }
        catch (SocketException)
        {
            // Reset already; whoever reads next finds out.
        }

        try
        {
            _context.Dispatch(_listener, accepted);
        }
        catch (Exception e)
        {
            // A lane must not throw. If it does, it has not counted the connection, and its mistake costs this one and not the port.
            _context.Logger.LogError(e, "{EndPoint}: connection lost by its lane", EndPoint);
            accepted.Dispose();
            _context.Gate?.Exit();
        }
    }

    private void SetStarved(bool starved)
    {
        if (_starved != starved)
        {
            _starved = starved;
            _context.Starved(starved);
        }
    }
}
