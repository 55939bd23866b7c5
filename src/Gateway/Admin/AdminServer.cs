using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Gateway.DataPlane.Listening;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Gateway.Admin;

/// <summary>
/// The admin address and the unix socket: one small HTTP API on a Kestrel of its own, fed with sockets by the root, so that it
/// answers whatever traffic does. Reads are open to whoever reaches it; writes go over the unix socket only, whose file
/// permission is the authorization.
/// </summary>
internal sealed class AdminServer : IHttpApplication<HttpContext>, IAsyncDisposable
{
    private static readonly HashSet<string> s_anyHost = new(StringComparer.Ordinal) { "/livez", "/readyz", "/metrics" };

    private readonly KestrelServer _kestrel;
    private readonly AdminApi _api;
    private readonly ILogger _log;
    private volatile HashSet<string> _names;

    /// <summary>Composes the server over <paramref name="feed"/>.</summary>
    public AdminServer(AdminApi api, AdminOptions options, ConnectionFeed feed, ILoggerFactory logs)
    {
        _api = api;
        _log = logs.CreateLogger("Gateway.Admin");
        _names = NamesOf(options);
        KestrelServerOptions kestrel = new() { AddServerHeader = false };
        kestrel.Limits.MaxRequestBodySize = 1024 * 1024;
        kestrel.Listen(feed.EndPoint);
        _kestrel = new KestrelServer(Options.Create(kestrel), feed, logs);
    }

    /// <summary>Starts answering.</summary>
    public Task StartAsync(CancellationToken cancel) => _kestrel.StartAsync(this, cancel);

    /// <summary>Names it may be called by from now on.</summary>
    public void Reconfigure(AdminOptions options) => _names = NamesOf(options);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        using CancellationTokenSource deadline = new(TimeSpan.FromSeconds(1));
        await _kestrel.StopAsync(deadline.Token);
        _kestrel.Dispose();
    }

    HttpContext IHttpApplication<HttpContext>.CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

    void IHttpApplication<HttpContext>.DisposeContext(HttpContext context, Exception? exception)
    {
    }

    async Task IHttpApplication<HttpContext>.ProcessRequestAsync(HttpContext context)
    {
        try
        {
            AdminAnswer answer = await AnswerAsync(context);
            context.Response.StatusCode = answer.Status;
            context.Response.ContentType = answer.ContentType;
            context.Response.Headers.CacheControl = "no-store";
            context.Response.Headers.XContentTypeOptions = "nosniff";
            if (answer.Status == StatusCodes.Status405MethodNotAllowed)
            {
                // RFC 9110 §15.5.6: a 405 names what is allowed.
                context.Response.Headers.Allow = "GET, HEAD, POST";
            }

            byte[] body = Encoding.UTF8.GetBytes(answer.Body);
            context.Response.ContentLength = body.Length;
            if (!HttpMethods.IsHead(context.Request.Method))
            {
                await context.Response.Body.WriteAsync(body, context.RequestAborted);
            }
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            _log.LogError(e, "admin request {Method} {Path} failed", context.Request.Method, context.Request.Path);
            if (!context.Response.HasStarted)
            {
                context.Response.StatusCode = StatusCodes.Status500InternalServerError;
            }
        }
    }

    private async Task<AdminAnswer> AnswerAsync(HttpContext context)
    {
        HttpRequest request = context.Request;
        string path = request.Path.Value ?? "/";

        // By the socket itself: a missing remote address would also be that of a TCP client which left early.
        bool local = context.Features.Get<IConnectionSocketFeature>()?.Socket.AddressFamily == AddressFamily.Unix;
        if (!local && !s_anyHost.Contains(path) && !MayBeCalled(request.Host.Host))
        {
            // A page of another site that resolves its own name to this address (DNS rebinding) must not read or steer us.
            return AdminAnswer.Error(421, $"host '{request.Host.Host}' is not a name of this admin address; allowed are IP literals, localhost and admin.names");
        }

        if (HttpMethods.IsPost(request.Method))
        {
            return local
                ? await _api.CommandAsync(path, request.Query["target"], context.RequestAborted)
                : AdminAnswer.Error(403, "the admin address is read-only; commands go over the unix socket run/gateway.sock of the state directory");
        }

        return HttpMethods.IsGet(request.Method) || HttpMethods.IsHead(request.Method)
            ? await _api.ReadAsync(path, request.Headers.Accept.ToString(), context.RequestAborted)
            : AdminAnswer.Error(405, $"method {request.Method} is not allowed; allowed are GET, HEAD and POST");
    }

    private bool MayBeCalled(string host) =>
        IPAddress.TryParse(host.Trim('[', ']'), out _) || _names.Contains(host);

    private static HashSet<string> NamesOf(AdminOptions options) => new(options.Names, StringComparer.OrdinalIgnoreCase) { "localhost" };
}

/// <summary>One answer of the admin API.</summary>
internal readonly record struct AdminAnswer(int Status, string ContentType, string Body)
{
    /// <summary>Plain text.</summary>
    public static AdminAnswer Text(int status, string text) => new(status, "text/plain; charset=utf-8", text + "\n");

    /// <summary>JSON by a generated serializer.</summary>
    public static AdminAnswer Json<T>(T value, JsonTypeInfo<T> type, int status = 200) =>
        new(status, "application/json; charset=utf-8", JsonSerializer.Serialize(value, type) + "\n");

    /// <summary>A refusal in words.</summary>
    public static AdminAnswer Error(int status, string message) => Json(new CommandResult(false, message), AdminJson.Default.CommandResult, status);
}
