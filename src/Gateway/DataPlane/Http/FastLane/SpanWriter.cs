using System.Buffers.Text;

namespace Gateway.DataPlane.Http.FastLane;

/// <summary>
/// Writes into a span. When it does not fit, everything that follows is left out and <see cref="Written"/> says -1: nobody has
/// to look at each step.
/// </summary>
internal ref struct SpanWriter(Span<byte> to)
{
    private readonly Span<byte> _to = to;
    private int _at;

    /// <summary>Bytes written, or -1 where they did not fit.</summary>
    public readonly int Written => _at;

    /// <summary>Writes bytes as they are.</summary>
    public void Add(ReadOnlySpan<byte> bytes)
    {
        if (_at >= 0 && bytes.Length <= _to.Length - _at)
        {
            bytes.CopyTo(_to[_at..]);
            _at += bytes.Length;
        }
        else
        {
            _at = -1;
        }
    }

    /// <summary>Writes one byte.</summary>
    public void Add(byte value)
    {
        if (_at >= 0 && _at < _to.Length)
        {
            _to[_at++] = value;
        }
        else
        {
            _at = -1;
        }
    }

    /// <summary>Writes a decimal number.</summary>
    public void AddNumber(long number)
    {
        if (_at >= 0 && Utf8Formatter.TryFormat(number, _to[_at..], out int written))
        {
            _at += written;
        }
        else
        {
            _at = -1;
        }
    }

    /// <summary>Writes text as Latin-1, as headers are read everywhere here.</summary>
    public void AddText(string text)
    {
        if (_at >= 0 && text.Length <= _to.Length - _at
            && System.Text.Encoding.Latin1.TryGetBytes(text, _to[_at..], out int written))
        {
            _at += written;
        }
        else
        {
            _at = -1;
        }
    }

    /// <summary>Writes a line.</summary>
    public void AddLine(ReadOnlySpan<byte> nameAndColon, ReadOnlySpan<byte> value)
    {
        Add(nameAndColon);
        Add(value);
        Add("\r\n"u8);
    }
}
