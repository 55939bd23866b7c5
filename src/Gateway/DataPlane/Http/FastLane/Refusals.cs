namespace Gateway.DataPlane.Http.FastLane;

/// <summary>What is said about a fault. Made once: hostile clients are not to make us allocate.</summary>
internal static class Refusals
{
    private static readonly Reason[] s_requests = [.. Enum.GetValues<HeadFault>().Select(Make)];

    /// <summary>Answer to a request with a fault.</summary>
    public static Reason Of(HeadFault fault) => s_requests[(int)fault];

    /// <summary>Answer to a request whose body breaks the rules.</summary>
    public static readonly Reason Body = Reason.BadRequest.Saying("The request's body is not framed as HTTP asks.");

    private static Reason Make(HeadFault fault) => fault switch
    {
        HeadFault.TooLarge or HeadFault.TooManyLines => Reason.Refused(431),
        HeadFault.ControlByte => Reason.BadRequest.Saying("The request's head holds a control byte or a bare line end."),
        HeadFault.StartLine => Reason.BadRequest.Saying("The request line is malformed."),
        HeadFault.Version => Reason.BadRequest.Saying("The version of HTTP is not spoken here."),
        HeadFault.Target => Reason.BadRequest.Saying("The request target names no path."),
        HeadFault.Line => Reason.BadRequest.Saying("A header line is malformed."),
        HeadFault.ContentLength => Reason.BadRequest.Saying("Content-Length must be one number."),
        HeadFault.TransferEncoding => Reason.BadRequest.Saying("The one transfer coding allowed is chunked."),
        HeadFault.BothFramings => Reason.BadRequest.Saying("Content-Length and Transfer-Encoding exclude each other."),
        HeadFault.LengthRequired => Reason.BadRequest.Saying("A request with a body needs a Content-Length in HTTP/1.0."),
        HeadFault.Host => Reason.BadRequest.Saying("Exactly one valid Host is needed."),
        HeadFault.Connect => Reason.BadRequest.Saying("CONNECT is for forward proxies; this is none."),
        HeadFault.ConnectionNames => Reason.BadRequest.Saying("Connection names too many headers."),
        _ => Reason.BadRequest,
    };
}
