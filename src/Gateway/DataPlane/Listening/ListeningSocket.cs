using System.Net;
using System.Net.Sockets;
using Gateway.Catalog;
using Gateway.DataPlane.Loops;
using Microsoft.Extensions.Logging;

namespace Gateway.DataPlane.Listening;

/// <summary>What every listening socket needs of its set.</summary>
/// <param name="Dispatch">Takes accepted sockets.</param>
/// <param name="Gate">Admits connections; null: no limit.</param>
/// <param name="Time">Clock of pauses.</param>
/// <param name="Logger">Log.</param>
/// <param name="DescriptorMark">Descriptor number from which on accepting pauses; see <see cref="DescriptorLimit"/>.</param>
/// <param name="Starved">Told when a socket begins (true) and ends (false) to lack descriptors.</param>
/// <param name="Failing">Told when a socket cannot accept for any other reason, and with null when it can again.</param>
internal sealed record AcceptContext(
    AcceptedSocket Dispatch,
    ConnectionGate? Gate,
    TimeProvider Time,
    ILogger Logger,
    int DescriptorMark,
    Action<bool> Starved,
    Action<ListeningSocket, Problem?> Failing)
{
    /// <summary>The loops that accept; null: tasks of our own do, and sockets go to <see cref="Dispatch"/>.</summary>
    public LoopDispatch? Loops { get; init; }
}

/// <summary>
/// One bound socket and its accept loop. The rule of its end: cancel, await the loop, then dispose. .NET's Dispose with an accept
/// pending sets SO_LINGER {1,0} and may call connect(AF_UNSPEC) on the open file description, and after a handoff that
/// description belongs to our successor too: its connections would be cut or its listener killed. Shutdown acts on the
/// description as well and is never called here.
/// </summary>
internal sealed class ListeningSocket : IAcceptState, IAsyncDisposable
{
    // The kernel lowers it to net.core.somaxconn, which is 4096 since Linux 5.4.
    internal const int Backlog = 4096;

    private static readonly TimeSpan PauseMin = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan PauseMax = TimeSpan.FromSeconds(1);

    // Long enough for a burst to pass. A client is not kept longer: where listeners alone have taken the descriptors, no end of a
    // connection would ever let it go on.
    internal static readonly TimeSpan HoldMax = TimeSpan.FromSeconds(30);

    private readonly Socket _socket;
    private readonly ListenerState _listener;
    private readonly AcceptContext _context;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _loop;
    private readonly LoopAcceptor? _acceptor;

    // Written by whoever accepts, one or several.
    private readonly Lock _state = new();
    private volatile bool _starved;
    private volatile bool _failing;

    private ListeningSocket(Socket socket, ListenerState listener, AcceptContext context)
    {
        _socket = socket;
        _listener = listener;
        _context = context;
        EndPoint = (IPEndPoint)socket.LocalEndPoint!;
        if (context.Loops is { } loops)
        {
            // Of several loops that are told of a connection one gets it; the others must not wait for the next.
            socket.Blocking = false;

            // Linux hands this down to what is accepted.
            socket.NoDelay = true;
            _loop = Task.CompletedTask;
            _acceptor = new LoopAcceptor(loops, NumberOf(socket), EndPoint, listener, context, this);
        }
        else
        {
            _loop = Task.Run(AcceptLoopAsync);
        }
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
        await (_acceptor?.StopAsync() ?? Task.CompletedTask);
        try
        {
            SetStarved(false);
            SetFailing(null);

            // 3. Empty the queue; a connection that arrives between here and the close is lost, the kernel offers no way around
            // it.
            if (acceptQueued)
            {
                AcceptQueued();
            }
        }
        finally
        {
            // 4. Close. No accept is pending, so this is a plain close(2).
            _socket.Dispose();
            _stop.Dispose();
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync() => await CloseAsync(acceptQueued: false);

    private async Task AcceptLoopAsync()
    {
        CancellationToken cancel = _stop.Token;
        TimeSpan pause = TimeSpan.Zero;
        while (!cancel.IsCancellationRequested)
        {
            try
            {
                await AcceptAsync(cancel);
            }
            catch (OperationCanceledException) when (cancel.IsCancellationRequested)
            {
            }
            catch (Exception e)
            {
                // Ours to repair, but meanwhile this port must go on as every other.
                _context.Logger.LogCritical(e, "{EndPoint}: accept loop ended; it starts again", EndPoint);
                SetFailing(e.Message);
                pause = Longer(pause);
                await PauseAsync(pause, cancel).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task AcceptAsync(CancellationToken cancel)
    {
        TimeSpan pause = TimeSpan.Zero;
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
                    SetFailing(null);
                }

                Socket accepted = await accept;
                SetFailing(null);
                if (await HasDescriptorsAsync(accepted, cancel))
                {
                    pause = TimeSpan.Zero;
                    await AdmitAsync(accepted, cancel);
                }

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
            SetFailing(_starved ? null : $"accept failed: {error}");
            pause = Longer(pause);
            await PauseAsync(pause, cancel);
            if (error == SocketError.InvalidArgument)
            {
                ListenAgain();
            }
        }
    }

    // Somebody who holds the same description has called shutdown(2) on it: bound still, but no listener any more.
    private void ListenAgain()
    {
        try
        {
            _socket.Listen(Backlog);
        }
        catch (SocketException)
        {
            // The next accept fails as before, and so on.
        }
    }

    /// <summary>
    /// Holds the connection, and so the port, while nearly all descriptors are in use. False: it was closed, because so many
    /// ports hold one that the reserve itself is going, or because nothing came free for too long.
    /// </summary>
    private async ValueTask<bool> HasDescriptorsAsync(Socket accepted, CancellationToken cancel)
    {
        // The kernel gives the lowest free number, so a high number says that all below are taken.
        int number = NumberOf(accepted);
        if (number < _context.DescriptorMark)
        {
            SetStarved(false);
            return true;
        }

        try
        {
            SetStarved(true);
            if (number >= _context.DescriptorMark + DescriptorLimit.HeldMax)
            {
                accepted.Dispose();
                await PauseAsync(PauseMin, cancel);
                return false;
            }

            long since = _context.Time.GetTimestamp();
            for (TimeSpan pause = Longer(TimeSpan.Zero); !cancel.IsCancellationRequested; pause = Longer(pause))
            {
                // A port that closes lets the one it has accepted go on.
                await PauseAsync(pause, cancel).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (LowestFree() < _context.DescriptorMark)
                {
                    SetStarved(false);
                    return true;
                }

                if (_context.Time.GetElapsedTime(since) >= HoldMax && !cancel.IsCancellationRequested)
                {
                    accepted.Dispose();
                    return false;
                }
            }

            return true;
        }
        catch
        {
            accepted.Dispose();
            throw;
        }
    }

    private static int NumberOf(Socket socket) => (int)socket.SafeHandle.DangerousGetHandle();

    private static int LowestFree()
    {
        try
        {
            using Socket probe = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            return NumberOf(probe);
        }
        catch (SocketException)
        {
            return int.MaxValue;
        }
    }

    private static TimeSpan Longer(TimeSpan pause) =>
        pause == TimeSpan.Zero ? PauseMin : TimeSpan.FromTicks(Math.Min(pause.Ticks * 2, PauseMax.Ticks));

    private Task PauseAsync(TimeSpan pause, CancellationToken cancel) =>
        Task.Delay(pause * (0.75 + (Random.Shared.NextDouble() / 2)), _context.Time, cancel);

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

    // Above the limit if need be: what waits here is connected already, and a close would reset it.
    private void AcceptQueued()
    {
        SocketError error = SocketError.Success;
        int lost = 0;
        try
        {
            _socket.Blocking = false;

            // Twice what can have waited when it began: a flood must not keep a closing port open.
            for (int taken = 0; taken < 2 * Backlog && error == SocketError.Success; taken++)
            {
                try
                {
                    if (_context.Loops is { } loops)
                    {
                        error = AcceptQueued(loops, ref lost);
                        continue;
                    }

                    Socket accepted = _socket.Accept();
                    if (NumberOf(accepted) >= _context.DescriptorMark)
                    {
                        error = SocketError.TooManyOpenSockets;
                        lost++;
                        accepted.Dispose();
                        break;
                    }

                    _context.Gate?.Enter();
                    Dispatch(accepted);
                }
                catch (SocketException e) when (e.SocketErrorCode is SocketError.ConnectionAborted or SocketError.ConnectionReset)
                {
                    // The client left before: its affair.
                }
            }
        }
        catch (SocketException e)
        {
            error = e.SocketErrorCode;
        }

        lost += error is SocketError.Success or SocketError.WouldBlock ? 0 : Waiting();
        if (lost > 0)
        {
            _context.Logger.LogWarning(
                "{EndPoint}: accept failed: {Error}; the port closes and resets {Count} connections that waited", EndPoint, error, lost);
        }
    }

    private SocketError AcceptQueued(LoopDispatch loops, ref int lost)
    {
        int accepted = Syscalls.Accept(NumberOf(_socket), [], out _);
        if (accepted < 0)
        {
            return accepted switch
            {
                -Errno.Aborted or -Errno.Reset => SocketError.Success,
                -Errno.Again => SocketError.WouldBlock,
                -Errno.Descriptors or -Errno.HostDescriptors => SocketError.TooManyOpenSockets,
                _ => SocketError.SocketError,
            };
        }

        if (accepted >= _context.DescriptorMark)
        {
            Syscalls.Close(accepted);
            lost++;
            return SocketError.TooManyOpenSockets;
        }

        _context.Gate?.Enter();
        LoopAcceptor.Deal(loops, _listener, accepted);
        return SocketError.Success;
    }

    // TCP_INFO of a listening socket: tcpi_unacked, at byte 24, is the length of its accept queue.
    private int Waiting()
    {
        const int Tcp = 6, TcpInfo = 11, Unacked = 24;
        try
        {
            byte[] info = new byte[Unacked + sizeof(int)];
            return _socket.GetRawSocketOption(Tcp, TcpInfo, info) == info.Length ? BitConverter.ToInt32(info, Unacked) : 0;
        }
        catch (SocketException)
        {
            return 0;
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
            // A lane must not throw. If it does, it has not counted the connection, and its mistake costs this one and not
            // the port.
            _context.Logger.LogError(e, "{EndPoint}: connection lost by its lane", EndPoint);
            accepted.Dispose();
            _context.Gate?.Exit();
        }
    }

    /// <inheritdoc/>
    public void SetStarved(bool starved)
    {
        if (_starved == starved)
        {
            return;
        }

        lock (_state)
        {
            if (_starved != starved)
            {
                _starved = starved;
                _context.Starved(starved);
            }
        }
    }

    /// <inheritdoc/>
    public void SetFailing(string? why)
    {
        // Said when it begins; the reason may change while it lasts.
        if (why is null && !_failing)
        {
            return;
        }

        lock (_state)
        {
            if (why is null)
            {
                if (_failing)
                {
                    _failing = false;
                    _context.Failing(this, null);
                    _context.Logger.LogInformation("{EndPoint}: accepts again", EndPoint);
                }

                return;
            }

            Problem problem = new()
            {
                Code = ProblemCodes.AcceptFailed,
                Service = _listener.Plan.Service.Length == 0 ? null : _listener.Plan.Service,
                Place = EndPoint.ToString(),
                Allowed = "a listening socket that accepts",
                Now = $"{why}; new connections wait in the kernel; tried again every second",
            };
            _context.Failing(this, problem);
            if (!_failing)
            {
                _failing = true;
                _context.Logger.LogWarning("{Problem}", problem);
            }
        }
    }
}
