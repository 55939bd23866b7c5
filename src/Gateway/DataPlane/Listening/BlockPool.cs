using System.Buffers;
using System.Collections.Concurrent;
using System.Runtime.CompilerServices;

namespace Gateway.DataPlane.Listening;

/// <summary>
/// A rented piece of memory, and one link of a chain of them: what was read and not consumed, or written and not sent. Filled from its
/// start; one owner at a time.
/// </summary>
internal sealed class Block : ReadOnlySequenceSegment<byte>, IMemoryOwner<byte>
{
    private readonly byte[] _array;
    private readonly BlockPool? _pool;
    private int _rented = 1;

    /// <summary>Memory of so many bytes.</summary>
    public Block(int bytes, BlockPool? pool)
    {
        _array = GC.AllocateUninitializedArray<byte>(bytes, pinned: true);
        _pool = pool;
    }

    /// <summary>Bytes filled.</summary>
    public int End { get; private set; }

    /// <summary>Bytes not filled.</summary>
    public int Room => _array.Length - End;

    /// <summary>What is not filled.</summary>
    public Memory<byte> Free => _array.AsMemory(End);

    /// <summary>The next of the chain.</summary>
    public Block? Following => Unsafe.As<Block?>(Next);

    Memory<byte> IMemoryOwner<byte>.Memory => _array;

    /// <summary>What is filled, from an offset.</summary>
    public ReadOnlySpan<byte> Filled(int from) => _array.AsSpan(from, End - from);

    /// <summary>So many bytes of what was free are filled now.</summary>
    public void Fill(int bytes)
    {
        End += bytes;
        Memory = _array.AsMemory(0, End);
    }

    /// <summary>Hangs a block behind this one.</summary>
    public void Append(Block next)
    {
        next.RunningIndex = RunningIndex + End;
        Next = next;
    }

    /// <summary>Gives it back. Nothing happens the second time.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _rented, 0) == 1)
        {
            (Next, RunningIndex, End) = (null, 0, 0);
            _pool?.Return(this);
        }
    }

    internal void RentAgain() => Volatile.Write(ref _rented, 1);
}

/// <summary>
/// Memory for connections in Kestrel's hands, theirs and Kestrel's own. All blocks are of one size: two full TLS records. With Kestrel's
/// usual 4 KiB every record would be cut into four, and each would cost what a whole one costs. A thread keeps a few blocks, warm in its
/// cache; the rest is shared. Connections hold blocks only while bytes are in them.
/// </summary>
internal sealed class BlockPool : MemoryPool<byte>
{
    /// <summary>Bytes of a block.</summary>
    public const int BlockBytes = 32 * 1024;

    private const int KeptPerThread = 8;
    private const int KeptShared = 256;

    [ThreadStatic]
    private static Stack<Block>? t_kept;

    private readonly ConcurrentQueue<Block> _shared = [];
    private int _sharedCount;

    private BlockPool()
    {
    }

    /// <summary>The process's.</summary>
    public static new BlockPool Shared { get; } = new();

    /// <inheritdoc/>
    public override int MaxBufferSize => BlockBytes;

    /// <summary>A block, empty.</summary>
    public Block Rent()
    {
        if (t_kept is { } kept && kept.TryPop(out Block? block))
        {
            block.RentAgain();
        }
        else if (_shared.TryDequeue(out block))
        {
            Interlocked.Decrement(ref _sharedCount);
            block.RentAgain();
        }
        else
        {
            block = new Block(BlockBytes, this);
        }

        return block;
    }

    /// <summary>A block of at least so many bytes; a larger one than usual is not kept.</summary>
    public Block RentAtLeast(int bytes) => bytes <= BlockBytes ? Rent() : new Block(bytes, null);

    /// <inheritdoc/>
    public override IMemoryOwner<byte> Rent(int minBufferSize = -1) => minBufferSize <= BlockBytes
        ? Rent()
        : throw new ArgumentOutOfRangeException(nameof(minBufferSize), minBufferSize, $"at most {BlockBytes}");

    internal void Return(Block block)
    {
        Stack<Block> kept = t_kept ??= new Stack<Block>(KeptPerThread);
        if (kept.Count < KeptPerThread)
        {
            kept.Push(block);
        }
        else if (Interlocked.Increment(ref _sharedCount) <= KeptShared)
        {
            _shared.Enqueue(block);
        }
        else
        {
            Interlocked.Decrement(ref _sharedCount);
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
    }
}
