using Gateway.DataPlane.Loops;

namespace Gateway.DataPlane.Tcp;

/// <summary>
/// One direction of a relay on a loop: bytes of one socket go to another, then its FIN. A chat is copied through the loop's scratch
/// buffer; a stream is spliced through a pipe, so that its bytes never leave the kernel. Holds a buffer or a pipe only while bytes are
/// in it, and reads no further meanwhile, so the sender feels a slow receiver through TCP.
/// </summary>
internal sealed class RelayFlow(PipePool pipes)
{
    /// <summary>A read of so many bytes is one of a stream, two in a row are a stream.</summary>
    public const int BigReadBytes = 16 * 1024;

    private const int BigReadsInRow = 2;

    // A stream that never pauses lets others have their turn after so many reads.
    private const int ReadsPerTurn = 8;

    private Outbox _outbox;
    private SplicePipe? _pipe;
    private bool _splicing;

    // While it copies: big reads in a row; while it splices: small ones.
    private int _inRow;
    private bool _finSent;
    private long _acknowledged;
    private long _reported;

    // Written by the loop, read by anybody.
    private long _bytes;

    /// <summary>Bytes that the receiver's socket has taken.</summary>
    public long Bytes => Volatile.Read(ref _bytes);

    /// <summary>The source has ended; what it sent may not be passed on yet.</summary>
    public bool SourceEnded { get; private set; }

    /// <summary>Bytes wait for the receiver.</summary>
    public bool IsBlocked => !_outbox.IsEmpty || _pipe is { Held: > 0 };

    /// <summary>It moves bytes through a pipe at present.</summary>
    public bool IsSplicing => _splicing;

    /// <summary>Moves what there is to move.</summary>
    /// <param name="from">The source.</param>
    /// <param name="to">The receiver.</param>
    /// <param name="moved">Set where a byte was moved.</param>
    public FlowState Pump(RelaySocket from, RelaySocket to, ref bool moved)
    {
        if (_finSent)
        {
            return FlowState.Ended;
        }

        // 1. What waits goes first.
        if (IsBlocked)
        {
            if (!Flush(to, ref moved))
            {
                return FlowState.Broken;
            }

            if (IsBlocked)
            {
                return FlowState.Waiting;
            }
        }

        // 2. Read as long as it all goes out at once.
        for (int reads = 0; !SourceEnded && from.CanRead; reads++)
        {
            if (reads == ReadsPerTurn)
            {
                return FlowState.More;
            }

            int read = _splicing ? Splice(from, to) : Copy(from, to);
            if (read == -Errno.Again)
            {
                break;
            }

            if (read < 0)
            {
                return FlowState.Broken;
            }

            moved = true;
            if (IsBlocked)
            {
                return FlowState.Waiting;
            }
        }

        // 3. The FIN, behind the last byte.
        GiveBackPipe();
        if (SourceEnded)
        {
            // Where the receiver has ended altogether there is nobody to tell.
            _finSent = true;
            _ = Syscalls.ShutdownWrite(to.Fd);
            return FlowState.Ended;
        }

        return FlowState.Waiting;
    }

    /// <summary>
    /// Whether the receiver that is waited for has acknowledged anything since this was asked last. The kernel tells of room only when
    /// a third of its buffer, which may be megabytes, is free again: a receiver that is slow but steady would look silent.
    /// </summary>
    public bool Progressed(RelaySocket to)
    {
        if (!IsBlocked)
        {
            return false;
        }

        long before = _acknowledged;
        _acknowledged = Syscalls.Acknowledged(to.Fd);
        return _acknowledged != before;
    }

    /// <summary>Bytes since this was asked last.</summary>
    public long TakeUnreported()
    {
        long unreported = _bytes - _reported;
        _reported = _bytes;
        return unreported;
    }

    /// <summary>Gives back what it holds.</summary>
    public void Clear(LoopBuffers buffers)
    {
        _outbox.Clear(buffers);
        GiveBackPipe();
    }

    private int Copy(RelaySocket from, RelaySocket to)
    {
        byte[] scratch = from.Loop.Buffers.Input;
        int count = from.Receive(scratch);
        if (count <= 0)
        {
            SourceEnded = count == 0;
            return count;
        }

        int sent = _outbox.Send(to, scratch.AsSpan(0, count));
        if (sent < 0)
        {
            return sent;
        }

        Passed(sent);
        _inRow = count >= BigReadBytes ? _inRow + 1 : 0;
        if (_inRow == BigReadsInRow)
        {
            (_splicing, _inRow) = (true, 0);
        }

        return count;
    }

    private int Splice(RelaySocket from, RelaySocket to)
    {
        _pipe ??= pipes.Rent();
        if (_pipe is null)
        {
            StopSplicing();
            return Copy(from, to);
        }

        int count = from.SpliceInto(_pipe);
        if (count == -Errno.Again)
        {
            return count;
        }

        if (count <= 0)
        {
            // The end; or urgent data, where splice(2) stops too; or it does not work here. Reading tells.
            if (count is -Errno.NotImplemented or -Errno.Invalid)
            {
                pipes.GiveUp();
            }

            StopSplicing();
            return Copy(from, to);
        }

        _inRow = count < BigReadBytes ? _inRow + 1 : 0;
        bool moved = false;
        if (!Flush(to, ref moved))
        {
            return -Errno.Pipe;
        }

        if (_inRow == BigReadsInRow && !IsBlocked)
        {
            StopSplicing();
        }

        return count;
    }

    // False: the receiver is broken.
    private bool Flush(RelaySocket to, ref bool moved)
    {
        if (!_outbox.IsEmpty && to.CanWrite)
        {
            int sent = _outbox.Flush(to);
            if (sent < 0)
            {
                return false;
            }

            Passed(sent);
            moved |= sent > 0;
        }

        // A part of it may have gone for other reasons than a full socket: only EAGAIN arms the next event.
        while (_pipe is { Held: > 0 } pipe && to.CanWrite)
        {
            int sent = to.SpliceOutOf(pipe);
            if (sent == -Errno.Again)
            {
                break;
            }

            if (sent <= 0)
            {
                return false;
            }

            Passed(sent);
            moved = true;
        }

        return true;
    }

    private void Passed(int count) => Volatile.Write(ref _bytes, _bytes + count);

    private void StopSplicing()
    {
        (_splicing, _inRow) = (false, 0);
        GiveBackPipe();
    }

    private void GiveBackPipe()
    {
        if (_pipe is { } pipe)
        {
            _pipe = null;
            pipes.Return(pipe);
        }
    }
}
