using System.Diagnostics;

namespace Gateway.DataPlane.Http.FastLane;

/// <summary>What reading a body came to.</summary>
internal enum BodyStep
{
    /// <summary>Here are bytes of it; call again with what is behind them.</summary>
    Data,

    /// <summary>All of the input is consumed and the body has not ended.</summary>
    NeedMore,

    /// <summary>The body has ended; bytes behind what was consumed belong to what follows.</summary>
    Done,

    /// <summary>It breaks the rules; no further byte of the connection may be believed.</summary>
    Broken,
}

/// <summary>
/// Finds a body's bytes in a stream, in place. In: what arrives, in any portions; out: stretches of data, then trailers, then the
/// end. Invariant: never a byte more than was announced, and the same stretches of data in sum however the bytes arrive.
/// Allocates only for trailers, which are bounded.
/// </summary>
internal struct BodyReader
{
    /// <summary>Bytes of a chunk's size line at most, extensions included.</summary>
    public const int SizeLineMax = 4 * 1024;

    private const int DigitsMax = 16;

    private State _state;
    private bool _ofResponse;
    private int _line; // bytes of the size line so far
    private int _digits;
    private long _left;
    private TrailerSection? _trailers;

    private enum State : byte
    {
        Done,
        Length,
        UntilClose,
        Size,
        Padding,
        Extension,
        SizeLf,
        ChunkData,
        DataCr,
        DataLf,
        End,
        EndLf,
        Trailers,
        Broken,
    }

    /// <summary>Begins a body.</summary>
    /// <param name="kind">How it is delimited.</param>
    /// <param name="length">How long it is, for <see cref="BodyKind.Length"/>.</param>
    /// <param name="ofResponse">It belongs to a response: some servers pad chunk sizes with spaces.</param>
    public BodyReader(BodyKind kind, long length = 0, bool ofResponse = false)
    {
        _ofResponse = ofResponse;
        _left = kind == BodyKind.Length ? length : 0;
        _state = kind switch
        {
            BodyKind.Length => length > 0 ? State.Length : State.Done,
            BodyKind.Chunked => State.Size,
            BodyKind.UntilClose => State.UntilClose,
            _ => State.Done,
        };
    }

    /// <summary>The body has ended.</summary>
    public readonly bool IsDone => _state == State.Done;

    /// <summary>The end of the connection is the end of the body.</summary>
    public readonly bool EndsWithConnection => _state is State.UntilClose or State.Done;

    /// <summary>Bytes still to come of a body of known length or of the chunk under way.</summary>
    public readonly long Left => _left;

    /// <summary>Trailer lines to send on, each with CRLF, without the empty line; those that may not stand there are gone.
    /// Complete when done.</summary>
    public readonly ReadOnlySpan<byte> Trailers => _trailers is { } trailers ? trailers.Kept : default;

    /// <summary>Takes the next bytes.</summary>
    /// <param name="input">What has arrived behind what was consumed.</param>
    /// <param name="consumed">How much of it is dealt with, the data included.</param>
    /// <param name="dataStart">Where data begins in the input; 0 without.</param>
    /// <param name="dataLength">How much; more than 0 exactly with <see cref="BodyStep.Data"/>.</param>
    public BodyStep Next(ReadOnlySpan<byte> input, out int consumed, out int dataStart, out int dataLength)
    {
        (dataStart, dataLength) = (0, 0);
        int at = 0;
        while (true)
        {
            if (_state is State.Done or State.Broken || at >= input.Length)
            {
                consumed = at;
                return _state == State.Done ? BodyStep.Done : _state == State.Broken ? BodyStep.Broken : BodyStep.NeedMore;
            }

            switch (_state)
            {
                case State.Length:
                case State.ChunkData:
                    (dataStart, dataLength) = (at, (int)Math.Min(_left, input.Length - at));
                    _left -= dataLength;
                    if (_left == 0)
                    {
                        _state = _state == State.Length ? State.Done : State.DataCr;
                    }

                    consumed = at + dataLength;
                    return BodyStep.Data;
                case State.UntilClose:
                    (dataStart, dataLength) = (at, input.Length - at);
                    consumed = input.Length;
                    return BodyStep.Data;
                case State.Size:
                    at = ReadSize(input, at);
                    break;
                case State.Padding:
                    at = ReadPadding(input, at);
                    break;
                case State.Extension:
                    at = ReadExtension(input, at);
                    break;
                case State.SizeLf:
                    _state = input[at++] != '\n' ? State.Broken : _left > 0 ? State.ChunkData : State.End;
                    break;
                case State.DataCr:
                    _state = input[at++] == '\r' ? State.DataLf : State.Broken;
                    break;
                case State.DataLf:
                    // A chunk is followed by CRLF and nothing else; bytes skipped here have hidden requests.
                    _state = input[at++] == '\n' ? State.Size : State.Broken;
                    (_line, _digits) = (0, 0);
                    break;
                case State.End when input[at] == '\r':
                    // No trailers, as nearly always: nothing is allocated.
                    _state = State.EndLf;
                    at++;
                    break;
                case State.EndLf:
                    _state = input[at++] == '\n' ? State.Done : State.Broken;
                    break;
                case State.End:
                case State.Trailers:
                    at += ReadTrailers(input[at..]);
                    break;
                default:
                    throw new UnreachableException();
            }
        }
    }

    // chunk-size = 1*HEXDIG: no sign, no prefix, no underscore, at most 16 digits and 63 bits.
    private int ReadSize(ReadOnlySpan<byte> input, int at)
    {
        for (; at < input.Length; at++)
        {
            byte b = input[at];
            int digit = HexOf(b);
            if (digit < 0)
            {
                _line = _digits;
                _state = _digits == 0 ? State.Broken
                    : b == '\r' ? State.SizeLf
                    : b == ';' ? State.Extension
                    : b is (byte)' ' or (byte)'\t' && _ofResponse ? State.Padding
                    : State.Broken;
                return at + 1;
            }

            if (++_digits > DigitsMax || _left > long.MaxValue >> 4)
            {
                _state = State.Broken;
                return at;
            }

            _left = (_left << 4) | (uint)digit;
        }

        return at;
    }

    // Some servers pad sizes to a width; before an extension it is RFC 9112's BWS.
    private int ReadPadding(ReadOnlySpan<byte> input, int at)
    {
        byte b = input[at];
        _state = b is (byte)' ' or (byte)'\t' ? State.Padding
            : b == ';' ? State.Extension
            : b == '\r' ? State.SizeLf
            : State.Broken;
        if (++_line > SizeLineMax)
        {
            _state = State.Broken;
        }

        return at + 1;
    }

    // RFC 9112 §7.1.1: what we do not know is ignored, to the CRLF. CVE-2025-55315: a bare LF or CR in there ends the line for
    // some and not for others.
    private int ReadExtension(ReadOnlySpan<byte> input, int at)
    {
        int end = input[at..].IndexOfAny(Grammar.Controls);
        int length = end < 0 ? input.Length - at : end;
        _line += length;
        if (_line > SizeLineMax)
        {
            _state = State.Broken;
            return at;
        }

        at += length;
        if (end >= 0)
        {
            _state = input[at++] == '\r' ? State.SizeLf : State.Broken;
        }

        return at;
    }

    private int ReadTrailers(ReadOnlySpan<byte> input)
    {
        _trailers ??= new TrailerSection();
        _state = _trailers.Take(input, out int consumed) switch
        {
            TrailerStatus.Done => State.Done,
            TrailerStatus.Broken => State.Broken,
            _ => State.Trailers,
        };
        return consumed;
    }

    private static int HexOf(byte b) => b switch
    {
        >= (byte)'0' and <= (byte)'9' => b - '0',
        >= (byte)'a' and <= (byte)'f' => b - 'a' + 10,
        >= (byte)'A' and <= (byte)'F' => b - 'A' + 10,
        _ => -1,
    };
}
