namespace Gateway.DataPlane.Http;

// Why a request was not answered by an instance. What comes in: a kind of failure; what goes out: the code that operators search
// for, the status clients see and a sentence for people. Plain values: every HTTP engine of ours answers with the same ones.

/// <summary>A failure of ours, as it is reported.</summary>
internal sealed record Reason
{
    /// <summary>No route leads anywhere for this listener, host and path.</summary>
    public static readonly Reason NoRoute =
        new("no-route", 404, Grpc.Unimplemented, "No service is reached at this host and path.");

    /// <summary>The request breaks the rules of HTTP. Its status may also be 408, 413, 421 or 431.</summary>
    public static readonly Reason BadRequest = new("bad-request", 400, Grpc.Internal, "The request breaks the rules of HTTP.");

    /// <summary>No instance of the service may have work.</summary>
    public static readonly Reason NoInstance = new("no-instance", 503, Grpc.Unavailable, "No instance of the service is up.");

    /// <summary>Every instance that was tried refused the connection.</summary>
    public static readonly Reason ConnectFailed =
        new("connect-failed", 503, Grpc.Unavailable, "The instances of the service refuse connections.");

    /// <summary>A limit of this host is reached: descriptors, ports, memory.</summary>
    public static readonly Reason Overloaded = new("overloaded", 503, Grpc.Unavailable, "The gateway is at its limits.");

    /// <summary>Connecting took longer than <c>timeouts.connect</c>.</summary>
    public static readonly Reason TimeoutConnect =
        new("timeout-connect", 504, Grpc.Unavailable, "Connecting to an instance of the service took too long.");

    /// <summary>No byte came for <c>timeouts.response</c>. The instance may have acted, so gRPC clients are not told to
    /// retry.</summary>
    public static readonly Reason TimeoutResponse =
        new("timeout-response", 504, Grpc.DeadlineExceeded, "The instance took too long to answer.");

    /// <summary>The instance closed or reset the connection before its answer was complete.</summary>
    public static readonly Reason InstanceReset =
        new("instance-reset", 502, Grpc.Unavailable, "The instance closed the connection before it answered.");

    /// <summary>What the instance sent is not HTTP.</summary>
    public static readonly Reason BadResponse =
        new("bad-response", 502, Grpc.Internal, "What the instance answered is not valid HTTP.");

    /// <summary>The request has been here twice already (RFC 8586).</summary>
    public static readonly Reason Loop = new("loop", 508, Grpc.Internal, "The request has passed this gateway before: a loop.");

    /// <summary>The client left. Not a failure of ours: seen in records only.</summary>
    public static readonly Reason ClientClosed = new("client-closed", 499, Grpc.Cancelled, "The client closed the connection.");

    private Reason(string code, int status, int grpcStatus, string text)
    {
        (Code, Status, GrpcStatus, Text) = (code, status, grpcStatus, text);
    }

    /// <summary>Value of <c>X-Gateway-Reason</c>.</summary>
    public string Code { get; }

    /// <summary>Status of the answer.</summary>
    public int Status { get; private init; }

    /// <summary>Value of <c>grpc-status</c> where the client speaks gRPC.</summary>
    public int GrpcStatus { get; }

    /// <summary>One sentence for people. Says nothing about addresses or instances: clients are not to learn them.</summary>
    public string Text { get; private init; }

    /// <summary>The reason for a request that an HTTP parser of ours refused with <paramref name="status"/>.</summary>
    public static Reason Refused(int status) => status switch
    {
        408 => BadRequest with { Status = 408, Text = "The request took too long to arrive." },
        413 => BadRequest with { Status = 413, Text = "The request's body is too large." },
        421 => BadRequest with { Status = 421, Text = "The request belongs on another connection." },

        // A target that fills the whole head is a head too large: one status for one limit.
        414 or 431 => BadRequest with { Status = 431, Text = "The request's head is too large." },
        _ => BadRequest,
    };

    /// <summary>The same reason with another sentence.</summary>
    public Reason Saying(string text) => this with { Text = text };

    private static class Grpc
    {
        public const int Cancelled = 1;
        public const int DeadlineExceeded = 4;
        public const int Unimplemented = 12;
        public const int Internal = 13;
        public const int Unavailable = 14;
    }
}
