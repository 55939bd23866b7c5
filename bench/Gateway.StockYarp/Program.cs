// YARP as its documentation sets it up, with the features that the other targets of bench/run.sh have: two servers in turn,
// active checks every 10 s, X-Forwarded-For appended, Host kept, timeouts. What does not come from Gateway is what it is compared with.
//
//   stock-yarp --http PORT --h2c PORT --https PORT --certificate FILE --key FILE --backends PORT,PORT --ws PORT,PORT [--access-log DIR]

using System.Globalization;
using System.Net;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.HttpLogging;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Yarp.ReverseProxy.Configuration;
using Yarp.ReverseProxy.Forwarder;
using Yarp.ReverseProxy.Transforms;

WebApplicationBuilder builder = WebApplication.CreateBuilder(args);
string Setting(string name) => builder.Configuration[name] ?? throw new InvalidOperationException($"--{name} is missing");
int Port(string name) => int.Parse(Setting(name), CultureInfo.InvariantCulture);
string? accessLog = builder.Configuration["access-log"];

builder.Logging.ClearProviders();
builder.Services.AddReverseProxy().LoadFromMemory(
    [Route("web", "/{**rest}"), Route("ws", "/ws")],
    [Cluster("web", Setting("backends")), Cluster("ws", Setting("ws"))]);
if (accessLog is not null)
{
    builder.Services.AddW3CLogging(options =>
    {
        options.LogDirectory = accessLog;
        options.LoggingFields = W3CLoggingFields.All;
    });
}

using X509Certificate2 pem = X509Certificate2.CreateFromPemFile(Setting("certificate"), Setting("key"));
builder.WebHost.ConfigureKestrel(kestrel =>
{
    kestrel.AddServerHeader = false;
    kestrel.Listen(IPAddress.Loopback, Port("http"), static listen => listen.Protocols = HttpProtocols.Http1);
    kestrel.Listen(IPAddress.Loopback, Port("h2c"), static listen => listen.Protocols = HttpProtocols.Http2);
    kestrel.Listen(IPAddress.Loopback, Port("https"), listen => listen.UseHttps(https =>
    {
        https.ServerCertificate = pem;
        https.SslProtocols = SslProtocols.Tls13;
    }));
});

WebApplication app = builder.Build();
if (accessLog is not null)
{
    app.UseW3CLogging();
}

app.MapReverseProxy();
app.Run();

static RouteConfig Route(string name, string path) =>
    new RouteConfig { RouteId = name, ClusterId = name, Match = new RouteMatch { Path = path } }
        .WithTransformXForwarded(xDefault: ForwardedTransformActions.Append)
        .WithTransformUseOriginalHostHeader();

static ClusterConfig Cluster(string name, string ports) => new()
{
    ClusterId = name,
    LoadBalancingPolicy = "RoundRobin",
    HttpRequest = new ForwarderRequestConfig { ActivityTimeout = TimeSpan.FromSeconds(60) },
    HealthCheck = new HealthCheckConfig
    {
        Active = new ActiveHealthCheckConfig
        {
            Enabled = true,
            Interval = TimeSpan.FromSeconds(10),
            Timeout = TimeSpan.FromSeconds(2),
            Policy = "ConsecutiveFailures",
            Path = "/healthcheck",
        },
    },
    Destinations = ports.Split(',').ToDictionary(
        static port => port, static port => new DestinationConfig { Address = $"http://127.0.0.1:{port}" }),
};
