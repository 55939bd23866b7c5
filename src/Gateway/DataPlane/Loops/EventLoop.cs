using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;

namespace Gateway.DataPlane.Loops;

// In: readiness of sockets, due timers, work posted by other threads. Out: calls of the sockets that live here, one at a time.
// Invariant: everything that lives on a loop is touched by its thread only, so nothing on the way of a byte takes a lock; and
// nothing here waits for anything but epoll. Whoever needs the loop's state from outside posts.

/// <summary>What runs on a loop, posted from anywhere.</summary>
internal readonly record struct LoopWork(Action<object?> Run, object? State);

/// <summary>
/// One thread, one epoll set: its sockets, its timers, its buffers. What blocks here blocks all of them, so the time of every call is
/// taken and a long one is reported with the name of whoever made it.
/// </summary>
internal sealed class EventLoop : IDisposable
{
    /// <summary>A call that takes longer is reported.</summary>
    public static readonly TimeSpan BlockedAfter = TimeSpan.FromMilliseconds(5);

    private const int BatchMax = 256;

    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Thread _thread;
    private readonly long _blockedTicks;
    private readonly double _msPerTick;
    private readonly long _origin;
    private readonly int _epoll;
    private readonly int _wake;
    private readonly EpollRecords _records = new(BatchMax);
    private readonly ConcurrentQueue<LoopWork> _posted = [];
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // By descriptor number. Only this thread.
    private LoopSocket?[] _sockets = new LoopSocket?[1024];
    private List<LoopSocket> _deferred = [];
    private List<LoopSocket> _deferredNow = [];
    private uint _registrations;
    private bool _stopping;

    // Set by whoever posts to a sleeping loop, cleared by the loop before it empties the queue.
    private int _signalled;

    // The wake-up descriptor is open. Written by the loop, read by posters.
    private readonly Lock _waking = new();
    private bool _closed;

    // Written by the loop, read by the watch: when the call under way began (0: none), and for whom.
    private long _busySince;
    private volatile object? _busyWith;
    private long _turns;
    private long _blocked;
    private int _socketCount;

    /// <summary>Makes a loop; it runs after <see cref="Start"/>.</summary>
    /// <exception cref="IOException">The kernel gives no epoll set.</exception>
    public EventLoop(int index, TimeProvider time, ILogger logger)
    {
        (Index, _time, _logger) = (index, time, logger);
        _msPerTick = 1000.0 / time.TimestampFrequency;
        _blockedTicks = (long)(BlockedAfter.TotalSeconds * time.TimestampFrequency);
        _origin = time.GetTimestamp();
        Timestamp = _origin;
        Timers = new TimerWheel(0, Fault);
        _epoll = Must(Syscalls.EpollCreate(), "epoll_create1");
        _wake = Must(Syscalls.EventFd(), "eventfd");
        Must(EpollRecords.Add(_epoll, _wake, Readiness.Readable, ulong.MaxValue), "epoll_ctl");
        _thread = new Thread(Run) { IsBackground = true, Name = $"gateway-loop-{index}" };
    }

    /// <summary>Which of the loops, from 0.</summary>
    public int Index { get; }

    /// <summary>Milliseconds since the loop was made, as of the event under way. Only on the loop.</summary>
    public long Now { get; private set; }

    /// <summary>Timestamp of the loop's clock, as of the event under way. Only on the loop.</summary>
    public long Timestamp { get; private set; }

    /// <summary>Its timers. Only on the loop.</summary>
    public TimerWheel Timers { get; }

    /// <summary>Its buffers. Only on the loop.</summary>
    public LoopBuffers Buffers { get; } = new();

    /// <summary>Sockets that live here. Read by anybody.</summary>
    public int Sockets => Volatile.Read(ref _socketCount);

    /// <summary>Turns so far. Read by anybody.</summary>
    public long Turns => Volatile.Read(ref _turns);

    /// <summary>Calls that took longer than <see cref="BlockedAfter"/>. Read by anybody.</summary>
    public long Blocked => Volatile.Read(ref _blocked);

    /// <summary>Whether the caller is the loop's thread.</summary>
    public bool IsHere => Thread.CurrentThread == _thread;

    /// <summary>Completes when the loop has ended.</summary>
    public Task Ended => _ended.Task;

    /// <summary>Begins to run.</summary>
    public void Start() => _thread.Start();

    /// <summary>Ends and waits for the end; from any thread but the loop's.</summary>
    public void Dispose()
    {
        Stop();
        _thread.Join();
    }

    /// <summary>Ends after the present turn: sockets that still live here are closed.</summary>
    public void Stop() => Post(static loop => ((EventLoop)loop!)._stopping = true, this);

    /// <summary>Runs something on the loop, soon and in order; from any thread. After the end of the loop it never runs.</summary>
    public void Post(Action<object?> run, object? state)
    {
        _posted.Enqueue(new LoopWork(run, state));
        if (Interlocked.Exchange(ref _signalled, 1) == 0)
        {
            lock (_waking)
            {
                // An eventfd never blocks below 2^64 - 1. After the end the number may be somebody else's.
                if (!_closed)
                {
                    _ = Syscalls.Signal(_wake);
                }
            }
        }
    }

    /// <summary>Runs something on the loop and tells its result; from any thread but the loop's.</summary>
    public Task<T> AskAsync<T>(Func<T> question)
    {
        TaskCompletionSource<T> answer = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(
            _ =>
            {
                try
                {
                    answer.TrySetResult(question());
                }
                catch (Exception e)
                {
                    answer.TrySetException(e);
                }
            },
            null);
        return Task.WhenAny(answer.Task, Ended).ContinueWith(
            first => answer.Task.IsCompleted ? answer.Task : Task.FromCanceled<T>(new CancellationToken(true)),
            CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default).Unwrap();
    }

    /// <summary>Calls the socket again in this turn's end, after everybody else had theirs: for whoever has had enough for now.</summary>
    public void Defer(LoopSocket socket)
    {
        if (!socket.IsDeferred)
        {
            socket.IsDeferred = true;
            _deferred.Add(socket);
        }
    }

    /// <summary>How long the call under way lasts and who makes it; from any thread.</summary>
    public (TimeSpan For, string By)? Busy()
    {
        long since = Volatile.Read(ref _busySince);
        object? with = _busyWith;
        return since == 0 ? null : (_time.GetElapsedTime(since), NameOf(with));
    }

    internal int Attach(LoopSocket socket, Readiness events)
    {
        int fd = socket.Fd;
        if (fd >= _sockets.Length)
        {
            Array.Resize(ref _sockets, Math.Max(fd + 1, _sockets.Length * 2));
        }

        // Where the kernel refuses, what it knew of the descriptor before goes on.
        uint registration = ++_registrations;
        int result = EpollRecords.Add(_epoll, fd, events, (uint)fd | ((ulong)registration << 32));
        if (result >= 0)
        {
            socket.Registration = registration;
            _sockets[fd] = socket;
            Volatile.Write(ref _socketCount, _socketCount + 1);
        }

        return result;
    }

    // Its close(2) follows, which takes it out of the epoll set.
    internal void Forget(LoopSocket socket)
    {
        int fd = socket.Fd;
        if (fd < _sockets.Length && ReferenceEquals(_sockets[fd], socket))
        {
            _sockets[fd] = null;
            Volatile.Write(ref _socketCount, _socketCount - 1);
        }
    }

    // The descriptor lives on, so it has to be taken out.
    internal void Detach(LoopSocket socket)
    {
        int fd = socket.Fd;
        if (fd >= 0 && fd < _sockets.Length && ReferenceEquals(_sockets[fd], socket))
        {
            EpollRecords.Remove(_epoll, fd);
            Forget(socket);
        }
    }

    /// <summary>Every socket that lives here. Only on the loop.</summary>
    internal IEnumerable<LoopSocket> All()
    {
        foreach (LoopSocket? socket in _sockets)
        {
            if (socket is not null)
            {
                yield return socket;
            }
        }
    }

    private void Run()
    {
        try
        {
            Tick();
            while (!_stopping)
            {
                Turn();
            }

            foreach (LoopSocket socket in All().ToArray())
            {
                End(socket);
            }
        }
        catch (Exception e)
        {
            // Nothing that a socket does ends here: it is the loop itself that is broken.
            _logger.LogCritical(e, "event loop {Loop} ended", Index);
        }
        finally
        {
            lock (_waking)
            {
                _closed = true;
                Syscalls.Close(_wake);
            }

            Syscalls.Close(_epoll);
            _records.Dispose();
            _ended.TrySetResult();
        }
    }

    private void End(LoopSocket socket)
    {
        try
        {
            socket.OnLoopEnds();
        }
        catch (Exception e)
        {
            Fault(e, socket);
        }
    }

    private void Turn()
    {
        // 1. Wait, as long as nothing is due.
        int wait = _deferred.Count > 0 || Volatile.Read(ref _signalled) != 0 ? 0 : Timers.Delay(Now);
        int count = Must(_records.Wait(_epoll, wait), "epoll_wait");
        Tick();
        Volatile.Write(ref _turns, _turns + 1);

        // 2. Sockets.
        for (int i = 0; i < count; i++)
        {
            ulong data = _records.Data(i);
            if (data == ulong.MaxValue)
            {
                _ = Syscalls.Unsignal(_wake);
                continue;
            }

            int fd = (int)(uint)data;
            if (_sockets[fd] is { } socket && socket.Registration == (uint)(data >> 32))
            {
                Enter(socket);
                try
                {
                    socket.Deliver(_records.Events(i));
                }
                catch (Exception e)
                {
                    Fault(e, socket);
                }

                Leave(socket);
            }
        }

        // 3. Whoever had enough before. What is deferred meanwhile waits for the next turn.
        if (_deferred.Count > 0)
        {
            (_deferred, _deferredNow) = (_deferredNow, _deferred);
            foreach (LoopSocket socket in _deferredNow)
            {
                socket.IsDeferred = false;
                if (!socket.IsClosed)
                {
                    Enter(socket);
                    try
                    {
                        socket.DeliverDeferred();
                    }
                    catch (Exception e)
                    {
                        Fault(e, socket);
                    }

                    Leave(socket);
                }
            }

            _deferredNow.Clear();
        }

        // 4. Work from outside. The flag goes down first: what comes after it raises it again.
        if (Volatile.Read(ref _signalled) != 0)
        {
            Interlocked.Exchange(ref _signalled, 0);
            for (int i = _posted.Count; i > 0 && _posted.TryDequeue(out LoopWork work); i--)
            {
                Enter(work.Run);
                try
                {
                    work.Run(work.State);
                }
                catch (Exception e)
                {
                    _logger.LogError(e, "event loop {Loop}: posted work failed", Index);
                }

                Leave(work.Run);
            }
        }

        // 5. Time.
        Enter(Timers);
        Timers.Advance(Now);
        Leave(Timers);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Tick()
    {
        long timestamp = _time.GetTimestamp();
        Timestamp = timestamp;
        Now = (long)((timestamp - _origin) * _msPerTick);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Enter(object with)
    {
        _busyWith = with;
        Volatile.Write(ref _busySince, Timestamp);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Leave(object with)
    {
        long began = Timestamp;
        Tick();
        Volatile.Write(ref _busySince, 0);
        if (Timestamp - began > _blockedTicks)
        {
            ReportBlocked(with, Timestamp - began);
        }
    }

    private void ReportBlocked(object with, long ticks)
    {
        // On a busy host a loop is also late because the scheduler took its core; one line per power of two is enough.
        long blocked = Interlocked.Increment(ref _blocked);
        if ((blocked & (blocked - 1)) == 0)
        {
            _logger.LogDebug(
                "event loop {Loop} was held for {Milliseconds:0.0} ms by {By}; {Count} times so far", Index, ticks * _msPerTick, NameOf(with), blocked);
        }
    }

    private void Fault(Exception e, LoopTimer timer)
    {
        if (timer is not LoopSocket socket)
        {
            _logger.LogError(e, "event loop {Loop}: timer {Timer} failed", Index, NameOf(timer));
            return;
        }

        // What it does about it is its own affair: most end, one that does not own its descriptor must not.
        _logger.LogError(e, "event loop {Loop}: {Socket} failed", Index, NameOf(socket));
        try
        {
            socket.OnFault();
        }
        catch (Exception second)
        {
            _logger.LogError(second, "event loop {Loop}: {Socket} failed once more and is closed", Index, NameOf(socket));
            socket.Close();
        }
    }

    private static string NameOf(object? with) => with switch
    {
        null => "nobody",

        // A lambda lives in a class that the compiler made inside of ours.
        Delegate { Method.DeclaringType: { } type } work => $"{(type.Name.StartsWith('<') ? type.DeclaringType ?? type : type).Name}.{work.Method.Name}",
        _ => with.GetType().Name,
    };

    private static int Must(int result, string call) =>
        result >= 0 ? result : throw new IOException($"{call}: {Errno.Text(-result)}");
}
