using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Health;

namespace Gateway.DataPlane.Http.KestrelLane;

/// <summary>One try at one destination. May outlive its request: a connect goes on in the background for whoever needs it
/// next.</summary>
internal sealed class Attempt(DestinationState destination, TimeSpan connectTimeout, TimeProvider clock)
{
    /// <summary>Where an <see cref="HttpRequestMessage"/> carries its attempt.</summary>
    public static readonly HttpRequestOptionsKey<Attempt> Key = new("gateway.attempt");

    private long _connected;

    /// <summary>The destination.</summary>
    public DestinationState Destination => destination;

    /// <summary>How long connecting may take.</summary>
    public TimeSpan ConnectTimeout => connectTimeout;

    /// <summary>Timestamp of a connection made for it, 0 when it found one in the pool. Written by the connect, read at the
    /// end.</summary>
    public long Connected => Volatile.Read(ref _connected);

    /// <summary>A connection was made for it.</summary>
    public void ConnectionMade() => Volatile.Write(ref _connected, clock.GetTimestamp());
}

/// <summary>Connecting failed: no byte of the request has left. The one certain mark of an unsent request.</summary>
internal sealed class ConnectFailedException(Reason reason, string evidence, Exception? cause = null)
    : IOException(evidence, cause)
{
    /// <summary>Refused, timed out, or a limit of this host.</summary>
    public Reason Reason => reason;
}

/// <summary>
/// Connections to destinations, pooled by address and port for the whole lane: no plan ever touches the pool, so every
/// connection survives every update; those of a destination that is gone are idle from then on and time out.
/// </summary>
internal sealed class Upstream : IDisposable
{
    // Longer than most think times of clients, shorter than the keep-alive of most servers that close without asking.
    private static readonly TimeSpan IdleMax = TimeSpan.FromSeconds(60);

    // Bounds how long a name that resolves elsewhere by now is still in use.
    private static readonly TimeSpan LifetimeMax = TimeSpan.FromMinutes(15);

    private readonly TimeProvider _clock;
    private readonly HttpMessageInvoker _sockets;

    public Upstream(TimeProvider clock)
    {
        _clock = clock;
        _sockets = new HttpMessageInvoker(new SocketsHttpHandler
        {
            ConnectCallback = ConnectAsync,
            ConnectTimeout = Timeout.InfiniteTimeSpan, // each attempt has its own
            PooledConnectionIdleTimeout = IdleMax,
            PooledConnectionLifetime = LifetimeMax,
            EnableMultipleHttp2Connections = true,
            MaxResponseDrainSize = 64 * 1024,
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            AutomaticDecompression = DecompressionMethods.None,
            ActivityHeadersPropagator = null,

            // RFC 9110 §5.5: bytes over 0x7F are opaque. Latin-1 is the one encoding that keeps every byte.
            RequestHeaderEncodingSelector = static (_, _) => Encoding.Latin1,
            ResponseHeaderEncodingSelector = static (_, _) => Encoding.Latin1,
        });
        Invoker = new HttpMessageInvoker(new BodyHandler(_sockets));
    }

    /// <summary>Sends requests that carry an <see cref="Attempt"/>.</summary>
    public HttpMessageInvoker Invoker { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        Invoker.Dispose();
        _sockets.Dispose();
    }

    private async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancel)
    {
        Attempt attempt = context.InitialRequestMessage.Options.TryGetValue(Attempt.Key, out Attempt? found)
            ? found
            : throw new InvalidOperationException("a request without an attempt");
        DnsEndPoint target = context.DnsEndPoint;
        using CancellationTokenSource timeout = new(attempt.ConnectTimeout, _clock);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancel);
        Socket? socket = null;
        try
        {
            if (IPAddress.TryParse(target.Host, out IPAddress? address))
            {
                socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                await socket.ConnectAsync(new IPEndPoint(address, target.Port), either.Token);
            }
            else
            {
                socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                await socket.ConnectAsync(target.Host, target.Port, either.Token);
            }

            // Where a name was connected to, its address is asked for only if the ports are the same.
            bool suspicious = socket.LocalEndPoint is IPEndPoint local && local.Port == target.Port;
            if (suspicious && (address is not null ? new IPEndPoint(address, target.Port) : socket.RemoteEndPoint) is { } to && SelfConnection.Is(socket, to))
            {
                // Nobody listens there: the same as refused. Thrown to the handler below, which closes and counts.
                throw new SelfConnectedException();
            }

            attempt.ConnectionMade();
            attempt.Destination.Health.ConnectSucceeded();
            return new InstanceStream(socket, context.InitialRequestMessage.Version.Major < 2);
        }
        catch (OperationCanceledException) when (timeout.IsCancellationRequested && !cancel.IsCancellationRequested)
        {
            socket?.Dispose();
            string evidence = string.Create(
                CultureInfo.InvariantCulture, $"connect timed out after {attempt.ConnectTimeout.TotalSeconds:0.###} s");
            attempt.Destination.Health.ConnectFailed(evidence);
            throw new ConnectFailedException(Reason.TimeoutConnect, evidence);
        }
        catch (SocketException e)
        {
            socket?.Dispose();
            if (IsOurOwnLimit(e.SocketErrorCode))
            {
                throw new ConnectFailedException(Reason.Overloaded, $"connect: {e.SocketErrorCode}", e);
            }

            // Here rather than where the request learns of it: a request may have found another connection meanwhile, and the
            // evidence would be lost.
            string evidence = e is SelfConnectedException ? SelfConnection.Evidence : $"connect: {Describe(e.SocketErrorCode)}";
            attempt.Destination.Health.ConnectFailed(evidence);
            throw new ConnectFailedException(Reason.ConnectFailed, evidence, e);
        }
        catch
        {
            socket?.Dispose();
            throw;
        }
    }

    private static bool IsOurOwnLimit(SocketError error) => error is SocketError.TooManyOpenSockets
        or SocketError.NoBufferSpaceAvailable or SocketError.AddressNotAvailable or SocketError.AddressAlreadyInUse
        or SocketError.ProcessLimit;

    private static string Describe(SocketError error) => error switch
    {
        SocketError.ConnectionRefused => "refused",
        SocketError.HostUnreachable or SocketError.NetworkUnreachable => "unreachable",
        SocketError.HostNotFound or SocketError.NoData or SocketError.TryAgain => "name not found",
        SocketError.TimedOut => "timed out",
        SocketError.ConnectionReset => "reset",
        _ => error.ToString(),
    };

    private sealed class SelfConnectedException() : SocketException((int)SocketError.ConnectionRefused);
}
