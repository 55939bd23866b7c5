using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Gateway.Cli;

/// <summary>Something to route to: two HTTP instances each in production and staging, and a TCP echo, on ports the kernel picks.</summary>
internal sealed class DemoServices : IAsyncDisposable
{
    private static readonly string[] s_names = ["production-1", "production-2", "staging-1", "staging-2"];

    private readonly WebApplication _web;
    private readonly TcpListener _echo;
    private readonly CancellationTokenSource _stop = new();
    private readonly Dictionary<int, string> _nameOf = [];
    private readonly Task _echoing;

    private DemoServices(WebApplication web, TcpListener echo)
    {
        (_web, _echo) = (web, echo);
        _echoing = EchoAsync();
    }

    /// <summary>Starts them all.</summary>
    public static async Task<DemoServices> StartAsync()
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            foreach (string _ in s_names)
            {
                kestrel.Listen(IPAddress.Loopback, 0);
            }
        });
        WebApplication web = builder.Build();
        TcpListener echo = new(IPAddress.Loopback, 0);
        echo.Start();
        DemoServices demo = new(web, echo);
        web.Run(demo.AnswerAsync);
        await web.StartAsync();
        int next = 0;
        foreach (string address in web.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses)
        {
            demo._nameOf[new Uri(address).Port] = s_names[next++];
        }

        return demo;
    }

    /// <summary>What a registrator would tell the catalog about them.</summary>
    public IEnumerable<string> Registrations(int webPort, int echoPort)
    {
        foreach ((int port, string name) in _nameOf)
        {
            yield return Of("demo-web", $"demo-web-{name}", port, name.Split('-')[0], $"internal-listen-http-{webPort}");
        }

        yield return Of("demo-echo", "demo-echo-1", ((IPEndPoint)_echo.LocalEndpoint).Port, "production", $"internal-listen-tcp-{echoPort}");
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _echo.Stop();
        await _echoing;
        using CancellationTokenSource deadline = new(TimeSpan.FromSeconds(0.2));
        await _web.StopAsync(deadline.Token);
        await _web.DisposeAsync();
        _stop.Dispose();
    }

    private static string Of(string service, string id, int port, string environment, string listen) =>
        $$"""{ "ID": "{{id}}", "Name": "{{service}}", "Address": "127.0.0.1", "Port": {{port}}, "Tags": ["{{environment}}", "{{listen}}"] }""";

    private Task AnswerAsync(HttpContext context)
    {
        string name = _nameOf.GetValueOrDefault(context.Connection.LocalPort, "?");
        return context.Response.WriteAsync(
            $"{context.Request.Method} {context.Request.Path}{context.Request.QueryString} answered by {name}, for {context.Request.Headers["X-Forwarded-For"]}\n");
    }

    private async Task EchoAsync()
    {
        try
        {
            while (true)
            {
                TcpClient client = await _echo.AcceptTcpClientAsync(_stop.Token);
                _ = EchoOneAsync(client);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Stopped.
        }
    }

    private async Task EchoOneAsync(TcpClient client)
    {
        try
        {
            using (client)
            {
                await using NetworkStream stream = client.GetStream();
                await stream.CopyToAsync(stream, _stop.Token);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or IOException)
        {
            // The client left, or we stop.
        }
    }
}
