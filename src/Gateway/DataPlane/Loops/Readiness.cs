using System.Runtime.InteropServices;

namespace Gateway.DataPlane.Loops;

/// <summary>Events of epoll.</summary>
[Flags]
internal enum Readiness : uint
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Bytes, a connection or the end are there to be read.</summary>
    Readable = 0x1,

    /// <summary>Urgent data: a read stops before it, however much is behind it.</summary>
    Urgent = 0x2,

    /// <summary>There is room to write.</summary>
    Writable = 0x4,

    /// <summary>The socket has an error.</summary>
    Error = 0x8,

    /// <summary>Both directions have ended.</summary>
    HungUp = 0x10,

    /// <summary>The peer sends no more (FIN).</summary>
    PeerEnded = 0x2000,

    /// <summary>Of several loops that watch a descriptor, not all are woken.</summary>
    Exclusive = 1u << 28,

    /// <summary>Told once per change instead of for as long as it lasts.</summary>
    EdgeTriggered = 1u << 31,
}

/// <summary>
/// Records for epoll_wait, in native memory. <c>struct epoll_event</c> is packed to 12 bytes on x86-64 and has 16 elsewhere, so it is
/// read by offset instead of as a struct.
/// </summary>
internal sealed unsafe class EpollRecords : IDisposable
{
    private static readonly bool Packed = RuntimeInformation.ProcessArchitecture == Architecture.X64;
    private byte* _memory;

    /// <summary>Room for <paramref name="count"/> records.</summary>
    public EpollRecords(int count)
    {
        Count = count;
        _memory = (byte*)NativeMemory.AllocZeroed((nuint)count, (nuint)Size);
    }

    /// <summary>Bytes of a record.</summary>
    public static int Size => Packed ? 12 : 16;

    /// <summary>Records.</summary>
    public int Count { get; }

    /// <summary>Waits for events; returns how many records are filled, or a negated error.</summary>
    public int Wait(int epoll, int milliseconds) => Syscalls.EpollWait(epoll, _memory, Count, milliseconds);

    private static int DataOffset => Packed ? 4 : 8;

    /// <summary>Events of a record.</summary>
    public Readiness Events(int index) => (Readiness)(*(uint*)(_memory + (index * Size)));

    /// <summary>What was given with the descriptor.</summary>
    public ulong Data(int index) => *(ulong*)(_memory + (index * Size) + DataOffset);

    /// <summary>Adds a descriptor to a set.</summary>
    public static int Add(int epoll, int fd, Readiness events, ulong data)
    {
        byte* record = stackalloc byte[16];
        *(uint*)record = (uint)events;
        *(ulong*)(record + DataOffset) = data;
        return Syscalls.EpollControl(epoll, Syscalls.EpollAdd, fd, record);
    }

    /// <summary>Removes a descriptor from a set.</summary>
    public static int Remove(int epoll, int fd)
    {
        byte* record = stackalloc byte[16];
        return Syscalls.EpollControl(epoll, Syscalls.EpollDelete, fd, record);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.Free(_memory);
        _memory = null;
    }
}
