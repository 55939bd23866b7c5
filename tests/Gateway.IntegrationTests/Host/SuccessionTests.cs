using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Gateway.Admin;
using Gateway.Catalog;
using Gateway.Configuration;
using Gateway.Control;
using Gateway.Discovery;
using Gateway.Discovery.EmbeddedCatalog;
using Gateway.Lifecycle;
using Gateway.Observability;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.IntegrationTests.Host;

/// <summary>
/// A gateway that ends, and the next one on the same state directory: what is in flight ends in the old one while the new one has
/// the directory, of which the old one touches nothing any more. Both live in this process; the lock does not mind.
/// </summary>
public sealed class SuccessionTests : IAsyncLifetime
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(
        30 * double.Parse(Environment.GetEnvironmentVariable("GATEWAY_TEST_STRETCH") ?? "1", System.Globalization.CultureInfo.InvariantCulture));

    private readonly string _state = Directory.CreateTempSubdirectory("gws").FullName;
    private readonly int _port = FreePort();
    private readonly int _catalog = FreePort();
    private readonly int _admin = FreePort();
    private readonly HttpClient _client = new();
    private readonly TaskCompletionSource _answer = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _asked = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private WebApplication? _service;

    private int ServicePort => new Uri(_service!.Urls.First()).Port;

    private string LastKnownGood => Path.Combine(_state, "catalog-lkg");

    private GatewayOptions Options => new()
    {
        StateDirectory = _state,
        Admin = new AdminOptions { Listen = new IPEndPoint(IPAddress.Loopback, _admin) },
        Drain = new DrainOptions { Grace = TimeSpan.Zero, Idle = TimeSpan.Zero, Timeout = TimeSpan.FromMinutes(5) },
        Log = new LogOptions { AccessFile = null },
    };

    private GatewayOptions WithCatalog => Options with { Embedded = new EmbeddedCatalogOptions { Listen = new IPEndPoint(IPAddress.Loopback, _catalog) } };

    public async ValueTask InitializeAsync()
    {
        WebApplicationBuilder builder = WebApplication.CreateBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        _service = builder.Build();
        _service.MapGet("/slow", async () =>
        {
            _asked.TrySetResult();
            await _answer.Task;
            return "at last";
        });
        _service.MapFallback(() => "here");
        await _service.StartAsync();
    }

    public async ValueTask DisposeAsync()
    {
        _answer.TrySetResult();
        _client.Dispose();
        await _service!.DisposeAsync();
        Directory.Delete(_state, recursive: true);
    }

    [Fact]
    public async Task Nothing_is_written_over_a_successors_last_known_good_nor_its_socket_removed()
    {
        OwnSource source = new(Of("i1"));
        await using GatewayHost old = Host(Options, source);
        await old.StartAsync(TestContext.Current.CancellationToken);
        await old.ServingAsync([_port], TestContext.Current.CancellationToken).WaitAsync(s_patience);
        Task<string> slow = await SlowAsync();
        Task drained = old.DrainAsync(CancellationToken.None);

        // 1. It hears of a change, not written yet, when somebody takes over, with a generation and a socket of his own.
        source.Report(Of("i2"));
        using InstanceLock successor = await TakeAsync();
        string socket = Path.Combine(_state, "run", "gateway.sock");
        File.Delete(socket);
        await File.WriteAllTextAsync(socket, "the successor's", TestContext.Current.CancellationToken);
        LastKnownGoodFiles files = new(LastKnownGood);
        LastKnownGood good = files.Load(out _)!;
        files.Save(good with { Sources = [.. good.Sources.Select(s => s with { Catalog = Of("successor"), At = s.At })] });

        string[] generations = Directory.GetFiles(LastKnownGood);

        // 2. The old one hears of another, and ends.
        source.Report(Of("i3"));
        _answer.SetResult();
        Assert.Equal("at last", await slow.WaitAsync(s_patience));
        await drained.WaitAsync(s_patience);
        await old.DisposeAsync();

        Assert.Equal("successor", new LastKnownGoodFiles(LastKnownGood).Load(out _)!.Sources[0].Catalog.Services["web"].Instances[0].ServiceId);
        Assert.Equal(generations.Order(StringComparer.Ordinal), Directory.GetFiles(LastKnownGood).Order(StringComparer.Ordinal));
        Assert.True(File.Exists(socket));
    }

    [Fact]
    public async Task The_embedded_catalog_goes_over_while_requests_in_flight_go_on()
    {
        await using GatewayHost old = Host(WithCatalog);
        await old.StartAsync(TestContext.Current.CancellationToken);
        await old.RegisterAsync(Registration("web"));
        await old.ServingAsync([_port], TestContext.Current.CancellationToken).WaitAsync(s_patience);
        Task<string> slow = await SlowAsync();
        using HttpResponseMessage now = await _client.GetAsync($"http://127.0.0.1:{_catalog}/v1/health/service/web", TestContext.Current.CancellationToken);
        Task<HttpResponseMessage> poll = _client.GetAsync(
            $"http://127.0.0.1:{_catalog}/v1/health/service/web?wait=60s&index={now.Headers.GetValues("X-Consul-Index").Single()}", TestContext.Current.CancellationToken);

        // 1. The next one starts, serves and has everything while the old one still waits for its request.
        Task drained = old.DrainAsync(CancellationToken.None);
        await using GatewayHost next = Host(WithCatalog);
        await next.StartAsync(TestContext.Current.CancellationToken).WaitAsync(s_patience);
        await next.ServingAsync([_port], TestContext.Current.CancellationToken).WaitAsync(s_patience);
        Assert.Equal("here", await _client.GetStringAsync($"http://127.0.0.1:{_port}/", TestContext.Current.CancellationToken));
        Assert.Contains("web", await ServicesAsync());
        Assert.False(drained.IsCompleted);

        // 2. A poll of the old one was answered, and it takes nothing any more that it could not keep.
        using HttpResponseMessage answered = await poll.WaitAsync(s_patience);
        Assert.Equal(HttpStatusCode.OK, answered.StatusCode);
        Assert.Equal(now.Headers.GetValues("X-Consul-Index"), answered.Headers.GetValues("X-Consul-Index"));
        await Assert.ThrowsAsync<InvalidOperationException>(() => old.RegisterAsync(Registration("late")));

        // 3. The request ends where it began, and the old one with it.
        _answer.SetResult();
        Assert.Equal("at last", await slow.WaitAsync(s_patience));
        await drained.WaitAsync(s_patience);
        await old.DisposeAsync();
        Assert.Equal("here", await _client.GetStringAsync($"http://127.0.0.1:{_port}/", TestContext.Current.CancellationToken));
        Assert.True(File.Exists(Path.Combine(_state, "run", "gateway.sock")));
    }

    [Fact]
    public async Task No_acknowledged_registration_is_lost_over_three_successions()
    {
        GatewayHost running = Host(WithCatalog);
        await running.StartAsync(TestContext.Current.CancellationToken);
        using CancellationTokenSource stop = new();
        List<string> acknowledged = [];
        Task[] registrators = [.. Enumerable.Range(0, 4).Select(r => Task.Run(() => RegisterAsync(r, acknowledged, stop.Token)))];
        for (int succession = 0; succession < 3; succession++)
        {
            int before = Count(acknowledged);
            await EventuallyAsync(() => Count(acknowledged) > before + 50, "registrations go on");
            Task drained = running.DrainAsync(CancellationToken.None);
            GatewayHost next = Host(WithCatalog);
            await next.StartAsync(TestContext.Current.CancellationToken).WaitAsync(s_patience);
            await drained.WaitAsync(s_patience);
            await running.DisposeAsync();
            running = next;
        }

        await stop.CancelAsync();
        await Task.WhenAll(registrators).WaitAsync(s_patience);
        IReadOnlyCollection<string> there = await ServicesAsync();
        await running.DrainAsync(CancellationToken.None).WaitAsync(s_patience);
        await running.DisposeAsync();
        Assert.Empty(acknowledged.Except(there));
    }

    [Fact]
    public async Task Drained_twice_at_once_it_drains_once_and_either_may_hurry()
    {
        await using GatewayHost old = Host(Options, new OwnSource(Of("i1")));
        await old.StartAsync(TestContext.Current.CancellationToken);
        await old.ServingAsync([_port], TestContext.Current.CancellationToken).WaitAsync(s_patience);
        Task<string> slow = await SlowAsync();
        Task first = old.DrainAsync(CancellationToken.None);
        using InstanceLock successor = await TakeAsync();

        using CancellationTokenSource hurry = new();
        Task second = old.DrainAsync(hurry.Token);
        Assert.False(InstanceLock.IsHolderDraining(_state));
        Assert.False(first.IsCompleted);
        await hurry.CancelAsync();
        await Task.WhenAll(first, second).WaitAsync(s_patience);
        await Assert.ThrowsAnyAsync<HttpRequestException>(() => slow.WaitAsync(s_patience));
        await old.DrainAsync(CancellationToken.None).WaitAsync(s_patience);
    }

    [Fact]
    public async Task Disposed_during_a_drain_it_ends_at_once_and_the_drain_with_it()
    {
        GatewayHost old = Host(WithCatalog);
        await old.StartAsync(TestContext.Current.CancellationToken);
        await old.RegisterAsync(Registration("web"));
        await old.ServingAsync([_port], TestContext.Current.CancellationToken).WaitAsync(s_patience);
        Task<string> slow = await SlowAsync();
        Task drained = old.DrainAsync(CancellationToken.None);
        await Task.WhenAll(old.DisposeAsync().AsTask(), old.DisposeAsync().AsTask()).WaitAsync(s_patience);
        await drained.WaitAsync(s_patience);
        await Assert.ThrowsAnyAsync<HttpRequestException>(() => slow.WaitAsync(s_patience));
        using InstanceLock? free = InstanceLock.TryTake(_state, out _);
        Assert.NotNull(free);
        await Assert.ThrowsAsync<InvalidOperationException>(() => old.ServingAsync([_port], TestContext.Current.CancellationToken).WaitAsync(s_patience));
        await Assert.ThrowsAsync<InvalidOperationException>(() => old.StartAsync(TestContext.Current.CancellationToken));
        await old.DrainAsync(CancellationToken.None).WaitAsync(s_patience);
    }

    [Fact]
    public async Task Reloads_that_run_or_wait_when_it_is_disposed_end_with_an_answer()
    {
        using ManualResetEventSlim loading = new(), go = new();
        GatewayHost host = new(Options, NullLoggerFactory.Instance)
        {
            ExtraSources = [new OwnSource(Of("i1"))],
            Reloader = () =>
            {
                loading.Set();
                go.Wait();
                return new ConfigurationResult { Options = Options, Diagnostics = [] };
            },
        };
        await host.StartAsync(TestContext.Current.CancellationToken);
        Task<CommandResult>[] reloads = [.. Enumerable.Range(0, 3).Select(_ => Task.Run(() => host.ReloadAsync(CancellationToken.None)))];
        loading.Wait(TestContext.Current.CancellationToken);
        Task disposed = Task.Run(() => host.DisposeAsync().AsTask(), TestContext.Current.CancellationToken);
        await EventuallyAsync(() => reloads.Count(r => r.IsCompleted) == 2, "those that wait are refused");
        Assert.False(disposed.IsCompleted);
        go.Set();
        await disposed.WaitAsync(s_patience);
        CommandResult[] results = await Task.WhenAll(reloads).WaitAsync(s_patience);
        Assert.Equal(1, results.Count(r => r.Done));
        Assert.False((await host.ReloadAsync(CancellationToken.None)).Done);
    }

    [Fact]
    public async Task Told_to_end_while_it_starts_it_starts_not()
    {
        // The lock is with one that drains, so the start waits.
        using InstanceLock held = InstanceLock.TryTake(EnsureRun(), out _)!;
        held.SayDraining();
        await using GatewayHost host = Host(Options, new OwnSource(Of("i1")));
        Task starting = host.StartAsync(TestContext.Current.CancellationToken);
        await Assert.ThrowsAsync<InvalidOperationException>(() => host.StartAsync(TestContext.Current.CancellationToken));
        Assert.False(starting.IsCompleted);
        await host.DrainAsync(CancellationToken.None).WaitAsync(s_patience);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => starting.WaitAsync(s_patience));
    }

    private string EnsureRun()
    {
        Directory.CreateDirectory(Path.Combine(_state, "run"));
        return _state;
    }

    private async Task RegisterAsync(int registrator, List<string> acknowledged, CancellationToken stop)
    {
        for (int i = 0; !stop.IsCancellationRequested; i++)
        {
            string id = $"r{registrator}-{i}";
            try
            {
                using StringContent body = new($$"""{ "ID": "{{id}}", "Name": "s{{registrator}}", "Port": 80 }""", Encoding.UTF8);
                using HttpResponseMessage answer = await _client.PutAsync($"http://127.0.0.1:{_catalog}/v1/agent/service/register", body, CancellationToken.None);
                if (answer.StatusCode == HttpStatusCode.OK)
                {
                    lock (acknowledged)
                    {
                        acknowledged.Add(id);
                    }
                }
            }
            catch (HttpRequestException)
            {
                // Nobody there at the moment, or cut: not acknowledged, the next one is another.
                await Task.Yield();
            }
        }
    }

    private static int Count(List<string> list)
    {
        lock (list)
        {
            return list.Count;
        }
    }

    private async Task<IReadOnlyCollection<string>> ServicesAsync()
    {
        using JsonDocument services = JsonDocument.Parse(
            await _client.GetStringAsync($"http://127.0.0.1:{_catalog}/v1/agent/services", TestContext.Current.CancellationToken));
        return [.. services.RootElement.EnumerateObject().Select(s => s.Name)];
    }

    private async Task<InstanceLock> TakeAsync()
    {
        InstanceLock? taken = null;
        await EventuallyAsync(() => (taken = InstanceLock.TryTake(_state, out _)) is not null, "the lock is free");
        return taken!;
    }

    private async Task<Task<string>> SlowAsync()
    {
        Task<string> slow = _client.GetStringAsync($"http://127.0.0.1:{_port}/slow", CancellationToken.None);
        await _asked.Task.WaitAsync(s_patience);
        return slow;
    }

    private static async Task EventuallyAsync(Func<bool> condition, string what)
    {
        using CancellationTokenSource deadline = new(s_patience);
        while (!condition())
        {
            Assert.False(deadline.IsCancellationRequested, $"not in time: {what}");
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }
    }

    private static GatewayHost Host(GatewayOptions options, params ICatalogSource[] sources) =>
        new(options, NullLoggerFactory.Instance) { ExtraSources = sources };

    private string Registration(string id) =>
        $$"""{ "ID": "{{id}}", "Name": "web", "Address": "127.0.0.1", "Port": {{ServicePort}}, "Tags": ["internal-listen-http-{{_port}}"] }""";

    private CatalogSnapshot Of(string id) => CatalogSnapshot.Of(
    [
        new Instance
        {
            Service = "web",
            Node = "n1",
            ServiceId = id,
            Address = "127.0.0.1",
            Port = ServicePort,
            Tags = [$"internal-listen-http-{_port}"],
        },
    ]);

    private static int FreePort()
    {
        // Below the ephemeral range, so that nobody's outgoing connection takes it meanwhile.
        while (true)
        {
            int port = Random.Shared.Next(9000, 16000);
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

    private sealed class OwnSource(CatalogSnapshot catalog) : ICatalogSource
    {
        private Action<CatalogSnapshot>? _report;

        public string Name => "mine";

        public SourceStatus Status { get; } = new();

        public void Report(CatalogSnapshot next) => _report!(next);

        public async Task WatchAsync(Action<CatalogSnapshot> report, CancellationToken stop)
        {
            _report = report;
            report(catalog);
            await Task.Delay(Timeout.InfiniteTimeSpan, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
