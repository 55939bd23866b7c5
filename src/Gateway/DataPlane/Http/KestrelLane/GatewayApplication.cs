using Gateway.DataPlane.Http.Routing;
using Gateway.DataPlane.Http.Tls;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Abstractions;
using Microsoft.AspNetCore.Http.Features;

namespace Gateway.DataPlane.Http.KestrelLane;

/// <summary>
/// All that Kestrel calls: one catch-all without routing, pipeline or host around it. ASP.NET's host matching is linear per
/// request and took 22 s to change one of 10,000 routes.
/// </summary>
internal sealed class GatewayApplication(
    RequestForwarder forwarder, RequestRecords records, CertificateStore certificates, TimeProvider clock,
    Func<string, RouteTarget?> fallback)
    : IHttpApplication<Exchange>
{
    private volatile RouteTable _routes = RouteTable.Empty;
    private volatile EdgePolicy _edge = EdgePolicy.None;
    private volatile bool _draining;

    /// <summary>The table for requests that begin from now on.</summary>
    public RouteTable Routes
    {
        get => _routes;
        set => _routes = value;
    }

    /// <summary>What the edge does to requests that begin from now on.</summary>
    public EdgePolicy Edge
    {
        get => _edge;
        set => _edge = value;
    }

    /// <summary>What handshakes use now.</summary>
    public CertificateTable Certificates => certificates.Table;

    /// <summary>Every response from now on closes its connection politely.</summary>
    public bool Draining
    {
        get => _draining;
        set => _draining = value;
    }

    /// <inheritdoc/>
    public Exchange CreateContext(IFeatureCollection contextFeatures)
    {
        // Kestrel keeps one for us with each connection (HTTP/1.1) or stream (HTTP/2).
        Exchange exchange = contextFeatures is IHostContextContainer<Exchange> container
            ? container.HostContext ??= new Exchange(clock, this)
            : new Exchange(clock, this);
        exchange.Begin(contextFeatures);
        exchange.Connection.RequestBegan();
        return exchange;
    }

    /// <inheritdoc/>
    public Task ProcessRequestAsync(Exchange context) => forwarder.RunAsync(context, _routes, fallback);

    /// <inheritdoc/>
    public void DisposeContext(Exchange context, Exception? exception)
    {
        long now = clock.GetTimestamp();
        if (context.Reason is null && !context.Context.Response.HasStarted
            && context.Context.RequestAborted.IsCancellationRequested)
        {
            context.Reason = Reason.ClientClosed;
        }

        records.Write(context.Record(now));
        context.Connection.RequestEnded(now, context.IsTunnel);
        context.End();
    }
}
