namespace Gateway.DataPlane.Loops;

/// <summary>
/// What a socket could not take yet. Empty in the usual case, and then it holds no memory; while it is not, whoever fills it stops
/// reading, so that the sender feels it through TCP.
/// </summary>
internal struct Outbox
{
    private byte[]? _buffer;
    private int _start;
    private int _end;

    /// <summary>Nothing waits.</summary>
    public readonly bool IsEmpty => _buffer is null;

    /// <summary>Bytes that wait.</summary>
    public readonly int Count => _end - _start;

    /// <summary>Sends, behind what waits already; what is not taken is kept. Below zero: an error of the socket.</summary>
    public int Send(LoopSocket to, ReadOnlySpan<byte> bytes)
    {
        int sent = 0;
        if (IsEmpty && !to.CanWrite)
        {
            Keep(to.Loop.Buffers, bytes);
        }
        else if (IsEmpty)
        {
            sent = to.Send(bytes);
            if (sent >= 0 && sent < bytes.Length)
            {
                Keep(to.Loop.Buffers, bytes[sent..]);
            }
        }
        else
        {
            Keep(to.Loop.Buffers, bytes);
        }

        return sent;
    }

    /// <summary>As <see cref="Send(LoopSocket, ReadOnlySpan{byte})"/>, two pieces as one.</summary>
    public int Send(LoopSocket to, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second)
    {
        if (!IsEmpty || !to.CanWrite)
        {
            Keep(to.Loop.Buffers, first);
            Keep(to.Loop.Buffers, second);
            return 0;
        }

        int sent = to.Send(first, second);
        if (sent >= 0 && sent < first.Length)
        {
            Keep(to.Loop.Buffers, first[sent..]);
            Keep(to.Loop.Buffers, second);
        }
        else if (sent >= 0 && sent < first.Length + second.Length)
        {
            Keep(to.Loop.Buffers, second[(sent - first.Length)..]);
        }

        return sent;
    }

    /// <summary>Sends what waits; returns how much was taken, below zero: an error of the socket.</summary>
    public int Flush(LoopSocket to)
    {
        if (_buffer is null)
        {
            return 0;
        }

        int sent = to.Send(_buffer.AsSpan(_start, _end - _start));
        if (sent > 0 && (_start += sent) == _end)
        {
            Clear(to.Loop.Buffers);
        }

        return sent;
    }

    /// <summary>Forgets what waits and gives its memory back.</summary>
    public void Clear(LoopBuffers buffers)
    {
        if (_buffer is not null)
        {
            buffers.Return(_buffer);
            (_buffer, _start, _end) = (null, 0, 0);
        }
    }

    private void Keep(LoopBuffers buffers, ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty)
        {
            return;
        }

        int count = Count;
        if (_buffer is null || _buffer.Length - _end < bytes.Length)
        {
            byte[] larger = buffers.Rent(count + bytes.Length);
            if (_buffer is not null)
            {
                _buffer.AsSpan(_start, count).CopyTo(larger);
                buffers.Return(_buffer);
            }

            (_buffer, _start, _end) = (larger, 0, count);
        }

        bytes.CopyTo(_buffer.AsSpan(_end));
        _end += bytes.Length;
    }
}
