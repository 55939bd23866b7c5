using System.Net;
using System.Text;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Loops;

namespace Gateway.DataPlane.Http.FastLane;

/// <summary>
/// A client's connection: reads request heads, one at a time, and gives each to an exchange. Between requests it holds no buffer. What
/// is no HTTP/1.1, or is for a cluster that the other lane serves, is handed on whole, with the bytes that were read.
/// </summary>
internal sealed class ClientConnection : LoopSocket
{
    // A pipeline that is never empty lets others have their turn after so many requests.
    private const int RequestsPerTurn = 16;

    private readonly FastLoop _on;
    private readonly ListenerState _listener;
    private FastExchange? _exchange;
    private byte[]? _address;
    private int _scanned;
    private Phase _phase = Phase.New;
    private bool _reading;
    private bool _ended;

    /// <summary>Bytes of the client that were read and not used yet.</summary>
    public Inbox Inbox;

    public ClientConnection(FastLoop on, ListenerState listener, int fd)
        : base(on.Loop, fd)
    {
        (_on, _listener) = (on, listener);
        OpenedAt = LastActive = on.Loop.Timestamp;
    }

    private enum Phase : byte
    {
        /// <summary>It has not sent a byte.</summary>
        New,

        /// <summary>Between requests.</summary>
        Idle,

        /// <summary>Half a head is there.</summary>
        Head,

        /// <summary>An exchange is under way.</summary>
        Exchange,

        /// <summary>Everything is said; what the client still sends is read and dropped, so that no reset overtakes the answer.</summary>
        Lingering,
    }

    /// <summary>The port it came in on.</summary>
    public ListenerState Listener => _listener;

    /// <summary>Its loop's share of the lane.</summary>
    public FastLoop On => _on;

    /// <summary>Timestamp of its accept.</summary>
    public long OpenedAt { get; }

    /// <summary>Timestamp of the last end of a request.</summary>
    public long LastActive { get; private set; }

    /// <summary>Requests answered.</summary>
    public long Served { get; private set; }

    /// <summary>The exchange under way, or null.</summary>
    public FastExchange? Exchange => _exchange;

    /// <summary>Neither a request nor a tunnel is under way.</summary>
    public bool IsIdle => _phase == Phase.Idle && Inbox.IsEmpty && !CanRead;

    /// <summary>What it is doing, as drains count it.</summary>
    public string State => _exchange is { IsTunnel: true } ? "tunnel" : _exchange is not null ? "request" : Served > 0 ? "idle" : "new";

    /// <summary>The client's address, without port, as X-Forwarded-For has it.</summary>
    public ReadOnlySpan<byte> Address => _address ??= ReadAddress();

    /// <summary>The client's address and port.</summary>
    public IPEndPoint? EndPoint
    {
        get
        {
            Span<byte> bytes = stackalloc byte[SocketAddresses.BytesMax];
            return !IsClosed && Syscalls.PeerAddress(Fd, bytes, out int length) >= 0 ? SocketAddresses.Read(bytes[..length]) : null;
        }
    }

    /// <summary>Begins to serve; false: the kernel refuses, and it is closed.</summary>
    public bool Begin()
    {
        if (!Attach())
        {
            End();
            return false;
        }

        _on.Lane.Count(1);
        _on.Clients.Add(this);
        SetTimer(FastLane.KeepAliveMs);
        return true;
    }

    /// <summary>The exchange is over.</summary>
    /// <param name="keep">The connection may have another request.</param>
    /// <param name="linger">Bytes of the client may still be on their way, and are to be read before the connection closes.</param>
    public void ExchangeEnded(bool keep, bool linger)
    {
        _exchange = null;
        Served++;
        LastActive = Loop.Timestamp;
        if (IsClosed)
        {
            return;
        }

        if (!keep)
        {
            EndPolitely(linger);
            return;
        }

        _phase = Phase.Idle;
        _scanned = 0;
        SetTimer(FastLane.KeepAliveMs);
        if (!_reading)
        {
            ReadRequests();
        }
    }

    /// <summary>Ends it: closed, counted, forgotten. Nothing happens the second time.</summary>
    /// <param name="reset">The client must not take what it has for complete.</param>
    public void End(bool reset = false)
    {
        if (_ended)
        {
            return;
        }

        _ended = true;
        FastExchange? exchange = _exchange;
        _exchange = null;
        Inbox.Clear(Loop.Buffers);
        if (reset)
        {
            Reset();
        }
        else
        {
            Close();
        }

        Forget();
        exchange?.ClientEnded();
        _listener.ConnectionClosed();
    }

    /// <summary>Ends it where nothing is under way. A request that the kernel has already is answered first, as the last one.</summary>
    public void EndIfIdle()
    {
        Span<byte> one = stackalloc byte[1];
        if (IsIdle && Syscalls.Peek(Fd, one) <= 0)
        {
            EndPolitely(linger: false);
        }
    }

    /// <inheritdoc/>
    protected internal override void OnFault()
    {
        _exchange?.OnFault();
        End(reset: true);
    }

    /// <inheritdoc/>
    protected override void OnReady()
    {
        switch (_phase)
        {
            case Phase.Exchange:
                _exchange!.ClientReady();
                break;
            case Phase.Lingering:
                Drop();
                break;
            default:
                ReadRequests();
                break;
        }
    }

    /// <inheritdoc/>
    protected internal override void OnDue()
    {
        switch (_phase)
        {
            case Phase.Exchange:
                _exchange!.ClientSilent();
                break;
            case Phase.Head:
                // RFC 9110 §15.5.9.
                Refuse(Reason.Refused(408));
                break;
            default:
                End();
                break;
        }
    }

    private void ReadRequests()
    {
        _reading = true;
        try
        {
            for (int requests = 0; !_ended && _exchange is null && _phase != Phase.Lingering;)
            {
                if (requests == RequestsPerTurn)
                {
                    Loop.Defer(this);
                    return;
                }

                if (!ReadRequest(ref requests))
                {
                    break;
                }
            }

            // Answers that were given at once are behind us: time counts from here.
            if (!_ended && _phase == Phase.Idle)
            {
                SetTimer(FastLane.KeepAliveMs);
            }
        }
        finally
        {
            _reading = false;
        }
    }

    // False: there is nothing more to do now.
    private bool ReadRequest(ref int requests)
    {
        // 1. Bytes: those that are left from before, or what the kernel has.
        ReadOnlySpan<byte> bytes;
        bool kept = !Inbox.IsEmpty;
        if (kept && _scanned < Inbox.Count)
        {
            bytes = Inbox.Bytes;
        }
        else
        {
            if (!CanRead)
            {
                return false;
            }

            int count = kept ? Inbox.ReceiveMore(this) : Receive(Loop.Buffers.Input);
            if (count <= 0)
            {
                if (count == -Errno.Again)
                {
                    return false;
                }

                // A FIN between requests is the polite end; half a head is nobody's request.
                End();
                return false;
            }

            bytes = kept ? Inbox.Bytes : Loop.Buffers.Input.AsSpan(0, count);
        }

        // 2. Once: what does it speak?
        if (_phase == Phase.New)
        {
            bool? isHttp2 = PrefaceMatch.Is(bytes);
            if (isHttp2 is true)
            {
                HandOver(bytes);
                return false;
            }

            if (isHttp2 is null)
            {
                Keep(bytes, kept);
                return CanRead;
            }
        }

        // 3. A head.
        RequestHead head = _on.Request;
        switch (head.Parse(bytes, kept ? _scanned : 0))
        {
            case ParseStatus.Incomplete:
                Keep(bytes, kept);
                if (_phase != Phase.Head)
                {
                    _phase = Phase.Head;
                    SetTimer(FastLane.HeadMs);
                }

                return CanRead;
            case ParseStatus.Refused:
                Refuse(head.Refusal!);
                return false;
        }

        // 4. An exchange. It copies what it needs of the head before anything else is read.
        FastExchange exchange = _exchange = _on.Rent();
        if (!exchange.Begin(this, head, bytes[..head.Length]))
        {
            // The other lane serves that cluster, and from now on this connection.
            _exchange = null;
            _on.Return(exchange);
            HandOver(bytes);
            return false;
        }

        if (kept)
        {
            Inbox.Take(Loop.Buffers, head.Length);
        }
        else
        {
            Inbox.Keep(Loop.Buffers, bytes[head.Length..]);
        }

        (_phase, _scanned) = (Phase.Exchange, 0);
        requests++;
        exchange.Run();
        return true;
    }

    private void Keep(ReadOnlySpan<byte> bytes, bool kept)
    {
        if (!kept)
        {
            Inbox.Keep(Loop.Buffers, bytes);
        }

        _scanned = Inbox.Count;
    }

    private void HandOver(ReadOnlySpan<byte> bytes)
    {
        byte[] read = bytes.ToArray();
        Inbox.Clear(Loop.Buffers);
        Forget();
        _ended = true;
        int fd = Detach();
        _on.Lane.HandOver(_listener, Loop, fd, read);
    }

    private void Refuse(Reason reason)
    {
        FastExchange exchange = _on.Rent();
        (_phase, _exchange) = (Phase.Exchange, exchange);
        Inbox.Clear(Loop.Buffers);
        exchange.Refuse(this, reason);
    }

    private void EndPolitely(bool linger)
    {
        if (_ended)
        {
            return;
        }

        // What is unread when a socket closes turns its FIN into a reset, which may overtake the answer in the client's kernel.
        if (!linger && !CanRead && Inbox.IsEmpty)
        {
            End();
            return;
        }

        Inbox.Clear(Loop.Buffers);
        _ = Syscalls.ShutdownWrite(Fd);
        _phase = Phase.Lingering;
        SetTimer(FastLane.LingerMs);
        Drop();
    }

    private void Drop()
    {
        for (int reads = 0; CanRead; reads++)
        {
            if (reads == RequestsPerTurn)
            {
                Loop.Defer(this);
                return;
            }

            int count = Receive(Loop.Buffers.Input);
            if (count <= 0)
            {
                if (count != -Errno.Again)
                {
                    End();
                }

                return;
            }
        }
    }

    private void Forget()
    {
        if (_on.Clients.Remove(this))
        {
            _on.Lane.Count(-1);
        }
    }

    private byte[] ReadAddress()
    {
        if (EndPoint is not { } endPoint)
        {
            return [];
        }

        return Encoding.ASCII.GetBytes(HeaderRules.ClientAddress(endPoint)!);
    }
}
