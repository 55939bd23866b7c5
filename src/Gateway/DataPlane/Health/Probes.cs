using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Gateway.Planning;

namespace Gateway.DataPlane.Health;

/// <summary>
/// The probes themselves: a TCP connect, and a GET over it. Each has a connection of its own, because a kept one would prove that
/// an old process lives and not that the port takes new work. Only the head of an answer is read.
/// </summary>
internal static class Probes
{
    // The path of check: auto. HAProxy's "option httpchk GET /healthcheck" that it replaces.
    private const string AutoPath = "/healthcheck";

    private static readonly HttpRequestOptionsKey<OneConnection> Connection = new("gateway.probe.connection");
    private static readonly UriCreationOptions Verbatim = new() { DangerousDisablePathAndQueryCanonicalization = true };

    private static readonly string UserAgent =
        $"gateway-check/{typeof(Probes).Assembly.GetName().Version?.ToString(3) ?? "0"}";

    // A lifetime of zero: nothing is pooled, and the handler keeps no memory of destinations that are long gone.
    private static readonly HttpMessageInvoker Http = new(new SocketsHttpHandler
    {
        ActivityHeadersPropagator = null,
        AllowAutoRedirect = false,
        ConnectCallback = static (context, _) =>
            context.InitialRequestMessage.Options.TryGetValue(Connection, out OneConnection? one)
            ? one.Take()
            : throw new InvalidOperationException("A probe brings its connection."),
        MaxResponseDrainSize = 0,
        MaxResponseHeadersLength = 16, // KiB
        PooledConnectionLifetime = TimeSpan.Zero,
        UseCookies = false,
        UseProxy = false,
    });

    /// <summary>A <see cref="Probe"/>.</summary>
    public static async Task<ProbeResult> Send(ProbeTarget target, bool answered, CancellationToken cancel)
    {
        long began = Stopwatch.GetTimestamp();
        EndPoint endPoint = target.EndPoint;

        // 1. Connect.
        using Socket? socket = NewSocket(endPoint, out SocketError lacking);
        if (socket is null)
        {
            return NotConnected(lacking);
        }

        try
        {
            socket.NoDelay = true;
            await socket.ConnectAsync(endPoint, cancel);
            if (SelfConnection.Is(socket, endPoint))
            {
                return Failure(SelfConnection.Evidence);
            }
        }
        catch (SocketException e)
        {
            return NotConnected(e.SocketErrorCode);
        }
        catch (OperationCanceledException)
        {
            return Failure($"connect timed out after {Units.Duration(target.Check.Timeout)}");
        }

        if (target.Check.Kind is CheckKind.Tcp or CheckKind.None)
        {
            return new ProbeResult(true, $"connected in {Elapsed(began)}");
        }

        // 2. Ask, and judge by the head of the answer.
        //    The stream owns the socket: on cancellation HttpClient disposes the stream, and only a closed socket ends its read.
        await using NetworkStream stream = new(socket, ownsSocket: true);
        using HttpRequestMessage request = Request(target, stream);
        try
        {
            using HttpResponseMessage response = await Http.SendAsync(request, cancel);
            return Judge(target.Check.Kind, (int)response.StatusCode, answered, Elapsed(began));
        }
        catch (OperationCanceledException)
        {
            return Failure($"connected, no answer in {Units.Duration(target.Check.Timeout)}");
        }
        catch (HttpRequestException e)
        {
            return Failure(AnswerEvidence(e, target.Upstream));
        }
        catch (SocketException e)
        {
            // Reset between our connect and HttpClient's first look at the socket, which asks for the peer's address.
            return Failure($"connected, then {Words(e.SocketErrorCode)}");
        }
    }

    /// <summary>What a connect that failed means.</summary>
    /// <remarks>
    /// What this process or host lacks says nothing about the instance, and lacking it must not take every instance out at once:
    /// HAProxy's SOCKERR is no result either. "No local address or port" also means that this host cannot reach the address at
    /// all, so that is a failure.
    /// </remarks>
    internal static ProbeResult NotConnected(SocketError error) =>
        error is SocketError.TooManyOpenSockets or SocketError.NoBufferSpaceAvailable or SocketError.ProcessLimit
        ? ProbeResult.Unsent($"not probed, Gateway itself lacks something: {error}")
        : Failure(ConnectEvidence(error));

    /// <summary>What a status means: SPEC §5, check: auto and check: http.</summary>
    /// <param name="kind">Auto or Http.</param>
    /// <param name="status">Status of the answer.</param>
    /// <param name="answered">Whether the instance has ever answered 2xx or 3xx to this check.</param>
    /// <param name="elapsed">For the evidence.</param>
    internal static ProbeResult Judge(CheckKind kind, int status, bool answered, string elapsed)
    {
        string evidence = string.Create(CultureInfo.InvariantCulture, $"HTTP {status} in {elapsed}");
        return status switch
        {
            >= 200 and < 400 => new ProbeResult(true, evidence, Answered: true),
            _ when kind == CheckKind.Http => Failure(evidence),

            // No such path: a service that never heard of our check is judged by the connect alone, which has just succeeded. One
            // that used to answer it and no longer does has lost something.
            404 or 405 or 501 when answered => Failure($"{evidence}, where it used to answer 2xx or 3xx"),
            404 or 405 or 501 => new ProbeResult(true, $"{evidence}, so the connect counts"),
            >= 400 and < 500 => new ProbeResult(true, evidence),
            _ => Failure(evidence),
        };
    }

    private static HttpRequestMessage Request(ProbeTarget target, Stream stream)
    {
        string path = target.Check.Kind == CheckKind.Auto ? AutoPath : target.Check.Path;
        bool isVerbatim = path.StartsWith('/') && path.All(c => c is > ' ' and < '\x7f');

        // The host of the URI is never resolved or sent: the connection is there, and Host is set below.
        bool h2c = target.Upstream == UpstreamProtocol.H2c;
        Uri uri = isVerbatim
            ? new Uri($"http://probe.invalid{path}", Verbatim)
            : new Uri($"http://probe.invalid/{path.TrimStart('/')}");
        HttpRequestMessage request = new(HttpMethod.Get, uri)
        {
            Version = h2c ? HttpVersion.Version20 : HttpVersion.Version11,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        request.Headers.Host = target.Authority;
        request.Headers.TryAddWithoutValidation("User-Agent", UserAgent);
        if (!h2c)
        {
            request.Headers.ConnectionClose = true;
        }

        request.Options.Set(Connection, new OneConnection(stream));
        return request;
    }

    private static ProbeResult Failure(string evidence) => new(false, evidence);

    private static Socket? NewSocket(EndPoint endPoint, out SocketError error)
    {
        error = SocketError.Success;
        try
        {
            return endPoint is IPEndPoint
                ? new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp)
                : new Socket(SocketType.Stream, ProtocolType.Tcp);
        }
        catch (SocketException e)
        {
            error = e.SocketErrorCode;
            return null;
        }
    }

    private static string ConnectEvidence(SocketError error) => error switch
    {
        SocketError.ConnectionRefused => "connect refused",
        SocketError.ConnectionReset => "connect reset",
        SocketError.TimedOut => "connect timed out",
        SocketError.HostUnreachable => "host unreachable",
        SocketError.NetworkUnreachable => "network unreachable",
        SocketError.HostNotFound or SocketError.NoData => "name does not resolve",
        SocketError.TryAgain => "name does not resolve for now",
        _ => $"connect failed: {error}",
    };

    private static string AnswerEvidence(HttpRequestException e, UpstreamProtocol upstream) => e.HttpRequestError switch
    {
        _ when e.InnerException is HttpIOException { HttpRequestError: HttpRequestError.ResponseEnded } =>
            "connected, closed without an answer",
        HttpRequestError.InvalidResponse => "connected, the answer is not HTTP",
        HttpRequestError.ConfigurationLimitExceeded => "connected, the head of the answer is over 16 KiB",
        HttpRequestError.HttpProtocolError when upstream == UpstreamProtocol.H2c => "connected, the answer is not HTTP/2",
        _ when e.InnerException is IOException { InnerException: SocketException reset } =>
            $"connected, then {Words(reset.SocketErrorCode)}",
        _ => $"connected, no answer: {e.HttpRequestError}",
    };

    private static string Words(SocketError error) => error switch
    {
        SocketError.ConnectionReset or SocketError.NotConnected or SocketError.Shutdown => "reset before an answer",
        _ => error.ToString(),
    };

    private static string Elapsed(long began)
    {
        double milliseconds = Stopwatch.GetElapsedTime(began).TotalMilliseconds;
        return milliseconds < 10
            ? string.Create(CultureInfo.InvariantCulture, $"{milliseconds:0.#} ms")
            : string.Create(CultureInfo.InvariantCulture, $"{milliseconds:0} ms");
    }

    // HttpClient tries a GET again on a new connection when the first one ends without an answer. For a probe that is the answer.
    private sealed class OneConnection(Stream stream)
    {
        private Stream? _stream = stream;

        public ValueTask<Stream> Take() => Interlocked.Exchange(ref _stream, null) is Stream unused
            ? ValueTask.FromResult(unused)
            : throw new HttpIOException(HttpRequestError.ResponseEnded, "The only connection of this probe has ended.");
    }
}
