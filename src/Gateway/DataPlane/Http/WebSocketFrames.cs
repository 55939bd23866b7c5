namespace Gateway.DataPlane.Http;

/// <summary>
/// Follows the frames of a WebSocket in one direction (RFC 6455 §5.2) without looking at their content, to know where one ends
/// and the next may begin. Plain values: any engine's tunnel can use it.
/// </summary>
internal sealed class WebSocketFrames
{
    private long _payloadLeft;
    private long _pendingLength;
    private int _headerRead;
    private int _headerLength;
    private int _lengthBytes;

    /// <summary>No frame is half sent, so another may be put here.</summary>
    public bool AtBoundary => _payloadLeft == 0 && _headerRead == 0;

    /// <summary>These bytes were passed on.</summary>
    public void Advance(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            if (_payloadLeft > 0)
            {
                int skip = (int)Math.Min(_payloadLeft, bytes.Length);
                _payloadLeft -= skip;
                bytes = bytes[skip..];
                continue;
            }

            Header(bytes[0]);
            bytes = bytes[1..];
        }
    }

    private void Header(byte value)
    {
        if (_headerRead == 1)
        {
            // The second byte holds the mask bit and the length, or how many bytes of length follow.
            int length = value & 0x7F;
            _lengthBytes = length switch { 126 => 2, 127 => 8, _ => 0 };
            _headerLength = 2 + _lengthBytes + ((value & 0x80) != 0 ? 4 : 0);
            _pendingLength = _lengthBytes == 0 ? length : 0;
        }
        else if (_headerRead >= 2 && _headerRead < 2 + _lengthBytes)
        {
            _pendingLength = (_pendingLength << 8) | value;
        }

        _headerRead++;
        if (_headerRead >= 2 && _headerRead == _headerLength)
        {
            // A length beyond 63 bits is forbidden; whoever sends one has no boundary any more.
            _payloadLeft = _pendingLength < 0 ? long.MaxValue : _pendingLength;
            _headerRead = 0;
        }
    }
}
