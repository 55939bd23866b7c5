using System.Buffers;
using System.IO.Pipelines;
using System.Threading.Tasks.Sources;
using Gateway.DataPlane.Loops;
using Microsoft.AspNetCore.Connections;

namespace Gateway.DataPlane.Listening;

/// <summary>
/// Reads straight from a socket into blocks. While it waits for a client that is silent it holds none. One caller at a time, on any
/// thread, as with every PipeReader; while a read waits, the loop owns it.
/// </summary>
/// <remarks>
/// Invariant: a wait is published only in a state in which nothing has happened, by the same interlocked word in which everybody tells
/// what happened. So whatever happens is seen either by who publishes, who goes on at once, or by who tells, who claims the wait.
/// </remarks>
internal sealed class LoopReader : PipeReader, IValueTaskSource<ReadResult>, IThreadPoolWorkItem
{
    // The kernel may have something; the client has sent its FIN, of which the kernel tells once.
    private const int MayRead = 1;
    private const int Fin = 2;
    private const int Canceled = 4;
    private const int TokenFired = 8;
    private const int Aborted = 16;

    // A read waits, and whoever takes this bit away owns it; somebody has taken it and has not told the result yet.
    private const int Waiting = 32;
    private const int Claimed = 64;

    // A block with less room is not worth another read.
    private const int RoomMin = 2 * 1024;

    // Reads in a row on the loop before others have their turn.
    private const int ReadsPerTurn = 16;

    private readonly LoopTransport _socket;
    private ManualResetValueTaskSourceCore<ReadResult> _core;
    private CancellationTokenRegistration _registration;
    private CancellationToken _token;
    private int _state = MayRead;

    // Of the owner.
    private Block? _head;
    private Block? _tail;
    private int _start;
    private bool _examined = true;
    private bool _finished;
    private bool _completed;
    private Exception? _error;
    private ReadResult _result;
    private Exception? _failure;

    // Only on the loop.
    private int _reads;

    /// <summary>Reads from a socket; <paramref name="read"/> comes first.</summary>
    public LoopReader(LoopTransport socket, ReadOnlySpan<byte> read)
    {
        _socket = socket;
        if (!read.IsEmpty)
        {
            _head = _tail = BlockPool.Shared.RentAtLeast(read.Length);
            read.CopyTo(_head.Free.Span);
            _head.Fill(read.Length);
            _examined = false;
        }
    }

    /// <summary>Nobody reads any more.</summary>
    public bool IsCompleted => _completed;

    /// <summary>Something may be there. On the loop.</summary>
    public void Ready(bool mayRead, bool fin)
    {
        _reads = 0;
        int news = (mayRead ? MayRead : 0) | (fin ? Fin : 0);
        int state = news == 0 ? Volatile.Read(ref _state) : Interlocked.Or(ref _state, news) | news;
        if ((state & (MayRead | Fin)) != 0 && Claim())
        {
            Work();
        }
    }

    /// <summary>The connection is aborted; from any thread.</summary>
    public void Abort()
    {
        Interlocked.Or(ref _state, Aborted);
        if (Claim())
        {
            Fail(_socket.ErrorOf(-Errno.Aborted));
        }
    }

    /// <inheritdoc/>
    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<ReadResult>(cancellationToken);
        }

        if ((Volatile.Read(ref _state) & (Waiting | Claimed)) != 0)
        {
            throw new InvalidOperationException("a read is under way");
        }

        try
        {
            return Take(out ReadResult result, out bool tired) ? new ValueTask<ReadResult>(result) : Wait(tired, cancellationToken);
        }
        catch (IOException e)
        {
            return ValueTask.FromException<ReadResult>(e);
        }
        catch (OperationCanceledException e)
        {
            return ValueTask.FromException<ReadResult>(e);
        }
    }

    /// <inheritdoc/>
    public override bool TryRead(out ReadResult result) => Take(out result, out _);

    /// <inheritdoc/>
    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    /// <inheritdoc/>
    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        if (_tail is null || consumed.GetObject() is not Block upTo)
        {
            return;
        }

        _examined = examined.GetObject() == _tail && examined.GetInteger() == _tail.End;
        while (!ReferenceEquals(_head, upTo))
        {
            DropHead();
        }

        _start = consumed.GetInteger();
        if (_start == upTo.End)
        {
            DropHead();
            _examined |= _head is null;
        }
    }

    /// <inheritdoc/>
    public override void CancelPendingRead()
    {
        Interlocked.Or(ref _state, Canceled);
        if (Claim())
        {
            Interlocked.And(ref _state, ~Canceled);
            Tell(Result(canceled: true), null);
        }
    }

    /// <inheritdoc/>
    public override void Complete(Exception? exception = null)
    {
        if (_completed)
        {
            return;
        }

        _completed = true;
        bool waited = Claim();
        if (waited || (Volatile.Read(ref _state) & Claimed) == 0)
        {
            while (_head is not null)
            {
                DropHead();
            }
        }

        // Otherwise the loop is about to tell a result that lies in these blocks. They are left to the garbage collector.
        if (waited)
        {
            Fail(_socket.ErrorOf(-Errno.Aborted));
        }

        _socket.ReaderEnded();
    }

    ReadResult IValueTaskSource<ReadResult>.GetResult(short token) => _core.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<ReadResult>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<ReadResult>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    void IThreadPoolWorkItem.Execute() => SetResult();

    // What there is to be told, if there is; throws the error of the connection. By the owner.
    private bool Take(out ReadResult result, out bool tired)
    {
        tired = false;
        while (true)
        {
            int state = Volatile.Read(ref _state);
            if ((state & Aborted) != 0)
            {
                throw _error ??= _socket.ErrorOf(-Errno.Aborted);
            }

            if ((state & Canceled) != 0)
            {
                Interlocked.And(ref _state, ~Canceled);
                result = Result(canceled: true);
                return true;
            }

            if (!_examined || _finished)
            {
                result = Result(canceled: false);
                return true;
            }

            if (_completed)
            {
                throw new InvalidOperationException("reading is completed");
            }

            if (_error is not null)
            {
                throw _error;
            }

            result = default;
            if ((state & (MayRead | Fin)) == 0)
            {
                return false;
            }

            if (_socket.Loop.IsHere && ++_reads > ReadsPerTurn)
            {
                tired = true;
                return false;
            }

            // Cleared before: what comes during the read is told once more.
            Interlocked.And(ref _state, ~MayRead);
            Read();
        }
    }

    private void Read()
    {
        bool fresh = _tail is null || _tail.Room < RoomMin;
        Block block = fresh ? BlockPool.Shared.Rent() : _tail!;
        int room = block.Room;
        int count = _socket.Read(block.Free.Span);
        if (count > 0)
        {
            block.Fill(count);
            if (_tail is null)
            {
                (_head, _start) = (block, 0);
            }
            else if (fresh)
            {
                _tail.Append(block);
            }

            (_tail, _examined) = (block, false);
            if (count == room)
            {
                // A short read has emptied the queue (epoll(7)); this one may not have.
                Interlocked.Or(ref _state, MayRead);
            }

            return;
        }

        if (fresh)
        {
            block.Dispose();
        }

        if (count == -Errno.Again)
        {
            Interlocked.And(ref _state, ~Fin);
            return;
        }

        _finished = count == 0;
        _error = count == 0 ? null : _socket.ErrorOf(count);
        _socket.TellEnded();
    }

    private ValueTask<ReadResult> Wait(bool tired, CancellationToken cancel)
    {
        _core.Reset();
        short version = _core.Version;
        Interlocked.And(ref _state, ~TokenFired);
        _token = cancel;
        _registration = cancel.UnsafeRegister(static (state, token) => ((LoopReader)state!).Cancel(token), this);
        while (!Publish(ref tired))
        {
            if ((Interlocked.And(ref _state, ~TokenFired) & TokenFired) != 0)
            {
                Unregister();
                return ValueTask.FromCanceled<ReadResult>(cancel);
            }

            if (Take(out ReadResult result, out tired))
            {
                Unregister();
                return new ValueTask<ReadResult>(result);
            }
        }

        return new ValueTask<ReadResult>(this, version);
    }

    // Lets the loop have it. False: something has happened meanwhile.
    private bool Publish(ref bool tired)
    {
        int stops = tired ? Canceled | TokenFired | Aborted : Canceled | TokenFired | Aborted | MayRead | Fin;
        int state = Volatile.Read(ref _state);
        while ((state & stops) == 0)
        {
            int before = Interlocked.CompareExchange(ref _state, (state & ~Claimed) | Waiting, state);
            if (before == state)
            {
                if (tired)
                {
                    _socket.Loop.Defer(_socket);
                }

                return true;
            }

            state = before;
        }

        return false;
    }

    private bool Claim()
    {
        int state = Volatile.Read(ref _state);
        while ((state & Waiting) != 0)
        {
            int before = Interlocked.CompareExchange(ref _state, (state & ~Waiting) | Claimed, state);
            if (before == state)
            {
                return true;
            }

            state = before;
        }

        return false;
    }

    // On the loop, as the owner.
    private void Work()
    {
        try
        {
            while (true)
            {
                if (Take(out ReadResult result, out bool tired))
                {
                    Tell(result, null, here: true);
                    return;
                }

                if (Publish(ref tired))
                {
                    return;
                }

                if ((Interlocked.And(ref _state, ~TokenFired) & TokenFired) != 0)
                {
                    Fail(new OperationCanceledException(_token), here: true);
                    return;
                }
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or InvalidOperationException)
        {
            Fail(e, here: true);
        }
    }

    private void Cancel(CancellationToken token)
    {
        // A registration of an earlier read may still be about to call.
        if (token == _token)
        {
            Interlocked.Or(ref _state, TokenFired);
            if (Claim())
            {
                Interlocked.And(ref _state, ~TokenFired);
                Fail(new OperationCanceledException(token));
            }
        }
    }

    private void Fail(Exception e, bool here = false) => Tell(default, e, here);

    // Never within the call of somebody who aborts or cancels: he may hold a lock.
    private void Tell(in ReadResult result, Exception? failure, bool here = false)
    {
        Unregister();
        (_result, _failure) = (result, failure);
        if (here && _socket.MayRunHere)
        {
            SetResult();
        }
        else
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    private void SetResult()
    {
        (ReadResult result, Exception? failure) = (_result, _failure);
        (_result, _failure) = (default, null);
        Interlocked.And(ref _state, ~Claimed);
        if (failure is null)
        {
            _core.SetResult(result);
        }
        else
        {
            _core.SetException(failure);
        }
    }

    // Without waiting for a callback under way, which finds nothing to claim.
    private void Unregister()
    {
        _registration.Unregister();
        _registration = default;
        _token = default;
    }

    private ReadResult Result(bool canceled) => new(
        _head is null ? default : new ReadOnlySequence<byte>(_head, _start, _tail!, _tail!.End), canceled, _finished);

    private void DropHead()
    {
        Block head = _head!;
        _head = head.Following;
        if (_head is null)
        {
            _tail = null;
        }

        _start = 0;
        head.Dispose();
    }
}
