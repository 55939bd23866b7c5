using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Gateway.IntegrationTests.DataPlane.Http;

/// <summary>An instance that is an ASP.NET Core application.</summary>
internal sealed class KestrelInstance : IAsyncDisposable
{
    private readonly WebApplication _app;

    private KestrelInstance(WebApplication app, IPEndPoint endPoint) => (_app, EndPoint) = (app, endPoint);

    public IPEndPoint EndPoint { get; }

    public static async Task<KestrelInstance> StartAsync(HttpProtocols protocols, RequestDelegate answer, bool webSockets = false)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(options =>
        {
            options.Limits.MaxRequestBodySize = null;
            options.Listen(IPAddress.Loopback, 0, endpoint => endpoint.Protocols = protocols);
        });
        WebApplication app = builder.Build();
        if (webSockets)
        {
            app.UseWebSockets();
        }

        app.Run(answer);
        await app.StartAsync();
        Uri address = new(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
        return new KestrelInstance(app, new IPEndPoint(IPAddress.Loopback, address.Port));
    }

    public ValueTask DisposeAsync() => _app.DisposeAsync();
}
