namespace Gateway.DataPlane.Http.FastLane;

/// <summary>How far trailers came.</summary>
internal enum TrailerStatus
{
    NeedMore,
    Done,
    Broken,
}

/// <summary>
/// Trailers of one body (RFC 9112 §7.1.2), as strict as a head. In: bytes as they arrive; out: the lines that may go on.
/// Bounded as a head is; there is one only where a body has trailers.
/// </summary>
internal sealed class TrailerSection
{
    private byte[] _bytes = new byte[256];
    private int _kept;
    private int _end;
    private int _seen;
    private int _lines;

    /// <summary>Whole lines with CRLF.</summary>
    public ReadOnlySpan<byte> Kept => _bytes.AsSpan(0, _kept);

    /// <summary>Takes bytes up to the empty line.</summary>
    public TrailerStatus Take(ReadOnlySpan<byte> input, out int consumed)
    {
        consumed = 0;
        while (consumed < input.Length)
        {
            // 1. The rest of the line, up to the LF; controls are judged when it is whole, so that portions do not matter.
            int lf = input[consumed..].IndexOf((byte)'\n');
            int length = lf < 0 ? input.Length - consumed : lf + 1;
            if ((_seen += length) > MessageHead.BytesMax)
            {
                return TrailerStatus.Broken;
            }

            Append(input.Slice(consumed, length));
            consumed += length;
            if (lf < 0)
            {
                break;
            }

            // 2. The line.
            ReadOnlySpan<byte> line = _bytes.AsSpan(_kept, _end - _kept);
            if (!line.EndsWith("\r\n"u8) || line[..^2].ContainsAny(Grammar.Controls))
            {
                return TrailerStatus.Broken;
            }

            if (line.Length == 2)
            {
                _end = _kept;
                return TrailerStatus.Done;
            }

            int colon = line.IndexOfAnyExcept(Grammar.Token);
            if (colon <= 0 || line[colon] != ':' || ++_lines > MessageHead.LinesMax)
            {
                return TrailerStatus.Broken;
            }

            // 3. RFC 9110 §6.5.1: whoever merges it into the head must not be told anything new about the message.
            if (HeaderRules.MayTrail(KnownHeaders.Of(line[..colon])))
            {
                _kept = _end;
            }

            _end = _kept;
        }

        return TrailerStatus.NeedMore;
    }

    private void Append(ReadOnlySpan<byte> bytes)
    {
        if (_end + bytes.Length > _bytes.Length)
        {
            Array.Resize(ref _bytes, Math.Max(_bytes.Length * 2, _end + bytes.Length));
        }

        bytes.CopyTo(_bytes.AsSpan(_end));
        _end += bytes.Length;
    }
}
