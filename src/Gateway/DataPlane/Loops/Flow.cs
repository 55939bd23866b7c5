namespace Gateway.DataPlane.Loops;

/// <summary>How far a <see cref="Flow"/> is.</summary>
internal enum FlowState
{
    /// <summary>It waits for the one side or the other.</summary>
    Waiting,

    /// <summary>It has done its share of this turn and wants another.</summary>
    More,

    /// <summary>The source's FIN has been passed on.</summary>
    Ended,

    /// <summary>A side is broken: reset, or worse.</summary>
    Broken,
}

/// <summary>
/// One direction of a tunnel: bytes of one socket go to another, then its FIN. Holds a buffer only while the receiver is slow, and reads
/// no further meanwhile.
/// </summary>
/// <param name="observer">Told of bytes before they are sent; null: nobody.</param>
internal sealed class Flow(Action<ReadOnlySpan<byte>>? observer = null)
{
    // A stream that never pauses lets others have their turn after so many reads.
    private const int ReadsPerTurn = 8;

    private Outbox _outbox;
    private bool _sourceEnded;
    private bool _finSent;

    /// <summary>Bytes passed on. Written by the loop, read by anybody.</summary>
    public long Bytes => Volatile.Read(ref _bytes);

    /// <summary>The FIN was passed on.</summary>
    public bool IsEnded => _finSent;

    /// <summary>Nothing is held here: whatever was read has been sent.</summary>
    public bool IsEmpty => _outbox.IsEmpty;

    private long _bytes;

    /// <summary>Sends bytes that were read from the source before this flow began, or that belong in front of what follows.</summary>
    public FlowState Begin(LoopSocket to, ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty)
        {
            return FlowState.Waiting;
        }

        observer?.Invoke(bytes);
        Volatile.Write(ref _bytes, _bytes + bytes.Length);
        return _outbox.Send(to, bytes) < 0 ? FlowState.Broken : FlowState.Waiting;
    }

    /// <summary>Moves what there is to move.</summary>
    /// <param name="from">The source.</param>
    /// <param name="to">The receiver.</param>
    /// <param name="moved">Set where a byte was moved.</param>
    public FlowState Pump(LoopSocket from, LoopSocket to, ref bool moved)
    {
        if (_finSent)
        {
            return FlowState.Ended;
        }

        // 1. What waits goes first.
        if (!_outbox.IsEmpty)
        {
            if (!to.CanWrite)
            {
                return FlowState.Waiting;
            }

            int flushed = _outbox.Flush(to);
            if (flushed < 0)
            {
                return FlowState.Broken;
            }

            moved |= flushed > 0;
            if (!_outbox.IsEmpty)
            {
                return FlowState.Waiting;
            }
        }

        // 2. Read as long as it all goes out at once.
        byte[] scratch = from.Loop.Buffers.Input;
        for (int reads = 0; !_sourceEnded && from.CanRead; reads++)
        {
            if (reads == ReadsPerTurn)
            {
                return FlowState.More;
            }

            int count = from.Receive(scratch);
            if (count <= 0)
            {
                if (count == -Errno.Again)
                {
                    break;
                }

                if (count < 0)
                {
                    return FlowState.Broken;
                }

                _sourceEnded = true;
                break;
            }

            moved = true;
            observer?.Invoke(scratch.AsSpan(0, count));
            Volatile.Write(ref _bytes, _bytes + count);
            if (_outbox.Send(to, scratch.AsSpan(0, count)) < 0)
            {
                return FlowState.Broken;
            }

            if (!_outbox.IsEmpty)
            {
                return FlowState.Waiting;
            }
        }

        // 3. The FIN, behind the last byte.
        if (_sourceEnded)
        {
            // Where the receiver has ended altogether there is nobody to tell.
            _finSent = true;
            _ = Syscalls.ShutdownWrite(to.Fd);
            return FlowState.Ended;
        }

        return FlowState.Waiting;
    }

    /// <summary>Gives back what it holds.</summary>
    public void Clear(LoopBuffers buffers) => _outbox.Clear(buffers);
}
