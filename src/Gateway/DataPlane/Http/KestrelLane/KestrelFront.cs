using System.Diagnostics;
using System.Text;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Loops;
using Gateway.Observability;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Gateway.DataPlane.Http.KestrelLane;

/// <summary>
/// A Kestrel server of our own, without a host: three endpoints that are names instead of addresses, one per pipeline kind. Plain
/// connections come in on the first, which hands HTTP/2 to the second, TLS on the third; ports come and go without a word to Kestrel.
/// </summary>
internal sealed class KestrelFront : IAsyncDisposable
{
    /// <summary>Largest head of a request; beyond it the answer is 431.</summary>
    public const int HeadBytesMax = 64 * 1024;

    /// <summary>Time for the head of a request: <c>request</c>.</summary>
    public static readonly TimeSpan HeadTimeout = TimeSpan.FromSeconds(10);

    /// <summary>Time between requests: <c>keepAlive</c>.</summary>
    public static readonly TimeSpan KeepAlive = TimeSpan.FromSeconds(60);

    private readonly ServiceProvider _services;
    private readonly DiagnosticListener _diagnostics = new("Gateway.Kestrel");
    private readonly ConnectionFeed _plain;
    private readonly ConnectionFeed _http2;
    private readonly ConnectionFeed _https;
    private readonly IServer _server;
    private readonly IDisposable _refusals;

    public KestrelFront(PrefacePeek peek, TlsEndpoint tls, RefusalWatch refusals, ILoggerFactory loggers, GatewayMetrics metrics)
    {
        ILogger logger = loggers.CreateLogger("Gateway.Http");
        _plain = new ConnectionFeed("http", logger, metrics);
        _http2 = new ConnectionFeed("http2", logger);
        _https = new ConnectionFeed("https", logger, metrics);

        // Kestrel's own registrations, on a collection that belongs to nobody else.
        ServiceCollection services = new();
        services.AddSingleton(loggers);
        services.AddSingleton(typeof(ILogger<>), typeof(Logger<>));
        services.AddMetrics();
        services.AddOptions();
        services.AddSingleton<DiagnosticSource>(_diagnostics);
        services.AddSingleton<IConnectionListenerFactory>(_plain);
        services.AddSingleton<IConnectionListenerFactory>(_http2);
        services.AddSingleton<IConnectionListenerFactory>(_https);
        new Registrations(services).UseKestrelCore();
        services.Configure<KestrelServerOptions>(options => Configure(options, peek, tls));
        _services = services.BuildServiceProvider();
        _server = _services.GetRequiredService<IServer>();
        _refusals = _diagnostics.Subscribe(refusals, RefusalWatch.IsEvent);
    }

    /// <summary>Starts serving.</summary>
    public Task StartAsync(GatewayApplication application, CancellationToken cancel) => _server.StartAsync(application, cancel);

    /// <summary>Takes an accepted socket.</summary>
    public void Accept(ListenerState listener, System.Net.Sockets.Socket socket) =>
        (listener.Plan.Tls ? _https : _plain).Accept(listener, socket);

    /// <summary>Takes a descriptor that was accepted on a loop, there. A handshake keeps off the loop; what comes after it does not.</summary>
    public void Accept(ListenerState listener, EventLoop loop, int fd) =>
        (listener.Plan.Tls ? _https : _plain).Accept(listener, loop, fd, inline: !listener.Plan.Tls);

    /// <summary>Takes a plain connection that the fast lane has begun to serve, on its loop; <paramref name="read"/> was read of it.</summary>
    public void TakeOver(ListenerState listener, EventLoop loop, int fd, ReadOnlySpan<byte> read) =>
        _plain.TakeOver(listener, loop, fd, read);

    /// <summary>
    /// Stops. Not a drain: Kestrel closes what has not sent its first request yet and waits for half-sent ones for ever, so
    /// whoever calls this has drained and aborted before.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        using CancellationTokenSource deadline = new(TimeSpan.FromSeconds(2));
        try
        {
            await _server.StopAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            // Whoever is left was aborted by Kestrel.
        }

        _refusals.Dispose();
        await _services.DisposeAsync();
        _diagnostics.Dispose();
    }

    private void Configure(KestrelServerOptions options, PrefacePeek peek, TlsEndpoint tls)
    {
        options.AddServerHeader = false;
        options.AllowSynchronousIO = false;

        // RFC 9110 §5.5: bytes over 0x7F are opaque. Latin-1 is the one encoding that keeps every byte.
        options.RequestHeaderEncodingSelector = static name =>
            name.Equals("Connection", StringComparison.OrdinalIgnoreCase) ? ConnectionHeader.Instance : Encoding.Latin1;
        options.ResponseHeaderEncodingSelector = static _ => Encoding.Latin1;

        KestrelServerLimits limits = options.Limits;
        limits.MaxRequestLineSize = HeadBytesMax;
        limits.MaxRequestHeadersTotalSize = HeadBytesMax;
        limits.MaxRequestHeaderCount = 1000;
        limits.RequestHeadersTimeout = HeadTimeout;
        limits.KeepAliveTimeout = KeepAlive;

        // A balancer is as patient and as generous as the services behind it.
        limits.MaxRequestBodySize = null;
        limits.MinRequestBodyDataRate = null;
        limits.MinResponseDataRate = null;
        limits.MaxConcurrentConnections = null;
        limits.MaxConcurrentUpgradedConnections = null;
        limits.Http2.MaxRequestHeaderFieldSize = HeadBytesMax;
        limits.Http2.MaxStreamsPerConnection = 256;
        limits.Http2.InitialConnectionWindowSize = 1024 * 1024;
        limits.Http2.InitialStreamWindowSize = 768 * 1024;

        options.Listen(_plain.EndPoint, endpoint =>
        {
            endpoint.Protocols = HttpProtocols.Http1;
            endpoint.Use(next => connection => peek.RunAsync(connection, next));
        });
        options.Listen(_http2.EndPoint, endpoint =>
        {
            endpoint.Protocols = HttpProtocols.Http2;
            endpoint.Use(next => peek.Http2 = next);
        });
        options.Listen(_https.EndPoint, endpoint =>
        {
            endpoint.Protocols = HttpProtocols.Http1AndHttp2;
            endpoint.Use(next => connection => tls.RunAsync(connection, next));
            endpoint.UseHttps(new TlsHandshakeCallbackOptions { OnConnection = tls.ChooseAsync, HandshakeTimeout = HeadTimeout });
            endpoint.Use(next => connection => TlsEndpoint.ServeAsync(connection, next));
        });
    }

    /// <summary>As much of a web host as Kestrel needs to register itself.</summary>
    private sealed class Registrations(IServiceCollection services) : IWebHostBuilder
    {
#pragma warning disable ASPDEPR008 // The interface names the old host; nobody builds one here.
        public IWebHost Build() => throw new NotSupportedException();
#pragma warning restore ASPDEPR008

        public IWebHostBuilder ConfigureAppConfiguration(
            Action<WebHostBuilderContext, IConfigurationBuilder> configureDelegate) =>
            throw new NotSupportedException();

        public IWebHostBuilder ConfigureServices(Action<IServiceCollection> configureServices)
        {
            configureServices(services);
            return this;
        }

        public IWebHostBuilder ConfigureServices(Action<WebHostBuilderContext, IServiceCollection> configureServices)
        {
            configureServices(new WebHostBuilderContext(), services);
            return this;
        }

        public string? GetSetting(string key) => null;

        public IWebHostBuilder UseSetting(string key, string? value) => this;
    }
}
