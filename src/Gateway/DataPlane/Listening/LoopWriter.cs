using System.IO.Pipelines;
using System.Threading.Tasks.Sources;
using Gateway.DataPlane.Loops;
using Microsoft.AspNetCore.Connections;

namespace Gateway.DataPlane.Listening;

/// <summary>
/// Writes straight to a socket. What the client does not take is kept, and the flush waits until it is taken: nobody who waits for
/// flushes fills memory. One caller at a time, on any thread, as with every PipeWriter; while a flush waits, the loop owns it.
/// </summary>
/// <remarks>The invariant is that of <see cref="LoopReader"/>.</remarks>
internal sealed class LoopWriter : PipeWriter, IValueTaskSource<FlushResult>, IThreadPoolWorkItem
{
    // The kernel may have room.
    private const int MayWrite = 1;
    private const int Canceled = 2;
    private const int TokenFired = 4;
    private const int Aborted = 8;

    // Something waits for room, and whoever takes this bit away owns it; somebody has taken it and has not told the result yet.
    private const int Waiting = 16;
    private const int Claimed = 32;

    // Nothing more is going to be written.
    private const int Completed = 64;

    private readonly LoopTransport _socket;
    private ManualResetValueTaskSourceCore<FlushResult> _core;
    private CancellationTokenRegistration _registration;
    private CancellationToken _token;
    private int _state = MayWrite;

    // Of the owner: what is to be sent, from _start of _head on.
    private Block? _head;
    private Block? _tail;
    private int _start;
    private long _bytes;
    private bool _broken;
    private bool _awaited;
    private FlushResult _result;
    private Exception? _failure;

    /// <summary>Writes to a socket.</summary>
    public LoopWriter(LoopTransport socket) => _socket = socket;

    private enum Outcome
    {
        Sent,
        NoRoom,
        Broken,
    }

    /// <inheritdoc/>
    public override bool CanGetUnflushedBytes => true;

    /// <inheritdoc/>
    public override long UnflushedBytes => _bytes;

    /// <summary>There may be room. On the loop.</summary>
    public void Ready()
    {
        Interlocked.Or(ref _state, MayWrite);
        if (Claim())
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
            Finish(Outcome.Broken);
        }
    }

    /// <inheritdoc/>
    public override Memory<byte> GetMemory(int sizeHint = 0) => Current(sizeHint).Free;

    /// <inheritdoc/>
    public override Span<byte> GetSpan(int sizeHint = 0) => Current(sizeHint).Free.Span;

    /// <inheritdoc/>
    public override void Advance(int bytes)
    {
        if (bytes > 0)
        {
            _tail!.Fill(bytes);
            _bytes += bytes;
        }
    }

    /// <inheritdoc/>
    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<FlushResult>(cancellationToken);
        }

        MustBeOurs();
        return Send() == Outcome.NoRoom ? Wait(cancellationToken) : new ValueTask<FlushResult>(Result());
    }

    /// <inheritdoc/>
    public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<FlushResult>(cancellationToken);
        }

        MustBeOurs();
        ReadOnlySpan<byte> rest = source.Span;
        if (_bytes == 0 && !IsOver)
        {
            // 1. Nothing is before it: straight from where it lies.
            while (!rest.IsEmpty)
            {
                int count = _socket.Write(rest);
                if (count <= 0)
                {
                    break; // No room, or an error, which Send finds once more.
                }

                rest = rest[count..];
            }
        }

        // 2. The rest is kept.
        while (!rest.IsEmpty)
        {
            Span<byte> to = Current(1).Free.Span;
            int count = Math.Min(to.Length, rest.Length);
            rest[..count].CopyTo(to);
            Advance(count);
            rest = rest[count..];
        }

        return Send() == Outcome.NoRoom ? Wait(cancellationToken) : new ValueTask<FlushResult>(Result());
    }

    /// <inheritdoc/>
    public override void CancelPendingFlush()
    {
        if ((Interlocked.Or(ref _state, Canceled) & Completed) == 0 && Claim())
        {
            Interlocked.And(ref _state, ~Canceled);
            Tell(new FlushResult(isCanceled: true, isCompleted: false), null);
        }
    }

    /// <inheritdoc/>
    public override void Complete(Exception? exception = null)
    {
        int before = Interlocked.Or(ref _state, Completed);
        if ((before & Completed) != 0)
        {
            return;
        }

        if (exception is not null)
        {
            _socket.Abort(exception as ConnectionAbortedException ?? new ConnectionAbortedException(exception.Message, exception));
        }

        // Where a flush waits, the loop sends the rest and then finds that this was all.
        if ((before & (Waiting | Claimed)) != 0)
        {
            return;
        }

        Interlocked.Or(ref _state, Claimed);
        _awaited = false;
        while (true)
        {
            Outcome outcome = Send();
            if (outcome != Outcome.NoRoom)
            {
                Interlocked.And(ref _state, ~Claimed);
                _socket.WriterEnded();
                return;
            }

            if (Publish())
            {
                _socket.WriterLags();
                return;
            }
        }
    }

    FlushResult IValueTaskSource<FlushResult>.GetResult(short token) => _core.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<FlushResult>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<FlushResult>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    void IThreadPoolWorkItem.Execute() => SetResult();

    private bool IsOver => _broken || (Volatile.Read(ref _state) & (Aborted | Completed)) != 0;

    private void MustBeOurs()
    {
        if ((Volatile.Read(ref _state) & (Waiting | Claimed)) != 0)
        {
            throw new InvalidOperationException("a flush is under way, or writing is completed");
        }
    }

    private Block Current(int sizeHint)
    {
        MustBeOurs();
        if (_tail is { } tail && tail.Room >= Math.Max(1, sizeHint))
        {
            return tail;
        }

        Block next = BlockPool.Shared.RentAtLeast(Math.Max(1, sizeHint));
        if (_tail is null)
        {
            (_head, _start) = (next, 0);
        }
        else
        {
            _tail.Append(next);
        }

        return _tail = next;
    }

    // Sends what is there; afterwards nothing is kept unless there was no room. By the owner.
    private Outcome Send()
    {
        bool cleared = false;
        while (_bytes > 0)
        {
            if (_broken || (Volatile.Read(ref _state) & Aborted) != 0)
            {
                return Break();
            }

            ReadOnlySpan<byte> next = _head!.Filled(_start);
            int count = next.IsEmpty ? 0 : _socket.Write(next);
            if (count >= 0)
            {
                _start += count;
                _bytes -= count;
                if (count == next.Length && _bytes > 0)
                {
                    DropHead();
                }
            }
            else if (count != -Errno.Again)
            {
                return Break();
            }
            else if (cleared)
            {
                return Outcome.NoRoom;
            }
            else
            {
                // Room that came before this point is told no more, so it is looked for once more.
                Interlocked.And(ref _state, ~MayWrite);
                cleared = true;
            }
        }

        DropAll();
        return _broken ? Outcome.Broken : Outcome.Sent;
    }

    private Outcome Break()
    {
        _broken = true;
        DropAll();
        _socket.TellEnded();
        return Outcome.Broken;
    }

    private FlushResult Result()
    {
        bool canceled = (Volatile.Read(ref _state) & Canceled) != 0;
        if (canceled)
        {
            Interlocked.And(ref _state, ~Canceled);
        }

        return new FlushResult(canceled, isCompleted: IsOver);
    }

    private ValueTask<FlushResult> Wait(CancellationToken cancel)
    {
        _core.Reset();
        short version = _core.Version;
        _awaited = true;
        Interlocked.And(ref _state, ~TokenFired);
        _token = cancel;
        _registration = cancel.UnsafeRegister(static (state, token) => ((LoopWriter)state!).Cancel(token), this);
        while (!Publish())
        {
            if ((Interlocked.And(ref _state, ~TokenFired) & TokenFired) != 0)
            {
                Unregister();
                return ValueTask.FromCanceled<FlushResult>(cancel);
            }

            if ((Volatile.Read(ref _state) & Canceled) != 0 || Send() != Outcome.NoRoom)
            {
                Unregister();
                return new ValueTask<FlushResult>(Result());
            }
        }

        return new ValueTask<FlushResult>(this, version);
    }

    // Lets the loop have it. False: something has happened meanwhile.
    private bool Publish()
    {
        int state = Volatile.Read(ref _state);
        while (true)
        {
            int stops = (state & Completed) != 0 ? Aborted | MayWrite : Aborted | MayWrite | Canceled | TokenFired;
            if ((state & stops) != 0)
            {
                return false;
            }

            int before = Interlocked.CompareExchange(ref _state, (state & ~Claimed) | Waiting, state);
            if (before == state)
            {
                return true;
            }

            state = before;
        }
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
        while (true)
        {
            Outcome outcome = Send();
            int state = Volatile.Read(ref _state);
            if (outcome != Outcome.NoRoom || (_awaited && (state & (Canceled | TokenFired)) != 0 && (state & Completed) == 0))
            {
                Finish(outcome, here: true);
                return;
            }

            if (Publish())
            {
                if ((state & Completed) != 0)
                {
                    _socket.WriterLags();
                }

                return;
            }
        }
    }

    // As the owner, who is on the loop or aborts.
    private void Finish(Outcome outcome, bool here = false)
    {
        if (outcome == Outcome.Broken)
        {
            Break();
        }

        if (_awaited)
        {
            bool fired = (Interlocked.And(ref _state, ~TokenFired) & TokenFired) != 0 && outcome == Outcome.NoRoom;
            Tell(fired ? default : Result(), fired ? new OperationCanceledException(_token) : null, here);
        }
        else
        {
            Release();
        }
    }

    private void Cancel(CancellationToken token)
    {
        // A registration of an earlier flush may still be about to call.
        if (token == _token)
        {
            if ((Interlocked.Or(ref _state, TokenFired) & Completed) == 0 && Claim())
            {
                Interlocked.And(ref _state, ~TokenFired);
                Tell(default, new OperationCanceledException(token));
            }
        }
    }

    // Never within the call of somebody who aborts or cancels: he may hold a lock.
    private void Tell(FlushResult result, Exception? failure, bool here = false)
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
        (FlushResult result, Exception? failure) = (_result, _failure);
        (_result, _failure, _awaited) = (default, null, false);
        Release();
        if (failure is null)
        {
            _core.SetResult(result);
        }
        else
        {
            _core.SetException(failure);
        }
    }

    // Gives up the ownership; where writing was completed meanwhile, what is left is sent by whoever comes here.
    private void Release()
    {
        while (true)
        {
            if ((Interlocked.And(ref _state, ~Claimed) & Completed) == 0)
            {
                return;
            }

            Interlocked.Or(ref _state, Claimed);
            if (Send() != Outcome.NoRoom)
            {
                Interlocked.And(ref _state, ~Claimed);
                _socket.WriterEnded();
                return;
            }

            if (Publish())
            {
                _socket.WriterLags();
                return;
            }
        }
    }

    // Without waiting for a callback under way, which finds nothing to claim.
    private void Unregister()
    {
        _registration.Unregister();
        _registration = default;
        _token = default;
    }

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

    private void DropAll()
    {
        while (_head is not null)
        {
            DropHead();
        }

        _bytes = 0;
    }
}
