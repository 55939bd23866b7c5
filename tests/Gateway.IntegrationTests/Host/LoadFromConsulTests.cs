using System.Net;
using Gateway.Discovery.Consul;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Gateway.IntegrationTests.Host;

/// <summary>An application that runs YARP by itself and takes its routes from Consul.</summary>
[Trait("Needs", "consul")]
public sealed class LoadFromConsulTests : IAsyncLifetime
{
    private readonly HttpClient _client = new();
    private readonly List<WebApplication> _running = [];

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        foreach (WebApplication application in _running)
        {
            await application.DisposeAsync();
        }
    }

    [Fact]
    public async Task Routes_and_instances_follow_Consul_live()
    {
        Assert.SkipUnless(ConsulAgent.Installed, "CONSUL IS NOT INSTALLED: YARP's users are not tested");
        await using ConsulAgent consul = await ConsulAgent.StartAsync();
        int first = await ServeAsync("first"), second = await ServeAsync("second");
        await consul.RegisterAsync(Registration("web-1", first, "web.example.com"));

        // 1. An ordinary YARP application, and one line.
        WebApplicationBuilder builder = WebApplication.CreateBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Services.AddReverseProxy().LoadFromConsul(new ConsulOptions { Address = consul.Address });
        WebApplication application = builder.Build();
        _running.Add(application);
        application.MapReverseProxy();
        await application.StartAsync(TestContext.Current.CancellationToken);
        string url = application.Urls.First();
        await AnswersAsync(url, "web.example.com", "first");
        Assert.Equal(HttpStatusCode.NotFound, (await AskAsync(url, "other.example.com")).Status);

        // 2. Another host, another instance, one that goes.
        await consul.RegisterAsync(Registration("web-1", first, "www.example.com"));
        await AnswersAsync(url, "www.example.com", "first");
        Assert.Equal(HttpStatusCode.NotFound, (await AskAsync(url, "web.example.com")).Status);
        await consul.RegisterAsync(Registration("web-2", second, "www.example.com"));
        await AnswersAsync(url, "www.example.com", "second");
        await consul.DeregisterAsync("web-1");
        await EventuallyAsync(async () =>
        {
            string[] bodies = [(await AskAsync(url, "www.example.com")).Body, (await AskAsync(url, "www.example.com")).Body];
            return bodies.All(b => b == "second");
        });

        // 3. Without Consul the last catalog stands.
        await consul.KillAsync();
        Assert.Equal("second", (await AskAsync(url, "www.example.com")).Body);
    }

    private static object Registration(string id, int port, string host) => new
    {
        Name = "web",
        ID = id,
        Address = "127.0.0.1",
        Port = port,
        Tags = new[] { "production", $"external-host-{host}" },
    };

    private async Task<int> ServeAsync(string answer)
    {
        WebApplicationBuilder builder = WebApplication.CreateBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        WebApplication service = builder.Build();
        _running.Add(service);
        service.MapFallback(() => answer);
        await service.StartAsync(TestContext.Current.CancellationToken);
        return new Uri(service.Urls.First()).Port;
    }

    private Task AnswersAsync(string url, string host, string body) =>
        EventuallyAsync(async () => (await AskAsync(url, host)).Body == body);

    private async Task<(HttpStatusCode Status, string Body)> AskAsync(string url, string host)
    {
        using HttpRequestMessage request = new(HttpMethod.Get, url) { Headers = { Host = host } };
        using HttpResponseMessage response = await _client.SendAsync(request, TestContext.Current.CancellationToken);
        return (response.StatusCode, await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
    }

    private static async Task EventuallyAsync(Func<Task<bool>> condition)
    {
        double stretch = double.TryParse(Environment.GetEnvironmentVariable("GATEWAY_TEST_STRETCH"), out double factor) ? factor : 1;
        using CancellationTokenSource deadline = new(TimeSpan.FromSeconds(20 * stretch));
        while (!await condition())
        {
            Assert.False(deadline.IsCancellationRequested, "not in time");
            await Task.Delay(20, TestContext.Current.CancellationToken);
        }
    }
}
