using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Loops;
using Gateway.Planning;
using Microsoft.Extensions.Logging;

namespace Gateway.DataPlane.Tcp;

/// <summary>
/// One client connection and its destination connection, on one loop from accept to the last byte. Two flows move bytes until each has
/// seen its side's FIN and passed it on; a reset on one side becomes a reset on the other.
/// </summary>
internal sealed class LoopRelay
{
    private readonly TcpLoop _on;
    private readonly RelaySocket _client;
    private readonly RelayFlow _toDestination;
    private readonly RelayFlow _toClient;
    private readonly IPEndPoint? _clientEndPoint;
    private readonly DateTimeOffset _started;
    private readonly long _startedTimestamp;

    private Stage _stage = Stage.Connecting;
    private RelayEnd _end;
    private string _failedBy = "";

    // The attempt under way, or the one that succeeded. Its work is begun as long as it is here.
    private DestinationState? _target;
    private DestinationPlan? _destinationPlan;
    private DestinationState[] _tried = [];
    private int _attempt;
    private TimeoutsPlan _timeouts = new();
    private byte[][] _addresses = [];
    private int _nextAddress;
    private RelaySocket? _destination;
    private TimeSpan? _connected;
    private long _lastByte;

    public LoopRelay(TcpLoop on, ListenerState listener, int fd)
    {
        (_on, Listener, Plan) = (on, listener, listener.Plan);
        _client = new RelaySocket(this, on.Loop, fd);
        (_toDestination, _toClient) = (new RelayFlow(on.Pipes), new RelayFlow(on.Pipes));
        _clientEndPoint = PeerOf(fd);
        _started = on.Time.GetUtcNow();
        _startedTimestamp = on.Time.GetTimestamp();
        Syscalls.NoDelay(fd);
    }

    private enum Stage
    {
        Connecting,
        Relaying,
        Ended,
    }

    /// <summary>The listener it came in on.</summary>
    public ListenerState Listener { get; }

    /// <summary>The plan it began with.</summary>
    public ListenerPlan Plan { get; }

    /// <summary>The sweep looks at it. Kept by its loop's share.</summary>
    public bool IsWatched { get; set; }

    private EventLoop Loop => _on.Loop;

    /// <summary>Begins: the server may be the one who speaks first, so it is connected at once.</summary>
    public void Begin()
    {
        if (_client.Attach())
        {
            Try();
        }
        else
        {
            _failedBy = "overloaded";
            Finish(reset: false);
        }
    }

    /// <summary>Something changed at one of its sockets.</summary>
    public void Ready(RelaySocket socket)
    {
        if (_stage == Stage.Relaying)
        {
            Pump();
        }
        else if (_stage == Stage.Connecting && ReferenceEquals(socket, _destination))
        {
            Settle(_destination);
        }
    }

    /// <summary>The time to connect is over, or there may have been silence for too long.</summary>
    public void Due()
    {
        if (_stage == Stage.Connecting)
        {
            AttemptFailed(
                "timeout-connect", string.Create(CultureInfo.InvariantCulture, $"connect timed out after {_timeouts.Connect.TotalSeconds:0.###} s"));
        }
        else if (_stage == Stage.Relaying)
        {
            NoteProgress();
            TimeSpan left = _timeouts.Tunnel - Silence;
            if (left > TimeSpan.Zero)
            {
                _client.SetTimer((long)left.TotalMilliseconds + 1);
                return;
            }

            // Whoever has not taken its bytes for so long must not take what it gets for the whole.
            Note(RelayEnd.Idle);
            Finish(reset: _toDestination.IsBlocked || _toClient.IsBlocked);
        }
    }

    /// <summary>
    /// Ends it in order: nothing more is awaited of either side, and both see the end of the stream after the last byte that had
    /// arrived for them. One that does not take its bytes is still there afterwards.
    /// </summary>
    public void SayGoodbye()
    {
        if (_stage == Stage.Ended)
        {
            return;
        }

        if (_end == RelayEnd.None)
        {
            _end = RelayEnd.Aborted;
        }

        if (_stage == Stage.Connecting)
        {
            Finish(reset: false);
            return;
        }

        // The kernel tells the loop, which reads what is there, then the end of the stream, and passes both on.
        _ = Syscalls.ShutdownRead(_client.Fd);
        _ = Syscalls.ShutdownRead(_destination!.Fd);
    }

    /// <summary>Ends it now by a reset on both sides, so that nobody takes what arrived for the whole.</summary>
    public void Abort()
    {
        Note(RelayEnd.Aborted);
        Finish(reset: true);
    }

    /// <summary>A mistake of ours was thrown out of an event of one side: the other must not go on without it.</summary>
    public void Fail()
    {
        Note(RelayEnd.Reset);
        Finish(reset: true);
    }

    /// <summary>Counts bytes since the last time and looks at slow receivers; false: there is nothing to look at until more moves.</summary>
    public bool Sweep()
    {
        CountBytes();
        NoteProgress();
        return _toDestination.IsBlocked || _toClient.IsBlocked;
    }

    /// <summary>What is told of it while it goes on.</summary>
    public RelayView View()
    {
        DestinationPlan? connected = _stage == Stage.Relaying ? _destinationPlan : null;
        return new RelayView(
            Listener.Name, Plan.Service, Plan.Environment, _clientEndPoint, connected?.Instance.ToString() ?? "", connected?.EndPoint ?? "",
            _started, connected is null ? TimeSpan.Zero : Silence, _toDestination.Bytes, _toClient.Bytes);
    }

    // Asked by the loop, whose time may be a little behind the clock of whoever asks.
    private TimeSpan Silence => _on.Time.GetElapsedTime(_lastByte);

    private void Try()
    {
        // 1. Choose. Nothing was sent yet, so another instance may always be tried.
        DestinationState? target = _on.Pick(Plan, _tried, out _timeouts);
        if (target is null)
        {
            _failedBy = _tried.Length == 0 ? "no-instance" : _failedBy;
            Finish(reset: false);
            return;
        }

        DestinationPlan plan = target.Plan;
        (_target, _destinationPlan) = (target, plan);
        _attempt++;
        target.Begin();
        _client.SetTimer((long)_timeouts.Connect.TotalMilliseconds);

        // 2. Connect. Resolving a name waits, so it happens elsewhere and comes back.
        if (IPAddress.TryParse(plan.Address, out IPAddress? literal))
        {
            (_addresses, _nextAddress) = ([SocketAddresses.Of(new IPEndPoint(literal, plan.Port))], 0);
            ConnectToNext();
        }
        else
        {
            _ = ResolveAsync(plan.Address, plan.Port, _attempt);
        }
    }

    private async Task ResolveAsync(string name, int port, int attempt)
    {
        byte[][] found = [];
        string evidence = "the name has no address";
        try
        {
            IPAddress[] addresses = await Dns.GetHostAddressesAsync(name).ConfigureAwait(false);
            found = [.. addresses.Select(address => SocketAddresses.Of(new IPEndPoint(address, port)))];
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            evidence = e.Message; // no such name, or nothing that could be a name
        }

        Loop.Post(
            _ =>
            {
                if (_stage != Stage.Connecting || _attempt != attempt)
                {
                    return;
                }

                if (found.Length == 0)
                {
                    AttemptFailed("connect-failed", evidence);
                }
                else
                {
                    (_addresses, _nextAddress) = (found, 0);
                    ConnectToNext();
                }
            },
            null);
    }

    private void ConnectToNext()
    {
        byte[] address = _addresses[_nextAddress++];
        int fd = Syscalls.StreamSocket(SocketAddresses.FamilyOf(address));
        if (fd < 0)
        {
            AddressFailed(-fd);
            return;
        }

        Syscalls.NoDelay(fd);
        _destination = new RelaySocket(this, Loop, fd);
        int result = Syscalls.Connect(fd, address);
        if (result < 0 && result != -Errno.InProgress)
        {
            AddressFailed(-result);
        }
        else if (!_destination.Attach())
        {
            AddressFailed(Errno.NoMemory);
        }
    }

    private void Settle(RelaySocket destination)
    {
        if (!destination.CanWrite && !destination.Broken)
        {
            return;
        }

        int error = Syscalls.ErrorOf(destination.Fd);
        if (error != 0)
        {
            AddressFailed(error);
            return;
        }

        if (destination.IsConnectedToItself(_addresses[_nextAddress - 1]))
        {
            AddressFailed(0);
            return;
        }

        // 3. Relay. From now on its timer is the one for silence, looked at when it is due.
        _stage = Stage.Relaying;
        (_failedBy, _tried, _addresses) = ("", [], []);
        _lastByte = Loop.Timestamp;
        _connected = _on.Time.GetElapsedTime(_startedTimestamp);
        _target!.Health.ConnectSucceeded();
        _client.SetTimer((long)_timeouts.Tunnel.TotalMilliseconds);
        Pump();
    }

    // Of several addresses of a name, the next one has its turn.
    private void AddressFailed(int error)
    {
        _destination?.Reset();
        _destination = null;
        if (Errno.IsOurLimit(error))
        {
            AttemptFailed("overloaded", Errno.Text(error), ourLimit: true);
        }
        else if (_nextAddress < _addresses.Length)
        {
            ConnectToNext();
        }
        else
        {
            AttemptFailed(
                error == Errno.TimedOut ? "timeout-connect" : "connect-failed",
                error == 0 ? Health.SelfConnection.Evidence : $"connect: {Errno.Text(error)}");
        }
    }

    // 4. Or learn from it, and try another.
    private void AttemptFailed(string reason, string evidence, bool ourLimit = false)
    {
        DestinationState target = _target!;
        _failedBy = reason;
        _target = null;
        _destination?.Reset();
        _destination = null;
        _on.Logger.LogDebug("{Listener}: {Destination}: {Evidence}", Listener.Name, _destinationPlan!.EndPoint, evidence);
        if (ourLimit)
        {
            // We lack descriptors, ports or memory: that says nothing of the destination, and no other would do.
            target.End();
            _on.Logger.LogWarning("no connection to {Destination}: {Evidence}", _destinationPlan.EndPoint, evidence);
            Finish(reset: false);
            return;
        }

        target.Failed();
        target.Health.ConnectFailed(evidence);
        target.End();
        _tried = [.. _tried, target];
        if (_tried.Length == TcpLane.AttemptsMax)
        {
            Finish(reset: false);
            return;
        }

        target.RetriedAway();
        _on.Metrics.DestinationRetry(Plan.Service, Plan.Environment, reason);
        Try();
    }

    private void Pump()
    {
        // 1. Both directions. A side that broke breaks the other.
        bool moved = false;
        RelaySocket destination = _destination!;
        FlowState up = _toDestination.Pump(_client, destination, ref moved);
        FlowState down = up == FlowState.Broken ? up : _toClient.Pump(destination, _client, ref moved);
        if (up == FlowState.Broken || down == FlowState.Broken || (IsStuck && IsReset))
        {
            Note(RelayEnd.Reset);
            Finish(reset: true);
            return;
        }

        // 2. What there is to note: the time, bytes to count, who ended first.
        if (moved)
        {
            _lastByte = Loop.Timestamp;
            _on.Watch(this);
        }

        if (_end == RelayEnd.None && (_toDestination.SourceEnded || _toClient.SourceEnded))
        {
            _end = _toDestination.SourceEnded ? RelayEnd.ClientClosed : RelayEnd.ServerClosed;
        }

        // 3. Everything was read and passed on, so this is a FIN at most.
        if (up == FlowState.Ended && down == FlowState.Ended)
        {
            Finish(reset: false);
        }
        else if (up == FlowState.More || down == FlowState.More)
        {
            Loop.Defer(_client);
        }
    }

    // A side whose bytes wait for the other is not read, so its reset would be seen only when the other takes them: perhaps never.
    private bool IsStuck => (_client.Broken || _destination!.Broken) && (_toDestination.IsBlocked || _toClient.IsBlocked);

    private bool IsReset => Syscalls.ErrorOf(_client.Fd) != 0 || Syscalls.ErrorOf(_destination!.Fd) != 0;

    private void NoteProgress()
    {
        if (_stage == Stage.Relaying && (_toDestination.Progressed(_destination!) | _toClient.Progressed(_client)))
        {
            _lastByte = Loop.Timestamp;
        }
    }

    private void Note(RelayEnd end)
    {
        if (_end < RelayEnd.Reset)
        {
            _end = end;
        }
    }

    private void CountBytes() =>
        _on.Records.CountBytes(Listener, Plan, _toDestination.TakeUnreported(), _toClient.TakeUnreported());

    // Whatever happened: closed, recorded, counted out. In this order: who waits for the count to be 0 may rely on the record.
    private void Finish(bool reset)
    {
        if (_stage == Stage.Ended)
        {
            return;
        }

        _stage = Stage.Ended;
        _toDestination.Clear(Loop.Buffers);
        _toClient.Clear(Loop.Buffers);
        if (reset)
        {
            _client.Reset();
            _destination?.Reset();
        }
        else
        {
            _client.Close();
            _destination?.Close();
        }

        _target?.End();
        CountBytes();
        _on.Records.Write(new RelayOutcome
        {
            Listener = Listener,
            Plan = Plan,
            Client = _clientEndPoint,
            Destination = _destinationPlan,
            End = _end,
            FailedBy = _failedBy,
            Retries = Math.Max(0, _attempt - 1),
            Started = _started,
            Connect = _connected,
            Total = _on.Time.GetElapsedTime(_startedTimestamp),
            BytesToDestination = _toDestination.Bytes,
            BytesToClient = _toClient.Bytes,
        });
        Listener.ConnectionClosed();
        _on.Remove(this);
    }

    private static IPEndPoint? PeerOf(int fd)
    {
        Span<byte> address = stackalloc byte[SocketAddresses.BytesMax];
        return Syscalls.PeerAddress(fd, address, out int length) >= 0 ? SocketAddresses.Read(address[..length]) : null;
    }
}
