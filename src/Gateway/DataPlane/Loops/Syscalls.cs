using System.Runtime.InteropServices;

namespace Gateway.DataPlane.Loops;

// The few system calls that the loops make, as they are: a file descriptor is an int, an error is a negative errno. Nothing here
// allocates, throws or blocks: every descriptor is non-blocking. LP64 Linux, x64 and arm64.

/// <summary>System calls of Linux. Results below zero are an error number, negated; an interrupted call is repeated.</summary>
internal static unsafe partial class Syscalls
{
    private const string C = "libc";

    /// <summary>Creates an epoll set.</summary>
    public static int EpollCreate() => Result(epoll_create1(EpollCloseOnExec));

    /// <summary>Adds, changes or removes a descriptor.</summary>
    public static int EpollControl(int epoll, int operation, int fd, void* record) => Result(epoll_ctl(epoll, operation, fd, record));

    /// <summary>Waits; an interrupted wait counts as one without events.</summary>
    /// <param name="epoll">The set.</param>
    /// <param name="records">Room for <paramref name="count"/> records.</param>
    /// <param name="count">Records at most, 1 or more.</param>
    /// <param name="milliseconds">-1: for ever; 0: not at all.</param>
    public static int EpollWait(int epoll, void* records, int count, int milliseconds)
    {
        int result = epoll_wait(epoll, records, count, milliseconds);
        return result >= 0 ? result : Marshal.GetLastPInvokeError() is var error && error == Errno.Interrupted ? 0 : -error;
    }

    /// <summary>A counter that wakes an epoll set.</summary>
    public static int EventFd() => Result(eventfd(0, EventFdNonBlocking | EventFdCloseOnExec));

    /// <summary>Adds one to the counter of an eventfd.</summary>
    public static int Signal(int fd)
    {
        ulong one = 1;
        return (int)Result(write(fd, (byte*)&one, sizeof(ulong)));
    }

    /// <summary>Takes the counter of an eventfd back to zero.</summary>
    public static int Unsignal(int fd)
    {
        ulong count;
        return (int)Result(read(fd, (byte*)&count, sizeof(ulong)));
    }

    /// <summary>Reads what is there; 0: the peer's FIN.</summary>
    public static int Receive(int fd, Span<byte> to)
    {
        fixed (byte* start = to)
        {
            nint result;
            do
            {
                result = recv(fd, start, (nuint)to.Length, 0);
            }
            while (result < 0 && Marshal.GetLastPInvokeError() == Errno.Interrupted);

            return (int)Result(result);
        }
    }

    /// <summary>Reads without taking it from the queue.</summary>
    public static int Peek(int fd, Span<byte> to)
    {
        fixed (byte* start = to)
        {
            return (int)Result(recv(fd, start, (nuint)to.Length, MessagePeek));
        }
    }

    /// <summary>Writes as much as the kernel takes. Never raises SIGPIPE.</summary>
    public static int Send(int fd, ReadOnlySpan<byte> from, bool more = false)
    {
        fixed (byte* start = from)
        {
            nint result;
            do
            {
                result = send(fd, start, (nuint)from.Length, more ? MessageNoSignal | MessageMore : MessageNoSignal);
            }
            while (result < 0 && Marshal.GetLastPInvokeError() == Errno.Interrupted);

            return (int)Result(result);
        }
    }

    /// <summary>Writes two pieces as one.</summary>
    public static int Send(int fd, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second)
    {
        fixed (byte* one = first)
        fixed (byte* two = second)
        {
            IoVector* vectors = stackalloc IoVector[2];
            vectors[0] = new IoVector { Base = one, Length = (nuint)first.Length };
            vectors[1] = new IoVector { Base = two, Length = (nuint)second.Length };
            MessageHeader message = new() { Vectors = vectors, VectorCount = 2 };
            nint result;
            do
            {
                result = sendmsg(fd, &message, MessageNoSignal);
            }
            while (result < 0 && Marshal.GetLastPInvokeError() == Errno.Interrupted);

            return (int)Result(result);
        }
    }

    /// <summary>Takes a connection from a listening socket: non-blocking, closed on exec.</summary>
    public static int Accept(int fd, Span<byte> address, out int length)
    {
        fixed (byte* start = address)
        {
            int size = address.Length;
            int result;
            do
            {
                result = accept4(fd, start, &size, SocketNonBlocking | SocketCloseOnExec);
            }
            while (result < 0 && Marshal.GetLastPInvokeError() == Errno.Interrupted);

            length = Math.Min(size, address.Length);
            return Result(result);
        }
    }

    /// <summary>Begins to listen, or goes on with another backlog.</summary>
    public static int Listen(int fd, int backlog) => Result(listen(fd, backlog));

    /// <summary>A TCP socket: non-blocking, closed on exec.</summary>
    /// <param name="family"><see cref="InterNetwork"/> or <see cref="InterNetworkV6"/>.</param>
    public static int StreamSocket(int family) => Result(socket(family, StreamType | SocketNonBlocking | SocketCloseOnExec, 0));

    /// <summary>Begins to connect; <see cref="Errno.InProgress"/> is the usual answer.</summary>
    public static int Connect(int fd, ReadOnlySpan<byte> address)
    {
        fixed (byte* start = address)
        {
            return Result(connect(fd, start, address.Length));
        }
    }

    /// <summary>Error of a socket, 0 where there is none; reading clears it.</summary>
    public static int ErrorOf(int fd)
    {
        int value = 0, size = sizeof(int);
        int result = Result(getsockopt(fd, SocketLevel, ErrorOption, (byte*)&value, &size));
        return result < 0 ? -result : value;
    }

    /// <summary>Sends small writes at once (TCP_NODELAY).</summary>
    public static void NoDelay(int fd) => SetOption(fd, TcpLevel, NoDelayOption, 1);

    /// <summary>Makes the next close a reset.</summary>
    public static void ResetOnClose(int fd)
    {
        Linger linger = new() { On = 1, Seconds = 0 };
        _ = setsockopt(fd, SocketLevel, LingerOption, (byte*)&linger, sizeof(Linger));
    }

    /// <summary>Sends FIN; the other direction goes on.</summary>
    public static int ShutdownWrite(int fd) => Result(shutdown(fd, 1));

    /// <summary>Reads end after what has arrived; nobody is told.</summary>
    public static int ShutdownRead(int fd) => Result(shutdown(fd, 0));

    /// <summary>Bytes that the peer of a TCP socket has acknowledged so far (<c>tcpi_bytes_acked</c>); -1 where the kernel does not tell.</summary>
    public static long Acknowledged(int fd)
    {
        const int Offset = 120;
        byte* info = stackalloc byte[Offset + sizeof(long)];
        int size = Offset + sizeof(long);
        return getsockopt(fd, TcpLevel, InfoOption, info, &size) < 0 || size < Offset + sizeof(long) ? -1 : *(long*)(info + Offset);
    }

    /// <summary>Our own address of a socket.</summary>
    public static int LocalAddress(int fd, Span<byte> address, out int length)
    {
        fixed (byte* start = address)
        {
            int size = address.Length;
            int result = Result(getsockname(fd, start, &size));
            length = Math.Min(size, address.Length);
            return result;
        }
    }

    /// <summary>The peer's address of a socket.</summary>
    public static int PeerAddress(int fd, Span<byte> address, out int length)
    {
        fixed (byte* start = address)
        {
            int size = address.Length;
            int result = Result(getpeername(fd, start, &size));
            length = Math.Min(size, address.Length);
            return result;
        }
    }

    /// <summary>Closes. The descriptor is gone whatever the answer.</summary>
    public static void Close(int fd) => _ = close(fd);

    /// <summary>A second descriptor of the same description, closed on exec.</summary>
    public static int Duplicate(int fd) => Result(fcntl(fd, DuplicateCloseOnExec, 0));

    /// <summary>A pipe to splice through: non-blocking, closed on exec.</summary>
    public static int Pipe(out int read, out int write)
    {
        int* ends = stackalloc int[2];
        int result = Result(pipe2(ends, OpenNonBlocking | OpenCloseOnExec));
        (read, write) = (ends[0], ends[1]);
        return result;
    }

    /// <summary>Sets the capacity of a pipe; the kernel may refuse, and then it stays.</summary>
    public static int ResizePipe(int fd, int bytes) => Result(fcntl(fd, SetPipeSize, bytes));

    /// <summary>
    /// Moves bytes between a socket and a pipe within the kernel. Never with SPLICE_F_MORE: a stream that pauses would be held
    /// back for 200 ms.
    /// </summary>
    public static int Splice(int from, int to, int bytes)
    {
        nint result;
        do
        {
            result = splice(from, null, to, null, (nuint)bytes, SpliceMove | SpliceNonBlocking);
        }
        while (result < 0 && Marshal.GetLastPInvokeError() == Errno.Interrupted);

        return (int)Result(result);
    }

    private static void SetOption(int fd, int level, int option, int value) =>
        _ = setsockopt(fd, level, option, (byte*)&value, sizeof(int));

    private static int Result(int result) => result >= 0 ? result : -Marshal.GetLastPInvokeError();

    private static nint Result(nint result) => result >= 0 ? result : -Marshal.GetLastPInvokeError();

    /// <summary>AF_INET.</summary>
    public const int InterNetwork = 2;

    /// <summary>AF_INET6.</summary>
    public const int InterNetworkV6 = 10;

    /// <summary>EPOLL_CTL_ADD.</summary>
    public const int EpollAdd = 1;

    /// <summary>EPOLL_CTL_DEL.</summary>
    public const int EpollDelete = 2;

    private const int EpollCloseOnExec = 0x80000;
    private const int EventFdNonBlocking = 0x800;
    private const int EventFdCloseOnExec = 0x80000;
    private const int SocketNonBlocking = 0x800;
    private const int SocketCloseOnExec = 0x80000;
    private const int OpenNonBlocking = 0x800;
    private const int OpenCloseOnExec = 0x80000;
    private const int StreamType = 1;
    private const int SocketLevel = 1;
    private const int ErrorOption = 4;
    private const int LingerOption = 13;
    private const int TcpLevel = 6;
    private const int NoDelayOption = 1;
    private const int InfoOption = 11;
    private const int MessagePeek = 2;
    private const int MessageMore = 0x8000;
    private const int MessageNoSignal = 0x4000;
    private const int DuplicateCloseOnExec = 1030;
    private const int SetPipeSize = 1031;
    private const uint SpliceMove = 1;
    private const uint SpliceNonBlocking = 2;

    /// <summary><c>struct iovec</c>.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct IoVector
    {
        public byte* Base;
        public nuint Length;
    }

    /// <summary><c>struct msghdr</c>, 56 bytes.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct MessageHeader
    {
        public byte* Name;
        public uint NameLength;
        public IoVector* Vectors;
        public nuint VectorCount;
        public byte* Control;
        public nuint ControlLength;
        public int Flags;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Linger
    {
        public int On;
        public int Seconds;
    }

    [LibraryImport(C, SetLastError = true)]
    private static partial int epoll_create1(int flags);

    [LibraryImport(C, SetLastError = true)]
    private static partial int epoll_ctl(int epoll, int operation, int fd, void* record);

    [LibraryImport(C, SetLastError = true)]
    private static partial int epoll_wait(int epoll, void* records, int count, int milliseconds);

    [LibraryImport(C, SetLastError = true)]
    private static partial int eventfd(uint initial, int flags);

    [LibraryImport(C, SetLastError = true)]
    private static partial nint read(int fd, byte* to, nuint length);

    [LibraryImport(C, SetLastError = true)]
    private static partial nint write(int fd, byte* from, nuint length);

    [LibraryImport(C, SetLastError = true)]
    private static partial nint recv(int fd, byte* to, nuint length, int flags);

    [LibraryImport(C, SetLastError = true)]
    private static partial nint send(int fd, byte* from, nuint length, int flags);

    [LibraryImport(C, SetLastError = true)]
    private static partial nint sendmsg(int fd, MessageHeader* message, int flags);

    [LibraryImport(C, SetLastError = true)]
    private static partial int accept4(int fd, byte* address, int* length, int flags);

    [LibraryImport(C, SetLastError = true)]
    private static partial int socket(int family, int type, int protocol);

    [LibraryImport(C, SetLastError = true)]
    private static partial int connect(int fd, byte* address, int length);

    [LibraryImport(C, SetLastError = true)]
    private static partial int listen(int fd, int backlog);

    [LibraryImport(C, SetLastError = true)]
    private static partial int shutdown(int fd, int how);

    [LibraryImport(C, SetLastError = true)]
    private static partial int getsockopt(int fd, int level, int option, byte* value, int* length);

    [LibraryImport(C, SetLastError = true)]
    private static partial int setsockopt(int fd, int level, int option, byte* value, int length);

    [LibraryImport(C, SetLastError = true)]
    private static partial int getsockname(int fd, byte* address, int* length);

    [LibraryImport(C, SetLastError = true)]
    private static partial int getpeername(int fd, byte* address, int* length);

    [LibraryImport(C, SetLastError = true)]
    private static partial int close(int fd);

    [LibraryImport(C, SetLastError = true)]
    private static partial int fcntl(int fd, int command, nint argument);

    [LibraryImport(C, SetLastError = true)]
    private static partial int pipe2(int* ends, int flags);

    [LibraryImport(C, SetLastError = true)]
    private static partial nint splice(int from, long* fromOffset, int to, long* toOffset, nuint length, uint flags);
}

/// <summary>Error numbers of Linux (x64 and arm64 agree on these).</summary>
internal static class Errno
{
    /// <summary>EINTR.</summary>
    public const int Interrupted = 4;

    /// <summary>EAGAIN: nothing there, or no room.</summary>
    public const int Again = 11;

    /// <summary>EINVAL; of accept: the socket does not listen.</summary>
    public const int Invalid = 22;

    /// <summary>ENOSYS: the kernel, or who stands before it, has no such call.</summary>
    public const int NotImplemented = 38;

    /// <summary>ENFILE: the host has no descriptors left.</summary>
    public const int HostDescriptors = 23;

    /// <summary>EMFILE: the process has no descriptors left.</summary>
    public const int Descriptors = 24;

    /// <summary>EPIPE: the connection cannot be written to any more.</summary>
    public const int Pipe = 32;

    /// <summary>EADDRINUSE.</summary>
    public const int AddressInUse = 98;

    /// <summary>EADDRNOTAVAIL: no ephemeral port is left.</summary>
    public const int AddressNotAvailable = 99;

    /// <summary>ECONNABORTED: the client left before it was accepted.</summary>
    public const int Aborted = 103;

    /// <summary>ECONNRESET.</summary>
    public const int Reset = 104;

    /// <summary>ENOBUFS.</summary>
    public const int NoBuffers = 105;

    /// <summary>ENOMEM.</summary>
    public const int NoMemory = 12;

    /// <summary>ETIMEDOUT.</summary>
    public const int TimedOut = 110;

    /// <summary>ECONNREFUSED.</summary>
    public const int Refused = 111;

    /// <summary>EINPROGRESS: connecting.</summary>
    public const int InProgress = 115;

    /// <summary>Whether it is a limit of this host and not the peer's doing.</summary>
    public static bool IsOurLimit(int error) =>
        error is HostDescriptors or Descriptors or AddressInUse or AddressNotAvailable or NoBuffers or NoMemory;

    /// <summary>In words, as the C library has them.</summary>
    public static string Text(int error) => System.Runtime.InteropServices.Marshal.GetPInvokeErrorMessage(error);
}
