using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Gateway.Catalog;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Gateway.Discovery.EmbeddedCatalog;

/// <summary>
/// The embedded catalog as a server: store, checks and API on a Kestrel of its own, without dependency injection or a host,
/// because it stands between the start of the process and its first answer. Its socket is the caller's: a connection listener
/// factory and an end point come in, so that the socket can be handed to the next process.
/// </summary>
internal sealed class EmbeddedCatalogServer : IAsyncDisposable
{
    private readonly EmbeddedCatalogStore _store;
    private readonly EmbeddedCatalogApi _api;
    private readonly CheckRunner _runner;
    private readonly ILoggerFactory _loggers;
    private readonly ILogger _log;
    private readonly CancellationTokenSource _stopping = new();
    private KestrelServer? _server;

    /// <summary>Reads the journal under <paramref name="stateDirectory"/>; nothing listens yet.</summary>
    /// <param name="stateDirectory">Gateway's state directory; the catalog uses <c>catalog/</c> in it.</param>
    /// <param name="clock">Deadlines, waits, ages.</param>
    /// <param name="loggers">For Kestrel and for us.</param>
    /// <param name="nodeName">Name of the node; null: the host's.</param>
    /// <param name="address">
    /// Address of the node, for services without their own and as <c>Config.AdvertiseAddr</c>; null: the host's first address.
    /// </param>
    /// <exception cref="IOException">The directory cannot be used, or another process holds the journal.</exception>
    /// <exception cref="UnauthorizedAccessException">The directory may not be used.</exception>
    public EmbeddedCatalogServer(
        string stateDirectory, TimeProvider clock, ILoggerFactory loggers, string? nodeName = null, string? address = null)
    {
        _loggers = loggers;
        _log = loggers.CreateLogger("Gateway.EmbeddedCatalog");
        _store = new EmbeddedCatalogStore(
            clock, Path.Combine(stateDirectory, "catalog"), nodeName ?? Environment.MachineName, address ?? HostAddress());
        _api = new EmbeddedCatalogApi(_store);
        _runner = new CheckRunner(
            _store, clock, id => _log.LogWarning("Service {Id} was critical for too long and is deregistered", id));
        _store.CheckChanged = _runner.Look;
        foreach (Problem problem in _store.Problems)
        {
            _log.LogError("{Problem}", problem);
        }
    }

    /// <summary>What is wrong at the moment: a torn or corrupt journal found at start, a disk that takes no writes.</summary>
    public EquatableArray<Problem> Problems => _store.Problems;

    /// <summary>The store, for tests.</summary>
    internal EmbeddedCatalogStore Store => _store;

    /// <summary>Starts the checks and serves what <paramref name="transport"/> accepts at <paramref name="at"/>.</summary>
    /// <exception cref="IOException">The address is in use.</exception>
    public async Task StartAsync(IConnectionListenerFactory transport, EndPoint at, CancellationToken stop)
    {
        KestrelServerOptions options = new() { AddServerHeader = false };
        options.Limits.MaxRequestBodySize = null;       // the API reads no more than it takes
        options.Limits.MinResponseDataRate = null;      // a blocked query sends nothing for minutes
        options.Limits.MaxConcurrentConnections = null;
        options.Limits.KeepAliveTimeout = TimeSpan.FromMinutes(11);
        options.Listen(at, listen => listen.Protocols = HttpProtocols.Http1);

        _server = new KestrelServer(Options.Create(options), transport, _loggers);
        await _server.StartAsync(new Application(this), stop);
        _runner.Start();
    }

    /// <summary>Registers a service of this process with the validation of the API. Null: done; else why not.</summary>
    /// <param name="json">A registration as Consul's <c>/v1/agent/service/register</c> takes it.</param>
    /// <exception cref="IOException">The journal cannot be written.</exception>
    public async Task<string?> RegisterAsync(ReadOnlyMemory<byte> json)
    {
        (ServiceRegistration? registration, Refusal? refusal) = RegistrationDecoder.Service(json);
        if (refusal is not null)
        {
            return refusal.Text;
        }

        _store.Register(registration!, replaceChecks: true);
        await _store.CommitAsync();
        return null;
    }

    /// <summary>Deregisters a service of this process; false when there was none.</summary>
    /// <exception cref="IOException">The journal cannot be written.</exception>
    public async Task<bool> DeregisterAsync(string serviceId)
    {
        bool known = _store.Deregister(serviceId) == WriteResult.Done;
        await _store.CommitAsync();
        return known;
    }

    /// <summary>
    /// Stops: blocked queries answer with what there is (as a Consul agent does on SIGTERM), then connections close.
    /// </summary>
    /// <param name="stop">Cuts what is left.</param>
    public async Task StopAsync(CancellationToken stop)
    {
        await _stopping.CancelAsync();
        if (_server is not null)
        {
            await _server.StopAsync(stop);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopAsync(new CancellationToken(canceled: true));
        _server?.Dispose();
        _runner.Dispose();
        _store.Dispose();
        _stopping.Dispose();
    }

    /// <summary>The first address that other hosts can reach, the private IPv4 ones first; else loopback.</summary>
    private static string HostAddress()
    {
        try
        {
            IPAddress? best = NetworkInterface.GetAllNetworkInterfaces()
                .Where(i => i.OperationalStatus == OperationalStatus.Up
                    && i.NetworkInterfaceType != NetworkInterfaceType.Loopback)
                .SelectMany(i => i.GetIPProperties().UnicastAddresses)
                .Select(a => a.Address)
                .Where(a => a.AddressFamily == AddressFamily.InterNetwork)
                .OrderBy(a => IsPrivate(a) ? 0 : 1)
                .FirstOrDefault();
            return (best ?? IPAddress.Loopback).ToString();
        }
        catch (NetworkInformationException)
        {
            return IPAddress.Loopback.ToString();
        }
    }

    private static bool IsPrivate(IPAddress address)
    {
        // RFC 1918.
        byte[] b = address.GetAddressBytes();
        return b[0] == 10 || (b[0] == 172 && b[1] is >= 16 and <= 31) || (b[0] == 192 && b[1] == 168);
    }

    private sealed class Application(EmbeddedCatalogServer server) : IHttpApplication<HttpContext>
    {
        public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

        public async Task ProcessRequestAsync(HttpContext context)
        {
            try
            {
                await server._api.Handle(new CatalogRequest(context, server._stopping.Token));
            }
            catch (Exception failure) when (context.RequestAborted.IsCancellationRequested
                && failure is OperationCanceledException or IOException or ConnectionAbortedException)
            {
                // The client went away while it waited: nobody is left to answer.
            }
        }

        public void DisposeContext(HttpContext context, Exception? exception)
        {
        }
    }
}
