using System.Globalization;
using Gateway.DataPlane.Loops;

namespace Gateway.DataPlane.Http.FastLane;

/// <summary>
/// A connection to an instance: connecting, serving one exchange, or waiting in its pool. Bytes that nobody asked for end it.
/// </summary>
internal sealed class InstanceConnection : LoopSocket
{
    private readonly InstancePool _pool;
    private readonly byte[] _address;
    private FastExchange? _exchange;
    private bool _connecting;
    private TimeSpan _timeout;

    private InstanceConnection(InstancePool pool, int fd, byte[] address, FastExchange exchange, TimeSpan timeout)
        : base(pool.On.Loop, fd)
    {
        (_pool, _address, _exchange, _timeout, _connecting) = (pool, address, exchange, timeout, true);
    }

    /// <summary>Its pool.</summary>
    public InstancePool Pool => _pool;

    /// <summary>It has served a request before.</summary>
    public bool IsReused { get; private set; }

    /// <summary>Half a response head.</summary>
    public Inbox Inbox;

    /// <summary>Begins to connect. <paramref name="exchange"/> is told of the outcome, maybe before this returns.</summary>
    public static void Connect(InstancePool pool, FastExchange exchange, byte[] address, TimeSpan timeout)
    {
        int fd = Syscalls.StreamSocket(SocketAddresses.FamilyOf(address));
        if (fd < 0)
        {
            exchange.ConnectFailed(Reason.Overloaded, $"socket: {Errno.Text(-fd)}");
            return;
        }

        Syscalls.NoDelay(fd);
        int result = Syscalls.Connect(fd, address);
        InstanceConnection connection = new(pool, fd, address, exchange, timeout);
        if (result < 0 && result != -Errno.InProgress)
        {
            connection.Fail(-result);
        }
        else if (!connection.Attach())
        {
            connection.Fail(Errno.NoMemory);
        }
        else
        {
            exchange.Connecting(connection);
            connection.SetTimer((long)timeout.TotalMilliseconds);
        }
    }

    /// <summary>Serves an exchange after it waited in the pool.</summary>
    public void Serve(FastExchange exchange)
    {
        _exchange = exchange;
        IsReused = true;
    }

    /// <summary>Its exchange is over or gone elsewhere.</summary>
    public void Leave()
    {
        _exchange = null;
        Inbox.Clear(Loop.Buffers);
    }

    /// <summary>Waits for work from now on.</summary>
    public void BecomeIdle(long milliseconds)
    {
        Leave();
        SetTimer(milliseconds);
    }

    /// <summary>Whether nothing waits to be read: no stray byte, no FIN.</summary>
    public bool IsClean()
    {
        if (IsClosed || PeerEnded || Broken || !Inbox.IsEmpty)
        {
            return false;
        }

        if (!CanRead)
        {
            return true;
        }

        Span<byte> one = stackalloc byte[1];
        return Receive(one) == -Errno.Again;
    }

    /// <summary>
    /// Asks the kernel once more whether it is alive, for requests that must not be sent twice: a FIN that has arrived may not have been
    /// told yet.
    /// </summary>
    public bool IsAlive()
    {
        Span<byte> one = stackalloc byte[1];
        return !IsClosed && Syscalls.Peek(Fd, one) == -Errno.Again;
    }

    /// <inheritdoc/>
    protected override void OnReady()
    {
        if (_connecting)
        {
            Settle();
        }
        else if (_exchange is { } exchange)
        {
            exchange.InstanceReady();
        }
        else if (CanRead || Broken)
        {
            _pool.Forget(this);
            Close();
        }
    }

    /// <inheritdoc/>
    protected internal override void OnDue()
    {
        if (_connecting)
        {
            FastExchange? exchange = Abandon();
            exchange?.ConnectFailed(
                Reason.TimeoutConnect, string.Create(CultureInfo.InvariantCulture, $"connect timed out after {_timeout.TotalSeconds:0.###} s"));
        }
        else if (_exchange is { } exchange)
        {
            exchange.InstanceSilent();
        }
        else
        {
            _pool.Forget(this);
            Close();
        }
    }

    /// <inheritdoc/>
    protected internal override void OnFault()
    {
        FastExchange? exchange = Abandon();
        exchange?.OnFault();
    }

    private void Settle()
    {
        if (!CanWrite && !Broken)
        {
            return;
        }

        int error = Syscalls.ErrorOf(Fd);
        if (error != 0)
        {
            Fail(error);
            return;
        }

        // With nobody listening on a port of the ephemeral range the kernel may choose that very port as our source, and TCP's
        // simultaneous open then connects the socket to itself: an echo, and the port taken from its service.
        Span<byte> own = stackalloc byte[SocketAddresses.BytesMax];
        if (Syscalls.LocalAddress(Fd, own, out int length) >= 0 && own[..length].SequenceEqual(_address))
        {
            FastExchange? exchange = Abandon();
            exchange?.ConnectFailed(Reason.ConnectFailed, "connected to itself: nobody listens there");
            return;
        }

        _connecting = false;
        CancelTimer();
        if (_exchange is { } waiting)
        {
            waiting.Connected(this);
        }
        else
        {
            // Whoever wanted it is gone; somebody else may want it.
            _pool.Return(this);
        }
    }

    private void Fail(int error)
    {
        FastExchange? exchange = Abandon();
        exchange?.ConnectFailed(
            Errno.IsOurLimit(error) ? Reason.Overloaded : error == Errno.TimedOut ? Reason.TimeoutConnect : Reason.ConnectFailed,
            error == Errno.Refused ? "connect: refused" : $"connect: {Errno.Text(error)}");
    }

    private FastExchange? Abandon()
    {
        FastExchange? exchange = _exchange;
        Leave();
        Close();
        return exchange;
    }
}
