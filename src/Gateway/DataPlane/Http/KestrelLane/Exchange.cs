using System.Net;
using System.Security.Cryptography;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Http.Routing;
using Gateway.DataPlane.Http.Tls;
using Gateway.DataPlane.Listening;
using Gateway.Observability;
using Gateway.Planning;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Gateway.DataPlane.Http.KestrelLane;

/// <summary>One request and its answer: what was decided, tried, counted. Kestrel keeps it with the connection and uses it
/// again.</summary>
internal sealed class Exchange
{
    /// <summary>Where an <see cref="HttpRequestMessage"/> carries its exchange.</summary>
    public static readonly HttpRequestOptionsKey<Exchange> Key = new("gateway.exchange");

    private readonly TimeProvider _clock;
    private readonly GatewayApplication _application;
    private readonly DestinationState[] _tried = new DestinationState[RetryRule.AttemptsMax];
    private int _triedCount;
    private long _bytesIn;
    private long _bytesOut;

    public Exchange(TimeProvider clock, GatewayApplication application)
    {
        (_clock, _application) = (clock, application);
        Context = new DefaultHttpContext();
        Transformer = new ForwardTransformer(this);
    }

    /// <summary>Time.</summary>
    public TimeProvider Clock => _clock;

    /// <summary>Kestrel's side.</summary>
    public DefaultHttpContext Context { get; }

    /// <summary>Copies heads.</summary>
    public ForwardTransformer Transformer { get; }

    /// <summary>The connection it came on.</summary>
    public LaneConnection Connection { get; private set; } = null!;

    /// <summary>The port it came in on.</summary>
    public ListenerState Listener => Connection.Listener;

    /// <summary>What the edge does, as it was when the request began.</summary>
    public EdgePolicy Policy { get; private set; } = EdgePolicy.None;

    /// <summary>Target as received.</summary>
    public string RawTarget { get; private set; } = "";

    /// <summary>Path and query to send.</summary>
    public string PathAndQuery { get; set; } = "/";

    /// <summary>Where it goes, by the table it began with; null: nowhere.</summary>
    public RouteTarget? Target { get; set; }

    /// <summary>The cluster's plan it began with.</summary>
    public ClusterPlan? Cluster { get; set; }

    /// <summary>The attempt under way or the last one.</summary>
    public Attempt? Attempt { get; set; }

    /// <summary>Our own id as it goes into CDN-Loop.</summary>
    public string LoopId { get; set; } = "";

    /// <summary>Its body, once an attempt has begun to send it.</summary>
    public RequestBody? RequestBody { get; set; }

    /// <summary>Why it was not answered by an instance, or null.</summary>
    public Reason? Reason { get; set; }

    /// <summary>Id of a failure of ours, or empty.</summary>
    public string RequestId { get; private set; } = "";

    /// <summary>It holds a retry from its cluster's budget.</summary>
    public bool Charged;

    /// <summary>It became a tunnel.</summary>
    public bool IsTunnel { get; private set; }

    /// <summary>It asks to become one: a WebSocket over HTTP/1.1 or HTTP/2.</summary>
    public bool WantsTunnel { get; set; }

    /// <summary>Its framing is doubtful: the connection ends with its answer.</summary>
    public bool MustClose { get; set; }

    /// <summary>Ends the wait for the head of an answer to a request that wants a tunnel; null otherwise.</summary>
    public CancellationTokenSource? HeadTimer { get; set; }

    /// <summary>Timestamp of its begin.</summary>
    public long Began { get; private set; }

    /// <summary>Timestamp of the present attempt's begin, 0 before the first.</summary>
    public long AttemptBegan { get; set; }

    /// <summary>Timestamp of the response's head, 0 before.</summary>
    public long HeadAt { get; set; }

    /// <summary>The answer has been copied to its end. What becomes of the rest of the request's body changes it no
    /// more.</summary>
    public bool AnswerComplete { get; set; }

    /// <summary>
    /// Reading the answer failed while the client was still there. Asked at that moment, because YARP then breaks off the
    /// client's connection, and afterwards it looks as if the client had left.
    /// </summary>
    public bool InstanceBrokeOff { get; private set; }

    /// <summary>Attempts after the first.</summary>
    public int Retries { get; set; }

    /// <summary>Destinations tried.</summary>
    public ReadOnlySpan<DestinationState> Tried => _tried.AsSpan(0, _triedCount);

    /// <summary>Takes a new request.</summary>
    public void Begin(IFeatureCollection features)
    {
        Context.Initialize(features);
        Connection = features.Get<LaneConnection>() ?? throw new InvalidOperationException("a request without a connection");
        Policy = _application.Edge;
        RawTarget = features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        (PathAndQuery, RequestId) = ("/", "");
        (Target, Cluster, Attempt, RequestBody, Reason, HeadTimer) = (null, null, null, null, null, null);
        (Charged, IsTunnel, WantsTunnel, AnswerComplete, InstanceBrokeOff) = (false, false, false, false, false);
        MustClose = false;
        (AttemptBegan, HeadAt, Retries) = (0, 0, 0);
        (_bytesIn, _bytesOut) = (0, 0);
        ForgetTried();
        Began = _clock.GetTimestamp();
    }

    /// <summary>Notes a destination as tried.</summary>
    public void Try(DestinationState destination) => _tried[_triedCount++] = destination;

    /// <summary>Makes the id of a failure.</summary>
    public void NameFailure() => RequestId = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8));

    /// <summary>Body bytes client → destination. One writer.</summary>
    public void CountIn(long count) => _bytesIn += count;

    /// <summary>Body bytes destination → client. One writer.</summary>
    public void CountOut(long count) => _bytesOut += count;

    /// <summary>The head of an answer is there.</summary>
    public void HeadArrived(HttpResponseMessage response)
    {
        HeadAt = _clock.GetTimestamp();
        HeadTimer?.CancelAfter(Timeout.InfiniteTimeSpan);
        if (WantsTunnel && response.StatusCode is HttpStatusCode.SwitchingProtocols
            || (response.StatusCode is HttpStatusCode.OK && response.RequestMessage?.Headers.Protocol is not null))
        {
            IsTunnel = true;
            Connection.TunnelBegan();
        }
    }

    /// <summary>
    /// The wait for bytes of an answer begins or ends. YARP's own timeout of a request that wanted a tunnel is the tunnel's, so one
    /// that was declined with an ordinary answer needs ours.
    /// </summary>
    public void AwaitBytes(bool begins)
    {
        if (HeadTimer is { } timer && !IsTunnel)
        {
            timer.CancelAfter(begins ? Cluster!.Timeouts.Response : Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Reading the answer fails now; never true, so that it can stand in an exception filter.</summary>
    public bool ReadFailed()
    {
        InstanceBrokeOff = !Context.RequestAborted.IsCancellationRequested;
        return false;
    }

    /// <summary>Sends the response's head without its body. The client's leaving is noticed elsewhere.</summary>
    public async ValueTask FlushHeadAsync(CancellationToken cancel)
    {
        try
        {
            await Context.Response.Body.FlushAsync(cancel);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // The next write says so again, to whom it concerns.
        }
    }

    /// <summary>
    /// Makes the response close its connection where it must, and where the gateway drains or the port is closed or about to. Called
    /// when a head is written, so that requests in flight at that moment get it too. On HTTP/2 the header would do nothing; GOAWAY does.
    /// </summary>
    public void CloseIfDraining()
    {
        // A lingering port closes within seconds: clients that are told now leave without ever meeting a closed connection.
        if (!MustClose && !_application.Draining && !Listener.Closing && !Listener.Plan.Lingering)
        {
            return;
        }

        if (Connection.IsHttp2)
        {
            Connection.RequestClose();
        }
        else
        {
            Context.Response.Headers.Connection = "close";
        }
    }

    /// <summary>
    /// Whether the request belongs on another connection: HTTP/2 clients send hosts of one address on one connection, and this one
    /// was greeted with a certificate that is not the host's (RFC 9113 §9.1.2). Where no certificate covers the host there is no
    /// better connection.
    /// </summary>
    public bool IsMisdirected()
    {
        if (!Connection.IsHttp2 || Connection.Certificate is not { } greeted)
        {
            return false;
        }

        string authority = Context.Request.Headers.Host.ToString();
        int colon = authority.LastIndexOf(':');
        string host = CertificateTable.Normalize(colon > authority.LastIndexOf(']') ? authority[..colon] : authority);
        return !greeted.Covers(host) && _application.Certificates.Find(host) is { } other && other != greeted;
    }

    /// <summary>Sets the edge's headers on the response; the last word before its head is sent.</summary>
    public void SetEdgeHeaders() => FailureWriter.Edge(Context.Response.Headers, Connection, Policy);

    /// <summary>What is worth knowing of it.</summary>
    public AccessRecord Record(long ended)
    {
        HttpRequest request = Context.Request;
        DestinationLabels? destination = Attempt is { } attempt ? DestinationLabels.Of(attempt.Destination.Plan) : null;
        TimeSpan total = _clock.GetElapsedTime(Began, ended);
        long connected = Attempt is { Connected: > 0 } made ? made.Connected : AttemptBegan;
        return new AccessRecord
        {
            Started = _clock.GetUtcNow() - total,
            Client = Context.Connection.RemoteIpAddress is { } ip
                ? new IPEndPoint(ip, Context.Connection.RemotePort)
                : null,
            Listener = Listener.Name,
            Service = Cluster?.Service ?? "",
            Environment = Cluster?.Environment ?? "",
            Destination = destination?.Instance ?? "",
            DestinationAddress = destination?.EndPoint ?? "",
            Protocol = request.Protocol,
            Method = request.Method,
            Host = request.Headers.Host.ToString(),
            Target = RawTarget,
            Status = Reason == Reason.ClientClosed && !Context.Response.HasStarted ? 0 : Context.Response.StatusCode,
            Reason = Reason?.Code ?? "",
            RequestId = RequestId,
            BytesIn = _bytesIn,
            BytesOut = _bytesOut,
            Retries = Retries,
            ConnectMs = AttemptBegan == 0 || (HeadAt == 0 && Attempt?.Connected is 0) ? -1 : Milliseconds(connected),
            ResponseMs = HeadAt == 0 ? -1 : Milliseconds(HeadAt),
            TotalMs = total.TotalMilliseconds,
        };
    }

    /// <summary>Lets go of Kestrel's side.</summary>
    public void End()
    {
        HeadTimer?.Dispose();
        HeadTimer = null;
        ForgetTried();
        Attempt = null;
        RequestBody = null;
        Target = null;
        Cluster = null;
        Context.Uninitialize();
    }

    private double Milliseconds(long timestamp) => Math.Max(0, _clock.GetElapsedTime(Began, timestamp).TotalMilliseconds);

    private void ForgetTried()
    {
        _tried.AsSpan().Clear();
        _triedCount = 0;
    }
}
