namespace Gateway.DataPlane.Loops;

/// <summary>
/// What was read from a socket and not used yet: half a head, the next request of a pipeline, the begin of a body. Empty in the usual
/// case, and then it holds no memory.
/// </summary>
internal struct Inbox
{
    private byte[]? _buffer;
    private int _start;
    private int _end;

    /// <summary>Nothing is there.</summary>
    public readonly bool IsEmpty => _buffer is null;

    /// <summary>Bytes that are there.</summary>
    public readonly int Count => _end - _start;

    /// <summary>What is there.</summary>
    public readonly ReadOnlySpan<byte> Bytes => _buffer.AsSpan(_start, _end - _start);

    /// <summary>Keeps bytes behind what is there.</summary>
    public void Keep(LoopBuffers buffers, ReadOnlySpan<byte> bytes)
    {
        if (!bytes.IsEmpty)
        {
            MakeRoom(buffers, bytes.Length);
            bytes.CopyTo(_buffer.AsSpan(_end));
            _end += bytes.Length;
        }
    }

    /// <summary>Reads behind what is there; the result is that of <see cref="LoopSocket.Receive"/>.</summary>
    public int ReceiveMore(LoopSocket from)
    {
        MakeRoom(from.Loop.Buffers, 1);
        int count = from.Receive(_buffer.AsSpan(_end));
        _end += Math.Max(0, count);
        return count;
    }

    /// <summary>Takes bytes away at the front.</summary>
    public void Take(LoopBuffers buffers, int count)
    {
        _start += count;
        if (_start == _end)
        {
            Clear(buffers);
        }
    }

    /// <summary>Forgets what is there and gives its memory back.</summary>
    public void Clear(LoopBuffers buffers)
    {
        if (_buffer is not null)
        {
            buffers.Return(_buffer);
            (_buffer, _start, _end) = (null, 0, 0);
        }
    }

    private void MakeRoom(LoopBuffers buffers, int bytes)
    {
        if (_buffer is not null && _buffer.Length - _end >= bytes)
        {
            return;
        }

        int count = Count;
        byte[] target = _buffer is not null && _buffer.Length - count >= bytes ? _buffer : buffers.Rent(Math.Max(count + bytes, count * 2));
        if (_buffer is not null)
        {
            _buffer.AsSpan(_start, count).CopyTo(target);
            if (!ReferenceEquals(target, _buffer))
            {
                buffers.Return(_buffer);
            }
        }

        (_buffer, _start, _end) = (target, 0, count);
    }
}
