using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Gateway.DataPlane.Loops;
using Microsoft.AspNetCore.Connections;

namespace Gateway.DataPlane.Listening;

// In: a descriptor on a loop. Out: what Kestrel reads and writes. Two parties meet here. The loop tells what the kernel told it, and
// does the work that was left waiting. Kestrel reads and writes from wherever it happens to be: on the loop, when that woke it, or on a
// pool thread after an answer of somebody else. Either direction has one owner at a time (see LoopReader, LoopWriter), who makes its
// system calls at once, on its own thread: handing them to the loop would cost a wake-up each. So nobody waits for anybody, and no
// lock is held. What must be counted is who is within a system call, because the number may be closed only after the last.

/// <summary>A client connection on a loop, served by Kestrel: the socket's side of it.</summary>
#pragma warning disable CA1001 // The token outlives the connection in other hands; without timers and links its source has nothing to free.
internal sealed class LoopTransport : LoopSocket, IDuplexPipe
#pragma warning restore CA1001
{
    // Answers of Receive and Send after the end.
    private const int Gone = -Errno.Aborted;

    private const int Closing = 1 << 30;
    private const int ReaderDone = 1;
    private const int WriterDone = 2;

    // How long the peer may take for what is left after the connection was served, and how long it may go on sending afterwards.
    private const long DrainMs = 60_000;
    private const long LingerMs = 2_000;
    private const int DropsPerTurn = 16;

    private readonly int _fd;
    private readonly CancellationTokenSource _ended = new();
    private readonly TaskCompletionSource _gone = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // Any thread, interlocked: system calls under way, and whether no more may begin.
    private int _uses;
    private int _freed;
    private int _done;
    private int _told;
    private ConnectionAbortedException? _why;

    // Any thread; each is set once.
    private volatile bool _reset;
    private volatile bool _inline;
    private volatile bool _loopGone;

    // Only on the loop.
    private bool _lingering;

    /// <summary>Wraps a descriptor, which it owns from now on; <paramref name="read"/> was read of it.</summary>
    /// <param name="loop">Its loop.</param>
    /// <param name="fd">The descriptor.</param>
    /// <param name="read">Comes before anything else.</param>
    /// <param name="inline">Whoever waits for the socket is woken on the loop; false: on the pool.</param>
    public LoopTransport(EventLoop loop, int fd, ReadOnlySpan<byte> read, bool inline)
        : base(loop, fd)
    {
        (_fd, _inline) = (fd, inline);
        Reader = new LoopReader(this, read);
        Writer = new LoopWriter(this);
        Syscalls.NoDelay(fd);
        Span<byte> address = stackalloc byte[SocketAddresses.BytesMax];
        Remote = Syscalls.PeerAddress(fd, address, out int length) >= 0 ? SocketAddresses.Read(address[..length]) : null;
    }

    /// <summary>What the client sends.</summary>
    public LoopReader Reader { get; }

    /// <summary>What the client is sent.</summary>
    public LoopWriter Writer { get; }

    /// <summary>The other end; null where it left at once.</summary>
    public IPEndPoint? Remote { get; }

    /// <summary>Fires when the client has sent its last byte, or the connection is broken or aborted.</summary>
    public CancellationToken Ended => _ended.Token;

    /// <summary>Completes when the descriptor is closed.</summary>
    public Task Closed => _gone.Task;

    PipeReader IDuplexPipe.Input => Reader;

    PipeWriter IDuplexPipe.Output => Writer;

    /// <summary>Why it was aborted; null: it was not.</summary>
    public ConnectionAbortedException? Why => Volatile.Read(ref _why);

    /// <summary>
    /// From now on whoever waits is woken on the loop. Before, on the pool: a handshake is a millisecond of arithmetic, and everybody
    /// else on the loop would have to wait for it.
    /// </summary>
    public void RunInline() => _inline = true;

    /// <summary>Whether a result may be told right here.</summary>
    public bool MayRunHere => _inline && Loop.IsHere;

    /// <summary>Our address; null after the end.</summary>
    public IPEndPoint? ReadLocal()
    {
        if (!Enter())
        {
            return null;
        }

        Span<byte> address = stackalloc byte[SocketAddresses.BytesMax];
        int result = Syscalls.LocalAddress(_fd, address, out int length);
        Exit();
        return result >= 0 ? SocketAddresses.Read(address[..length]) : null;
    }

    /// <summary>Begins to receive events; on the loop. Where the kernel refuses it is aborted.</summary>
    public void Begin()
    {
        if (!Attach())
        {
            Abort(new ConnectionAbortedException("the kernel does not let it be watched"));
        }
    }

    /// <summary>Reads: below zero is an error.</summary>
    public int Read(Span<byte> to)
    {
        if (!Enter())
        {
            return Gone;
        }

        int count = Syscalls.Receive(_fd, to);
        Exit();
        return count;
    }

    /// <summary>Writes: below zero is an error.</summary>
    public int Write(ReadOnlySpan<byte> from)
    {
        if (!Enter())
        {
            return Gone;
        }

        int count = Syscalls.Send(_fd, from);
        Exit();
        return count;
    }

    /// <summary>An error as whoever reads should know it.</summary>
    public Exception ErrorOf(int result) =>
        (Exception?)Why ?? new ConnectionResetException(Errno.Text(-result), new SocketException((int)(-result switch
        {
            Errno.Reset or Errno.Pipe => SocketError.ConnectionReset,
            Errno.TimedOut => SocketError.TimedOut,
            _ => SocketError.ConnectionAborted,
        })));

    /// <summary>Ends it at once, with a reset.</summary>
    public void Abort(ConnectionAbortedException why)
    {
        if (Interlocked.CompareExchange(ref _why, why, null) is null)
        {
            _reset = true;
            End();
        }
    }

    /// <summary>Nobody reads any more.</summary>
    public void ReaderEnded() => Done(ReaderDone);

    /// <summary>Nobody writes any more, and all of it is sent.</summary>
    public void WriterEnded() => Done(WriterDone);

    /// <summary>Nobody writes any more, and the client is slow to take the rest.</summary>
    public void WriterLags()
    {
        if (Loop.IsHere)
        {
            SetTimer(DrainMs);
        }
        else
        {
            Loop.Post(static s => ((LoopTransport)s!).SetTimerIfOpen(DrainMs), this);
        }
    }

    /// <summary>The client sends no more, or never again.</summary>
    public void TellEnded()
    {
        if (Interlocked.Exchange(ref _told, 1) == 0)
        {
            // Whoever registered runs within Cancel, so never here.
            ThreadPool.UnsafeQueueUserWorkItem(static s => s.CancelEnded(), this, preferLocal: false);
        }
    }

    /// <inheritdoc/>
    protected override void OnReady()
    {
        try
        {
            // What the kernel told is kept by the owners of the directions, who clear it from other threads.
            bool ended = PeerEnded || Broken;
            bool read = CanRead, write = CanWrite;
            FoundNothing();
            FoundNoRoom();
            if (_lingering)
            {
                Drop();
                return;
            }

            if (write)
            {
                Writer.Ready();
            }

            Reader.Ready(read, ended);
            if (ended)
            {
                TellEnded();
            }
        }
        catch (Exception e)
        {
            // Thrown on, it would make the loop close the descriptor, which another thread may be using.
            Abort(new ConnectionAbortedException("a mistake of ours", e));
        }
    }

    /// <inheritdoc/>
    protected internal override void OnDue()
    {
        if (_lingering)
        {
            End();
        }
        else
        {
            Abort(new ConnectionAbortedException("the client does not take the rest"));
        }
    }

    /// <inheritdoc/>
    protected internal override void OnFault() => Abort(new ConnectionAbortedException("a mistake of ours"));

    /// <inheritdoc/>
    protected internal override void OnLoopEnds()
    {
        _loopGone = true;
        Abort(new ConnectionAbortedException("the loop ended"));

        // Somebody may have seen that it is free, and have posted what is never going to run.
        if (Volatile.Read(ref _freed) == 1)
        {
            CloseNow();
        }
    }

    private void CancelEnded()
    {
        try
        {
            _ended.Cancel();
        }
        catch (AggregateException)
        {
            // A listener's own mistake. It is told, and nothing more can be done; thrown here it would end the process.
        }
    }

    private bool Enter()
    {
        if ((Interlocked.Increment(ref _uses) & Closing) == 0)
        {
            return true;
        }

        Exit();
        return false;
    }

    private void Exit()
    {
        if (Interlocked.Decrement(ref _uses) == Closing)
        {
            Free();
        }
    }

    private void End()
    {
        if (Interlocked.Or(ref _uses, Closing) == 0)
        {
            Free();
        }

        Reader.Abort();
        Writer.Abort();
        TellEnded();
    }

    private void Free()
    {
        if (Interlocked.Exchange(ref _freed, 1) == 1)
        {
            return;
        }

        if (Loop.IsHere)
        {
            CloseNow();
        }
        else if (_loopGone)
        {
            if (_reset)
            {
                Syscalls.ResetOnClose(_fd);
            }

            Syscalls.Close(_fd);
            _gone.TrySetResult();
        }
        else
        {
            Loop.Post(static s => ((LoopTransport)s!).CloseNow(), this);
        }
    }

    // On the loop.
    private void CloseNow()
    {
        if (!IsClosed)
        {
            if (_reset)
            {
                Reset();
            }
            else
            {
                Close();
            }
        }

        _gone.TrySetResult();
    }

    private void Done(int which)
    {
        int before = Interlocked.Or(ref _done, which);
        if ((before & which) != 0)
        {
            return;
        }

        if ((before | which) == (ReaderDone | WriterDone))
        {
            if (Loop.IsHere)
            {
                Finish();
            }
            else
            {
                Loop.Post(static s => ((LoopTransport)s!).Finish(), this);
            }
        }
        else if (which == WriterDone && Enter())
        {
            _ = Syscalls.ShutdownWrite(_fd);
            Exit();
        }
    }

    // Both sides are done with it. On the loop.
    private void Finish()
    {
        if ((Volatile.Read(ref _uses) & Closing) == 0 && !_lingering)
        {
            // What is unread when a socket closes turns its FIN into a reset, which may overtake the last answer.
            CancelTimer();
            _lingering = true;
            if (DropSome(out bool any) && !any)
            {
                End();
            }
            else if (!IsClosed)
            {
                _ = Syscalls.ShutdownWrite(_fd);
                SetTimer(LingerMs);
            }
        }
    }

    private void Drop()
    {
        if ((Volatile.Read(ref _uses) & Closing) == 0)
        {
            DropSome(out _);
        }
    }

    // True: nothing is there for now, or the end was found and it is closed.
    private bool DropSome(out bool any)
    {
        any = false;
        for (int drops = 0; drops < DropsPerTurn; drops++)
        {
            int count = Read(Loop.Buffers.Input);
            if (count == -Errno.Again)
            {
                return true;
            }

            any = true;
            if (count <= 0)
            {
                End();
                return true;
            }
        }

        Loop.Defer(this);
        return false;
    }

    private void SetTimerIfOpen(long milliseconds)
    {
        if (!IsClosed && !_lingering && (Volatile.Read(ref _uses) & Closing) == 0)
        {
            SetTimer(milliseconds);
        }
    }
}
