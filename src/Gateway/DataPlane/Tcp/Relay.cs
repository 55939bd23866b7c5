using System.Buffers;
using System.Net;
using System.Net.Sockets;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Listening;
using Gateway.Planning;

namespace Gateway.DataPlane.Tcp;

/// <summary>
/// One client connection and its destination connection. Two pumps copy bytes until each has seen its side's FIN and passed it
/// on; a reset on one side becomes a reset on the other. A waiting direction holds no buffer, a direction whose receiver is slow
/// holds one, so the sender feels it through TCP and memory does not grow with the length of a stream.
/// </summary>
internal sealed class Relay(ListenerState listener, Socket client, TimeProvider time)
{
    // A chat needs little, a bulk stream fills whatever it is given: what filled the small buffer gets the large one.
    private const int SmallBufferBytes = 16 * 1024;
    private const int LargeBufferBytes = 64 * 1024;

    private readonly Lock _lock = new();
    private readonly Direction _toDestination = new();
    private readonly Direction _toClient = new();
    private CancellationTokenSource? _connecting;
    private Socket? _destination;
    private RelayEnd _end;

    // Written by both pumps, read by the sweep; the last of two concurrent writes is as good as the other.
    private long _lastByte;

    /// <summary>The listener it came in on.</summary>
    public ListenerState Listener => listener;

    /// <summary>The client's side.</summary>
    public Socket Client => client;

    /// <summary>The client's address; kept, because a closed socket has forgotten it.</summary>
    public EndPoint? ClientEndPoint { get; } = client.RemoteEndPoint;

    /// <summary>The plan it began with.</summary>
    public ListenerPlan Plan { get; } = listener.Plan;

    /// <summary>When it was accepted.</summary>
    public DateTimeOffset Started { get; } = time.GetUtcNow();

    /// <summary>When it was accepted, on the clock of intervals.</summary>
    public long StartedTimestamp { get; } = time.GetTimestamp();

    /// <summary>Where it leads; null while none is connected.</summary>
    public DestinationState? Target { get; private set; }

    /// <summary>Longest silence, 0 exclusive.</summary>
    public TimeSpan IdleMax { get; private set; }

    /// <summary>Done when it is closed, recorded and counted out. Set by its lane.</summary>
    public TaskCompletionSource Ended { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Bytes passed to the destination.</summary>
    public long BytesToDestination => Volatile.Read(ref _toDestination.Bytes);

    /// <summary>Bytes passed to the client.</summary>
    public long BytesToClient => Volatile.Read(ref _toClient.Bytes);

    /// <summary>How it ended.</summary>
    public RelayEnd End => _end;

    /// <summary>Time since the last byte.</summary>
    public TimeSpan Silence => time.GetElapsedTime(Volatile.Read(ref _lastByte));

    /// <summary>Announces an attempt to connect, so that <see cref="Abort"/> can end it; false when it has ended.</summary>
    public bool BeginConnect(CancellationTokenSource deadline)
    {
        lock (_lock)
        {
            _connecting = deadline;
            return _end == RelayEnd.None;
        }
    }

    /// <summary>The attempt is over; its deadline may be disposed of.</summary>
    public void EndConnect()
    {
        lock (_lock)
        {
            _connecting = null;
        }
    }

    /// <summary>Relays until both sides are done; both sockets are closed then, whatever happens. Throws our own mistakes only.</summary>
    public async Task RunAsync(DestinationState target, Socket destination, TimeSpan idleMax)
    {
        try
        {
            Volatile.Write(ref _lastByte, time.GetTimestamp());
            lock (_lock)
            {
                (Target, IdleMax, _destination) = (target, idleMax, destination);
                if (_end != RelayEnd.None)
                {
                    return; // told to end between connect and here
                }

                // 1. Non-blocking, so that a read can say "nothing there" without an operation to cancel.
                client.Blocking = false;
                destination.Blocking = false;
            }

            // 2. Both directions, each to its own end. The server may speak first, or the client may have finished already.
            await Task.WhenAll(
                PumpAsync(client, destination, _toDestination, RelayEnd.ClientClosed),
                PumpAsync(destination, client, _toClient, RelayEnd.ServerClosed));
        }
        finally
        {
            // 3. Close. Everything was read, so this is a FIN at most; after a reset both are closed already.
            destination.Dispose();
            client.Dispose();
        }
    }

    /// <summary>Ends it politely when it was silent for too long; true when it did.</summary>
    public bool EndIfIdle()
    {
        lock (_lock)
        {
            if (_destination is null || _end >= RelayEnd.Reset)
            {
                return false;
            }

            NoteProgress();
            if (Silence < IdleMax)
            {
                return false;
            }

            _end = RelayEnd.Idle;

            // Both pumps now read end-of-stream and finish as usual. (Shutdown is right here: these descriptions are ours alone.)
            Shutdown(client, SocketShutdown.Both);
            Shutdown(_destination, SocketShutdown.Both);
            return true;
        }
    }

    /// <summary>Ends it now by a reset on both sides, so that nobody takes what arrived for the whole.</summary>
    public void Abort() => Kill(RelayEnd.Aborted);

    /// <summary>
    /// Ends it in order: nothing more is awaited of either side, and both see the end of the stream after the last byte that had
    /// arrived for them. One that does not take its bytes is still there afterwards.
    /// </summary>
    public void SayGoodbye()
    {
        Socket? destination;
        lock (_lock)
        {
            if (_end == RelayEnd.None)
            {
                _end = RelayEnd.Aborted;
            }

            _connecting?.Cancel();
            destination = _destination;
        }

        // The pumps read what is there, then the end of the stream, and pass both on. Before it is connected there is no pump.
        Shutdown(client, destination is null ? SocketShutdown.Both : SocketShutdown.Receive);
        if (destination is not null)
        {
            Shutdown(destination, SocketShutdown.Receive);
        }
    }

    private async Task PumpAsync(Socket from, Socket to, Direction direction, RelayEnd onFin)
    {
        int size = SmallBufferBytes;
        try
        {
            while (true)
            {
                // 1. Wait until there is something, without a buffer.
                await from.ReceiveAsync(Memory<byte>.Empty, SocketFlags.None);

                // 2. Copy while there is something.
                byte[] buffer = ArrayPool<byte>.Shared.Rent(size);
                try
                {
                    while (true)
                    {
                        int read = from.Receive(buffer.AsSpan(0, size), SocketFlags.None, out SocketError error);
                        if (error == SocketError.WouldBlock)
                        {
                            break;
                        }

                        if (error != SocketError.Success)
                        {
                            throw new SocketException((int)error);
                        }

                        if (read == 0)
                        {
                            Finish(onFin);
                            Shutdown(to, SocketShutdown.Send);
                            return;
                        }

                        Volatile.Write(ref _lastByte, time.GetTimestamp());
                        await SendAllAsync(to, buffer.AsMemory(0, read), direction);
                        Volatile.Write(ref direction.Bytes, direction.Bytes + read);
                        Volatile.Write(ref _lastByte, time.GetTimestamp());
                        if (read < SmallBufferBytes)
                        {
                            size = SmallBufferBytes;
                            break;
                        }

                        if (size == SmallBufferBytes)
                        {
                            size = LargeBufferBytes;
                            break;
                        }
                    }
                }
                finally
                {
                    ArrayPool<byte>.Shared.Return(buffer);
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Reset by one side, or killed by us, which set the end before.
            Kill(RelayEnd.Reset);
        }
        catch
        {
            // A mistake of ours: the other direction must not go on without this one.
            Kill(RelayEnd.Reset);
            throw;
        }
    }

    private static async ValueTask SendAllAsync(Socket to, ReadOnlyMemory<byte> data, Direction direction)
    {
        ValueTask<int> send = to.SendAsync(data, SocketFlags.None);
        if (!send.IsCompleted)
        {
            Volatile.Write(ref direction.SendingTo, to);
        }

        try
        {
            data = data[await send..];
            while (!data.IsEmpty)
            {
                data = data[await to.SendAsync(data, SocketFlags.None)..];
            }
        }
        finally
        {
            Volatile.Write(ref direction.SendingTo, null);
        }
    }

    // The kernel wakes a waiting sender only when a third of its buffer, which may be megabytes, is free again: a receiver that is
    // slow but steady would look silent. What it has acknowledged tells. Called in the lock.
    private void NoteProgress()
    {
        if (_toDestination.Progressed() | _toClient.Progressed())
        {
            Volatile.Write(ref _lastByte, time.GetTimestamp());
        }
    }

    private void Finish(RelayEnd end)
    {
        lock (_lock)
        {
            if (_end == RelayEnd.None)
            {
                _end = end;
            }
        }
    }

    private void Kill(RelayEnd end)
    {
        Socket? destination;
        lock (_lock)
        {
            if (_end < RelayEnd.Reset)
            {
                _end = end;
            }

            _connecting?.Cancel();
            destination = _destination;
        }

        Reset(client);
        if (destination is not null)
        {
            Reset(destination);
        }
    }

    private static void Reset(Socket socket)
    {
        try
        {
            // SO_LINGER {1,0}: close(2) sends RST. On relayed connections only, never on a listener.
            socket.LingerState = new LingerOption(true, 0);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Closed already.
        }

        socket.Dispose();
    }

    private static void Shutdown(Socket socket, SocketShutdown how)
    {
        try
        {
            socket.Shutdown(how);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Not connected any more: the other pump finds out by itself.
        }
    }

    /// <summary>Bytes since this was asked last, for counters that should grow while a long relay runs.</summary>
    public (long ToDestination, long ToClient) TakeUnreported()
    {
        lock (_lock)
        {
            return (_toDestination.TakeUnreported(), _toClient.TakeUnreported());
        }
    }

    private sealed class Direction
    {
        /// <summary>Written by its pump, read by anybody.</summary>
        public long Bytes;

        /// <summary>The receiver this direction waits for; null: it does not. Written by its pump, read by the sweep.</summary>
        public Socket? SendingTo;
        private long _reported;
        private long _acknowledged;

        /// <summary>Whether the receiver that is waited for has acknowledged anything since this was asked last.</summary>
        public bool Progressed()
        {
            const int Tcp = 6, TcpInfo = 11, BytesAcked = 120;
            if (Volatile.Read(ref SendingTo) is not { } socket)
            {
                return false;
            }

            try
            {
                Span<byte> info = stackalloc byte[BytesAcked + sizeof(long)];
                if (socket.GetRawSocketOption(Tcp, TcpInfo, info) < info.Length)
                {
                    return false;
                }

                long before = _acknowledged;
                _acknowledged = BitConverter.ToInt64(info[BytesAcked..]);
                return _acknowledged != before;
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return false; // its pump finds out
            }
        }

        public long TakeUnreported()
        {
            long bytes = Volatile.Read(ref Bytes);
            long unreported = bytes - _reported;
            _reported = bytes;
            return unreported;
        }
    }
}
