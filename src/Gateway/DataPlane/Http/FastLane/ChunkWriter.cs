using System.Buffers.Text;

namespace Gateway.DataPlane.Http.FastLane;

/// <summary>Writes what stands around chunks (RFC 9112 §7.1). Each returns bytes written, or -1 where they do not fit.</summary>
internal static class ChunkWriter
{
    /// <summary>Room that a size line needs at most.</summary>
    public const int SizeLineBytesMax = 18;

    /// <summary>Behind each chunk's data.</summary>
    public static ReadOnlySpan<byte> DataEnd => "\r\n"u8;

    /// <summary>The end of a body without trailers.</summary>
    public static ReadOnlySpan<byte> End => "0\r\n\r\n"u8;

    /// <summary>The line before a chunk's data. A size of 0 would end the body.</summary>
    public static int WriteSize(long size, Span<byte> to)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size);
        if (!Utf8Formatter.TryFormat(size, to, out int written, 'x') || to.Length - written < 2)
        {
            return -1;
        }

        "\r\n"u8.CopyTo(to[written..]);
        return written + 2;
    }

    /// <summary>The last chunk, trailers as <see cref="BodyReader.Trailers"/> has them, and the empty line.</summary>
    public static int WriteEnd(ReadOnlySpan<byte> trailers, Span<byte> to)
    {
        SpanWriter writer = new(to);
        writer.Add("0\r\n"u8);
        writer.Add(trailers);
        writer.Add("\r\n"u8);
        return writer.Written;
    }
}
