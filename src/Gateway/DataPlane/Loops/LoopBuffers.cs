namespace Gateway.DataPlane.Loops;

/// <summary>
/// Memory of one loop. Reads go into one scratch buffer that all sockets share; only what can't be passed on at once is kept, in a
/// rented buffer. So an idle connection holds none. One thread.
/// </summary>
internal sealed class LoopBuffers
{
    /// <summary>Bytes of a scratch buffer: as much as one read takes.</summary>
    public const int ScratchBytes = 64 * 1024;

    /// <summary>Bytes of a small rented buffer: a usual head.</summary>
    public const int SmallBytes = 4 * 1024;

    /// <summary>Bytes of a large rented buffer: a scratch buffer's content with a new head or chunk sizes around it.</summary>
    public const int LargeBytes = 80 * 1024;

    private const int SmallKept = 256;
    private const int LargeKept = 16;

    private readonly Stack<byte[]> _small = [];
    private readonly Stack<byte[]> _large = [];

    /// <summary>Where reads go. Its content means nothing once the event is over.</summary>
    public byte[] Input { get; } = GC.AllocateUninitializedArray<byte>(ScratchBytes, pinned: true);

    /// <summary>
    /// Where what is written is put together. Its content means nothing once the event is over. Takes the content of a full rented buffer
    /// with framing around it.
    /// </summary>
    public byte[] Output { get; } = GC.AllocateUninitializedArray<byte>(LargeBytes + SmallBytes, pinned: true);

    /// <summary>A buffer of at least so many bytes; give it back with <see cref="Return"/>.</summary>
    public byte[] Rent(int bytes) => bytes switch
    {
        <= SmallBytes => _small.TryPop(out byte[]? small) ? small : GC.AllocateUninitializedArray<byte>(SmallBytes),
        <= LargeBytes => _large.TryPop(out byte[]? large) ? large : GC.AllocateUninitializedArray<byte>(LargeBytes),
        _ => GC.AllocateUninitializedArray<byte>(bytes),
    };

    /// <summary>Takes a rented buffer back.</summary>
    public void Return(byte[] buffer)
    {
        if (buffer.Length == SmallBytes && _small.Count < SmallKept)
        {
            _small.Push(buffer);
        }
        else if (buffer.Length == LargeBytes && _large.Count < LargeKept)
        {
            _large.Push(buffer);
        }
    }
}
