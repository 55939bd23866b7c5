using System.Net;
using System.Net.Sockets;
using Gateway.Admin;
using Gateway.Catalog;
using Gateway.Configuration;
using Gateway.Discovery;
using Gateway.Discovery.EmbeddedCatalog;
using Gateway.Lifecycle;
using Gateway.Observability;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.IntegrationTests.Host;

/// <summary>Gateway inside another program: it starts, serves, drains and ends with its host.</summary>
public sealed class EmbeddingTests : IAsyncLifetime
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(
        30 * double.Parse(Environment.GetEnvironmentVariable("GATEWAY_TEST_STRETCH") ?? "1", System.Globalization.CultureInfo.InvariantCulture));

    private readonly string _state = Directory.CreateTempSubdirectory("gwe").FullName;
    private readonly int _port = FreePort();
    private readonly int _admin = FreePort();
    private readonly HttpClient _client = new();
    private WebApplication? _service;

    private int ServicePort => new Uri(_service!.Urls.First()).Port;

    private GatewayOptions Options => new()
    {
        StateDirectory = _state,
        Admin = new AdminOptions { Listen = new IPEndPoint(IPAddress.Loopback, _admin) },
        Drain = new DrainOptions { Grace = TimeSpan.Zero, Idle = TimeSpan.Zero, Timeout = TimeSpan.FromSeconds(5) },
        Log = new LogOptions { AccessFile = null },
    };

    public async ValueTask InitializeAsync()
    {
        WebApplicationBuilder builder = WebApplication.CreateBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        _service = builder.Build();
        _service.MapFallback(() => "embedded");
        await _service.StartAsync();
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await _service!.DisposeAsync();
        Directory.Delete(_state, recursive: true);
    }

    [Fact]
    public async Task A_host_with_a_source_of_its_own_serves_and_ends_cleanly()
    {
        OwnSource source = new("mine", Of("web", _port, ServicePort));
        using (IHost host = Build(services => services.AddGateway(Options).AddSingleton<ICatalogSource>(source)))
        {
            await host.StartAsync(TestContext.Current.CancellationToken);
            await host.Services.GetRequiredService<GatewayHost>().ServingAsync([_port], TestContext.Current.CancellationToken).WaitAsync(s_patience);
            Assert.Equal("embedded", await _client.GetStringAsync($"http://127.0.0.1:{_port}/", TestContext.Current.CancellationToken));
            Assert.Equal("ready\n", await _client.GetStringAsync($"http://127.0.0.1:{_admin}/readyz", TestContext.Current.CancellationToken));

            await host.StopAsync(TestContext.Current.CancellationToken).WaitAsync(s_patience);
            Assert.False(await AcceptsAsync(_port));
        }

        Assert.False(await AcceptsAsync(_admin));
        Assert.False(File.Exists(Path.Combine(_state, "run", "gateway.sock")));
        Assert.True(source.Stopped);
    }

    [Fact]
    public async Task Options_from_the_container_run_the_embedded_catalog()
    {
        int catalog = FreePort();
        using IHost host = Build(services => services.AddGateway(_ => Options with
        {
            Embedded = new EmbeddedCatalogOptions { Listen = new IPEndPoint(IPAddress.Loopback, catalog) },
        }));
        await host.StartAsync(TestContext.Current.CancellationToken);
        GatewayHost gateway = host.Services.GetRequiredService<GatewayHost>();
        await gateway.RegisterAsync(
            $$"""{ "Name": "web", "Address": "127.0.0.1", "Port": {{ServicePort}}, "Tags": ["internal-listen-http-{{_port}}"] }""");
        await gateway.ServingAsync([_port], TestContext.Current.CancellationToken).WaitAsync(s_patience);
        Assert.Equal("embedded", await _client.GetStringAsync($"http://127.0.0.1:{_port}/", TestContext.Current.CancellationToken));
        await host.StopAsync(TestContext.Current.CancellationToken).WaitAsync(s_patience);
    }

    [Fact]
    public async Task Without_any_source_or_with_two_of_one_name_it_refuses_to_start()
    {
        await using GatewayHost none = new(Options, NullLoggerFactory.Instance);
        GatewayStartException nothing = await Assert.ThrowsAsync<GatewayStartException>(() => none.StartAsync(TestContext.Current.CancellationToken));
        Assert.True(nothing.BadInput);
        Assert.Contains("no source", nothing.Message, StringComparison.Ordinal);

        await using GatewayHost two = new(Options, NullLoggerFactory.Instance)
        {
            ExtraSources = [new OwnSource("mine", CatalogSnapshot.Empty), new OwnSource("mine", CatalogSnapshot.Empty)],
        };
        GatewayStartException twice = await Assert.ThrowsAsync<GatewayStartException>(() => two.StartAsync(TestContext.Current.CancellationToken));
        Assert.Contains("'mine'", twice.Message, StringComparison.Ordinal);
        Assert.False(await AcceptsAsync(_admin));
    }

    [Fact]
    public void AddGateway_without_options_runs_the_embedded_catalog()
    {
        // Composed and not started: the defaults name ports and a directory of this machine.
        using ServiceProvider provider = new ServiceCollection().AddLogging().AddGateway().BuildServiceProvider();
        Assert.NotNull(provider.GetRequiredService<GatewayOptions>().Embedded);
        using ServiceProvider own = new ServiceCollection().AddLogging().AddGateway()
            .AddSingleton<ICatalogSource>(new OwnSource("mine", CatalogSnapshot.Empty)).BuildServiceProvider();
        Assert.Null(own.GetRequiredService<GatewayOptions>().Embedded);
    }

    [Theory]
    [InlineData("gateway.sock")]
    [InlineData("gateway.lock")]
    [InlineData("gateway.pid")]
    public async Task A_directory_in_the_place_of_a_file_of_ours_is_bad_input_and_nothing_stays_bound(string file)
    {
        Directory.CreateDirectory(Path.Combine(_state, "run", file, "x"));
        await using GatewayHost host = Started();
        GatewayStartException refused = await Assert.ThrowsAsync<GatewayStartException>(() => host.StartAsync(TestContext.Current.CancellationToken));
        Assert.True(refused.BadInput);
        Assert.Contains(_state, refused.Message, StringComparison.Ordinal);
        Assert.False(await AcceptsAsync(_admin));
    }

    [Fact]
    public async Task A_state_directory_removed_while_running_does_not_spoil_the_end()
    {
        await using GatewayHost host = Started();
        await host.StartAsync(TestContext.Current.CancellationToken);
        await host.ServingAsync([_port], TestContext.Current.CancellationToken).WaitAsync(s_patience);
        Directory.Delete(_state, recursive: true);
        await host.DrainAsync(CancellationToken.None).WaitAsync(s_patience);
        await host.DisposeAsync();
        Directory.CreateDirectory(_state);
        Assert.False(await AcceptsAsync(_admin));
    }

    [Fact]
    public async Task A_reload_moves_the_access_log_and_is_refused_while_draining()
    {
        string first = Path.Combine(_state, "first.log"), second = Path.Combine(_state, "second.log");
        GatewayOptions options = Options with { Log = new LogOptions { AccessFile = first } };
        await using GatewayHost host = new(options, NullLoggerFactory.Instance)
        {
            ExtraSources = [new OwnSource("mine", Of("web", _port, ServicePort))],
            Reloader = () => new ConfigurationResult { Options = options, Diagnostics = [] },
        };
        await host.StartAsync(TestContext.Current.CancellationToken);
        await host.ServingAsync([_port], TestContext.Current.CancellationToken).WaitAsync(s_patience);
        await RequestUntilAsync(() => Length(first) > 0);

        options = options with { Log = new LogOptions { AccessFile = second } };
        Assert.True((await host.ReloadAsync(TestContext.Current.CancellationToken)).Done);
        await RequestUntilAsync(() => Length(second) > 0);

        options = options with { Log = new LogOptions { AccessFile = Path.Combine(_state, "no", "such", "directory") } };
        Assert.True((await host.ReloadAsync(TestContext.Current.CancellationToken)).Done);
        await RequestUntilAsync(async () => (await _client.GetStringAsync($"http://127.0.0.1:{_admin}/api/v1/problems"))
            .Contains("access-log-unwritable", StringComparison.Ordinal));

        await host.DrainAsync(CancellationToken.None).WaitAsync(s_patience);
        Assert.False((await host.ReloadAsync(TestContext.Current.CancellationToken)).Done);
    }

    private static long Length(string path) => File.Exists(path) ? new FileInfo(path).Length : 0;

    private Task RequestUntilAsync(Func<bool> condition) => RequestUntilAsync(() => Task.FromResult(condition()));

    private async Task RequestUntilAsync(Func<Task<bool>> condition)
    {
        using CancellationTokenSource deadline = new(s_patience);
        while (!await condition())
        {
            deadline.Token.ThrowIfCancellationRequested();
            await _client.GetStringAsync($"http://127.0.0.1:{_port}/", deadline.Token);
        }
    }

    private GatewayHost Started() => new(Options, NullLoggerFactory.Instance)
    {
        ExtraSources = [new OwnSource("mine", Of("web", _port, ServicePort))],
    };

    private static IHost Build(Action<IServiceCollection> configure)
    {
        HostApplicationBuilder builder = Microsoft.Extensions.Hosting.Host.CreateEmptyApplicationBuilder(null);
        configure(builder.Services);
        return builder.Build();
    }

    private static CatalogSnapshot Of(string service, int port, int destination) => CatalogSnapshot.Of(
    [
        new Instance
        {
            Service = service,
            Node = "n1",
            ServiceId = "i1",
            Address = "127.0.0.1",
            Port = destination,
            Tags = [$"internal-listen-http-{port}"],
        },
    ]);

    private static async Task<bool> AcceptsAsync(int port)
    {
        using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, port), TestContext.Current.CancellationToken);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private static int FreePort()
    {
        // Below the ephemeral range, so that nobody's outgoing connection takes it meanwhile, and with room for a staging twin.
        while (true)
        {
            int port = Random.Shared.Next(2000, 9000);
            using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
                return port;
            }
            catch (SocketException)
            {
                // Taken: another one.
            }
        }
    }

    private sealed class OwnSource(string name, CatalogSnapshot catalog) : ICatalogSource
    {
        public string Name => name;

        public SourceStatus Status { get; } = new();

        public bool Stopped { get; private set; }

        public async Task WatchAsync(Action<CatalogSnapshot> report, CancellationToken stop)
        {
            report(catalog);
            await Task.Delay(Timeout.InfiniteTimeSpan, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            Stopped = true;
        }
    }
}
