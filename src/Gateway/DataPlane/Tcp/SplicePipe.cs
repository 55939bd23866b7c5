using Gateway.DataPlane.Loops;

namespace Gateway.DataPlane.Tcp;

/// <summary>A pipe between two sockets, and how many bytes are in it. Belongs to one direction of one relay at a time.</summary>
internal sealed class SplicePipe(int readEnd, int writeEnd)
{
    /// <summary>Where it is read.</summary>
    public int ReadEnd => readEnd;

    /// <summary>Where it is filled.</summary>
    public int WriteEnd => writeEnd;

    /// <summary>Bytes in it.</summary>
    public int Held { get; set; }

    /// <summary>A call on it failed, so that <see cref="Held"/> can't be relied on.</summary>
    public bool IsSuspect { get; set; }

    /// <summary>Closes both ends; what is in it is gone.</summary>
    public void Close()
    {
        Syscalls.Close(readEnd);
        Syscalls.Close(writeEnd);
    }
}

/// <summary>
/// The pipes of one loop. In: pipes that are certainly empty; out: the same. Invariant: one that may hold a byte is closed and never
/// lent again, so nobody gets another connection's bytes. One thread.
/// </summary>
internal sealed class PipePool
{
    /// <summary>Bytes a pipe should take; the kernel's own default where it gives no more.</summary>
    public const int PipeBytes = 256 * 1024;

    /// <summary>Pipes that may be open, lent ones included: each is two descriptors. Who gets none copies.</summary>
    public const int OpenMax = 128;

    private const int IdleMax = 32;

    private readonly Stack<SplicePipe> _idle = [];
    private bool _refused;

    /// <summary>Pipes that are open.</summary>
    public int Open { get; private set; }

    /// <summary>Pipes that wait for work.</summary>
    public int Idle => _idle.Count;

    /// <summary>An empty pipe; null: there is none, and copying does it too.</summary>
    public SplicePipe? Rent()
    {
        if (_idle.TryPop(out SplicePipe? pipe))
        {
            return pipe;
        }

        if (_refused || Open >= OpenMax || Syscalls.Pipe(out int read, out int write) < 0)
        {
            return null;
        }

        _ = Syscalls.ResizePipe(write, PipeBytes);
        Open++;
        return new SplicePipe(read, write);
    }

    /// <summary>Takes a pipe back, or closes it where it may hold bytes.</summary>
    public void Return(SplicePipe pipe)
    {
        if (pipe.Held == 0 && !pipe.IsSuspect && _idle.Count < IdleMax)
        {
            _idle.Push(pipe);
            return;
        }

        pipe.Close();
        Open--;
    }

    /// <summary>The kernel does not splice here: nobody gets a pipe any more.</summary>
    public void GiveUp() => _refused = true;

    /// <summary>Closes what waits.</summary>
    public void Close()
    {
        while (_idle.TryPop(out SplicePipe? pipe))
        {
            pipe.Close();
            Open--;
        }
    }
}
