using System.Runtime.InteropServices;

namespace Gateway.DataPlane.Http.FastLane;

// The small words of the message layer.

/// <summary>A stretch of a head's bytes. Heads keep no reference to a buffer: whoever has the bytes hands them in.</summary>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct Part(int Start, int Length)
{
    /// <summary>Behind its last byte.</summary>
    public int End => Start + Length;

    /// <summary>Its bytes in what was parsed.</summary>
    public ReadOnlySpan<byte> Of(ReadOnlySpan<byte> raw) => raw.Slice(Start, Length);
}

/// <summary>One header line.</summary>
/// <param name="Line">All of it, with CRLF.</param>
/// <param name="NameLength">Length of the name, which the line begins with.</param>
/// <param name="Value">Value without white space around it.</param>
/// <param name="Known">What the name means to us.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct HeaderLine(Part Line, int NameLength, Part Value, KnownHeader Known)
{
    /// <summary>Name.</summary>
    public Part Name => new(Line.Start, NameLength);
}

/// <summary>How far parsing came.</summary>
internal enum ParseStatus
{
    /// <summary>More bytes are needed.</summary>
    Incomplete,

    /// <summary>The head is whole and good.</summary>
    Complete,

    /// <summary>It breaks the rules; no further byte of the connection may be believed.</summary>
    Refused,
}

/// <summary>How a body is delimited (RFC 9112 §6.3).</summary>
internal enum BodyKind : byte
{
    /// <summary>There is none.</summary>
    None,

    /// <summary>By Content-Length.</summary>
    Length,

    /// <summary>By chunks.</summary>
    Chunked,

    /// <summary>By the end of the connection; responses only.</summary>
    UntilClose,
}

/// <summary>Methods that are treated differently somewhere.</summary>
internal enum MethodKind : byte
{
    /// <summary>Any other token.</summary>
    Other,
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Trace,
    Patch,
    Connect,
}

/// <summary>RFC 9112 §3.2. Authority form belongs to CONNECT, which is refused.</summary>
internal enum TargetForm : byte
{
    /// <summary><c>/path?query</c>.</summary>
    Origin,

    /// <summary><c>http://host/path?query</c>.</summary>
    Absolute,

    /// <summary><c>*</c>.</summary>
    Asterisk,

    /// <summary><c>host:port</c>.</summary>
    Authority,
}

/// <summary>Which rule a head breaks.</summary>
internal enum HeadFault : byte
{
    None,
    TooLarge,
    TooManyLines,
    ControlByte,
    StartLine,
    Method,
    Target,
    Version,
    Status,
    Line,
    ContentLength,
    TransferEncoding,
    BothFramings,
    LengthRequired,
    Host,
    Connect,
    ConnectionNames,
    Upgrade,
}
