using System.Net;
using System.Net.Sockets;
using Gateway.DataPlane.Listening;
using Gateway.Observability;
using Gateway.Planning;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.IntegrationTests.DataPlane.Listening;

public sealed class ConnectionFeedTests
{
    [Fact]
    public async Task Kestrel_serves_ports_that_come_and_go_and_knows_each_connections_listener()
    {
        ConnectionFeed feed = new("http", NullLogger.Instance, SocketKit.Metrics());
        await using WebApplication app = Serve(feed);
        await app.StartAsync().InTime();
        await using ListenerSet set = SocketKit.Set(SocketKit.Greet("tcp"), feed.Accept);
        int first = SocketKit.FreePort(), second = SocketKit.FreePort();
        await set.OpenAsync([SocketKit.Plan(first, ListenProtocol.Http)], []);
        using HttpClient http = new() { Timeout = SocketKit.Deadline };
        Assert.Equal($":{first} {first}", await http.GetStringAsync(new Uri($"http://127.0.0.1:{first}/")));

        await set.OpenAsync([SocketKit.Plan(second, ListenProtocol.Http, "billing")], []);
        Assert.Equal($":{second} {second}", await http.GetStringAsync(new Uri($"http://127.0.0.1:{second}/")));

        // The keep-alive connection outlives its port.
        ListenerState listener = set.Listeners.Single(l => l.Key.Port == first);
        await set.CloseAsync([SocketKit.Plan(first, ListenProtocol.Http)]);
        Assert.Equal($":{first} {first}", await http.GetStringAsync(new Uri($"http://127.0.0.1:{first}/")));
        Assert.Equal((1, 1L), (listener.Connections, listener.Accepted));

        await app.StopAsync().InTime();
        await SocketKit.Until(() => set.Gate.Open == 0, "every connection is counted out");
    }

    [Fact]
    public async Task What_was_accepted_before_the_server_started_is_served()
    {
        ConnectionFeed feed = new("admin", NullLogger.Instance);
        await using ListenerSet set = SocketKit.Set(SocketKit.Greet("tcp"));
        OwnSocket own = await set.OpenOwnAsync("admin", new IPEndPoint(IPAddress.Loopback, 0), feed.Accept);
        using Socket early = await SocketKit.Connect(own.EndPoint!.Port);
        await early.SendText("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        await using WebApplication app = Serve(feed);
        await app.StartAsync().InTime();
        Assert.StartsWith("HTTP/1.1 200 OK", await early.ReceiveToEnd(), StringComparison.Ordinal);
        await app.StopAsync().InTime();
    }

    [Fact]
    public async Task Stopping_ends_the_accept_closes_what_waits_and_what_comes_later()
    {
        ConnectionFeed feed = new("http", NullLogger.Instance);
        Assert.False(feed.CanBind(new FeedEndPoint("http")));
        IConnectionListener transport = await feed.BindAsync(feed.EndPoint);
        await Assert.ThrowsAsync<AddressInUseException>(async () => await feed.BindAsync(feed.EndPoint));
        ListenerState listener = new(SocketKit.Plan(3000, ListenProtocol.Http));
        (Socket clientA, Socket acceptedA) = await Pair();
        feed.Accept(listener, acceptedA);
        ConnectionContext taken = (await transport.AcceptAsync())!;
        Assert.Same(listener, taken.Features.Get<IListenerFeature>()!.Listener);
        Assert.NotNull(taken.Features.Get<Microsoft.AspNetCore.Connections.Features.IConnectionSocketFeature>());

        (Socket clientB, Socket acceptedB) = await Pair();
        feed.Accept(listener, acceptedB);
        Assert.Equal(2, listener.Connections);
        await transport.UnbindAsync();
        Assert.Equal("", await clientB.ReceiveToEnd());
        Assert.Null(await transport.AcceptAsync());
        (Socket clientC, Socket acceptedC) = await Pair();
        feed.Accept(listener, acceptedC);
        Assert.Equal("", await clientC.ReceiveToEnd());
        Assert.Equal(1, listener.Connections);

        await taken.DisposeAsync();
        await taken.DisposeAsync();
        Assert.Equal(0, listener.Connections);
        await transport.DisposeAsync();
        foreach (Socket client in new[] { clientA, clientB, clientC })
        {
            client.Dispose();
        }
    }

    private static WebApplication Serve(ConnectionFeed feed)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.Services.AddSingleton<IConnectionListenerFactory>(feed);
        builder.WebHost.ConfigureKestrel(k => k.Listen(feed.EndPoint, o => o.Protocols = HttpProtocols.Http1AndHttp2));
        WebApplication app = builder.Build();
        app.Run(context =>
        {
            string name = context.Features.Get<IListenerFeature>()!.Listener.Name;
            return context.Response.WriteAsync($"{name} {context.Connection.LocalPort}");
        });
        return app;
    }

    private static async Task<(Socket Client, Socket Accepted)> Pair()
    {
        using Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        Socket client = await SocketKit.Connect(((IPEndPoint)listener.LocalEndPoint!).Port);
        return (client, await listener.AcceptAsync());
    }
}
