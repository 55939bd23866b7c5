using System.Runtime.CompilerServices;

namespace Gateway.DataPlane.Loops;

/// <summary>
/// A non-blocking socket that lives on one loop, with one timer. Edge-triggered: the kernel tells each change once, so what it told is
/// kept here until a call finds the opposite (EAGAIN). All members belong to the loop's thread.
/// </summary>
internal abstract class LoopSocket : LoopTimer
{
    // Which registration of the descriptor number this is: an event of an earlier one, still in the batch, must not reach it.
    internal uint Registration;

    // It waits for its turn at the end of the loop's.
    internal bool IsDeferred;

    /// <summary>Wraps a descriptor, which it owns from now on.</summary>
    protected LoopSocket(EventLoop loop, int fd) => (Loop, Fd) = (loop, fd);

    /// <summary>The loop it lives on.</summary>
    public EventLoop Loop { get; }

    /// <summary>The descriptor; -1 after the end.</summary>
    public int Fd { get; private set; }

    /// <summary>Whether a read may find something. False: the next event will tell.</summary>
    public bool CanRead { get; private set; }

    /// <summary>Whether a write may find room. False: the next event will tell.</summary>
    public bool CanWrite { get; private set; }

    /// <summary>The peer has sent its FIN; what came before may still have to be read.</summary>
    public bool PeerEnded { get; private set; }

    /// <summary>The kernel has told an error or that both directions ended.</summary>
    public bool Broken { get; private set; }

    /// <summary>It is closed or handed on.</summary>
    public bool IsClosed => Fd < 0;

    /// <summary>Begins to receive events; false: the kernel refuses (limits of this host).</summary>
    protected internal bool Attach() =>
        Loop.Attach(this, Readiness.Readable | Readiness.Writable | Readiness.PeerEnded | Readiness.EdgeTriggered) >= 0;

    /// <summary>Begins to receive events of another kind; false: the kernel refuses. For sockets that only listen.</summary>
    protected bool Watch(Readiness events) => Loop.Attach(this, events) >= 0;

    /// <summary>Receives no events for now; the descriptor stays.</summary>
    protected void Unwatch() => Loop.Detach(this);

    /// <summary>Something changed: see <see cref="CanRead"/>, <see cref="CanWrite"/>, <see cref="PeerEnded"/>, <see cref="Broken"/>.</summary>
    protected abstract void OnReady();

    /// <summary>The loop ends.</summary>
    protected internal virtual void OnLoopEnds() => Close();

    /// <summary>A mistake of ours was thrown out of an event: it must end now, and say so to whoever waits for it. It may not throw.</summary>
    protected internal virtual void OnFault() => Close();

    /// <summary>Reads; 0: the peer's FIN; below zero: an error, <c>-Errno.Again</c> where nothing is there.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Receive(Span<byte> to)
    {
        int count = Syscalls.Receive(Fd, to);

        // A short read has emptied the queue (epoll(7)), so the next bytes come with an event; the FIN behind it may not.
        if (count < to.Length && !PeerEnded && !Broken)
        {
            CanRead = false;
        }

        return count;
    }

    /// <summary>Writes; returns how much was taken, 0 where there is no room; below zero: an error.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Send(ReadOnlySpan<byte> from, bool more = false)
    {
        int count = Syscalls.Send(Fd, from, more);
        if (count < from.Length)
        {
            CanWrite = false;
            return count == -Errno.Again ? 0 : count;
        }

        return count;
    }

    /// <summary>As <see cref="Send(ReadOnlySpan{byte}, bool)"/>, two pieces as one.</summary>
    public int Send(ReadOnlySpan<byte> first, ReadOnlySpan<byte> second)
    {
        int count = Syscalls.Send(Fd, first, second);
        if (count < first.Length + second.Length)
        {
            CanWrite = false;
            return count == -Errno.Again ? 0 : count;
        }

        return count;
    }

    /// <summary>A splice found nothing to read: the next event will tell.</summary>
    protected void FoundNothing() => CanRead = PeerEnded || Broken;

    /// <summary>A splice found no room: the next event will tell.</summary>
    protected void FoundNoRoom() => CanWrite = false;

    /// <summary>Sets the timer, in milliseconds from now.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SetTimer(long milliseconds) => Loop.Timers.Set(this, Loop.Now + milliseconds);

    /// <summary>Removes the timer.</summary>
    public void CancelTimer() => Loop.Timers.Cancel(this);

    /// <summary>Closes: a FIN, or a reset where unread bytes wait. Nothing happens the second time.</summary>
    public void Close()
    {
        if (Fd >= 0)
        {
            Loop.Timers.Cancel(this);
            Loop.Forget(this);
            Syscalls.Close(Fd);
            Fd = -1;
        }
    }

    /// <summary>Closes with a reset.</summary>
    public void Reset()
    {
        if (Fd >= 0)
        {
            Syscalls.ResetOnClose(Fd);
            Close();
        }
    }

    /// <summary>Lets go of the descriptor without closing it; it is the caller's from now on, in no epoll set.</summary>
    public int Detach()
    {
        int fd = Fd;
        Loop.Timers.Cancel(this);
        Loop.Detach(this);
        Fd = -1;
        return fd;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Deliver(Readiness events)
    {
        if ((events & (Readiness.Readable | Readiness.PeerEnded | Readiness.HungUp | Readiness.Error)) != Readiness.None)
        {
            CanRead = true;
        }

        if ((events & (Readiness.Writable | Readiness.HungUp | Readiness.Error)) != Readiness.None)
        {
            CanWrite = true;
        }

        if ((events & (Readiness.PeerEnded | Readiness.HungUp)) != Readiness.None)
        {
            PeerEnded = true;
        }

        if ((events & (Readiness.HungUp | Readiness.Error)) != Readiness.None)
        {
            Broken = true;
        }

        OnReady();
    }

    internal void DeliverDeferred() => OnReady();
}
