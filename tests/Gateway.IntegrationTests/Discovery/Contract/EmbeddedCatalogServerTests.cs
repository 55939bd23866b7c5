using System.Diagnostics;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Gateway.Discovery.EmbeddedCatalog;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Gateway.IntegrationTests.Discovery.Contract;

/// <summary>What the embedded catalog promises beyond the contract: who it is, what survives, whom it wakes, how it stops.</summary>
public sealed class EmbeddedCatalogServerTests : IAsyncDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("gateway-embedded-").FullName;
    private readonly HttpClient _client = new(new SocketsHttpHandler { UseProxy = false }) { Timeout = ContractWait.Deadline };
    private EmbeddedCatalogServer _server;
    private Uri? _address;

    public EmbeddedCatalogServerTests() => _server = Make(_directory);

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await _server.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task It_says_that_it_is_gateway_and_where_the_host_is()
    {
        await Start();
        JsonNode config = JsonNode.Parse(await _client.GetStringAsync(At("v1/agent/self")))!["Config"]!;
        Assert.True((bool)config["Gateway"]!);
        Assert.Equal("10.1.2.3", (string)config["AdvertiseAddr"]!);
        Assert.Equal("n1", (string)config["NodeName"]!);
    }

    [Fact]
    public async Task What_is_acknowledged_is_in_the_file_as_kill_9_would_leave_it()
    {
        await Start();
        string copies = Directory.CreateTempSubdirectory("gateway-killed-").FullName;
        try
        {
            for (int i = 0; i < 10; i++)
            {
                using HttpResponseMessage answer = await _client.PutAsync(
                    At("v1/agent/service/register"),
                    new StringContent($$$"""{"ID":"i{{{i}}}","Name":"s","Port":{{{i}}},"Check":{"TTL":"30s","Status":"passing"}}"""));
                Assert.Equal(HttpStatusCode.OK, answer.StatusCode);

                // A copy made now is the file that the next process would find if this one were killed now.
                string killed = Path.Combine(copies, $"{i}");
                Directory.CreateDirectory(Path.Combine(killed, "catalog"));
                // By cp, because .NET respects the lock that keeps a second writer out.
                using (Process copy = Process.Start("cp", [
                    Path.Combine(_directory, "catalog", "catalog.journal"), Path.Combine(killed, "catalog", "catalog.journal")]))
                {
                    await copy.WaitForExitAsync();
                    Assert.Equal(0, copy.ExitCode);
                }

                await using EmbeddedCatalogServer next = Make(killed);
                Assert.Equal(i + 1, next.Store.Read(s => s.Instances("s").Count()));
                Assert.Empty(next.Problems);
            }
        }
        finally
        {
            Directory.Delete(copies, recursive: true);
        }
    }

    [Fact]
    public async Task A_restart_serves_the_same_with_an_index_that_did_not_go_back()
    {
        await Start();
        Assert.Null(await _server.RegisterAsync("""{"Name":"s","Port":7,"Tags":["a"]}"""u8.ToArray()));
        (string before, ulong index) = await Read("v1/health/service/s");
        ulong services = (await Read("v1/catalog/services")).Index;
        await _server.DisposeAsync();
        _server = Make(_directory);
        await Start();
        Assert.Equal((before, index), await Read("v1/health/service/s"));
        Assert.Null(await _server.RegisterAsync("""{"Name":"t"}"""u8.ToArray()));
        Assert.True((await Read("v1/catalog/services")).Index > services);
    }

    [Fact]
    public async Task In_process_registrations_are_validated_like_others()
    {
        Assert.StartsWith("Missing service name", await _server.RegisterAsync("{}"u8.ToArray()), StringComparison.Ordinal);
        Assert.Null(await _server.RegisterAsync("""{"Name":"s"}"""u8.ToArray()));
        Assert.True(await _server.DeregisterAsync("s"));
        Assert.False(await _server.DeregisterAsync("s"));
    }

    [Fact]
    public async Task A_thousand_watchers_of_other_services_sleep_through_a_change()
    {
        await Start();
        using CancellationTokenSource stop = new();
        Task[] sleepers = [.. Enumerable.Range(0, 1000).Select(i => _server.Store.WaitAsync(
            new Topic(TopicKind.Health, $"other-{i}"), 1, TimeSpan.FromMinutes(10), stop.Token))];
        await _server.RegisterAsync("""{"Name":"s","Check":{"CheckID":"c","TTL":"60s"}}"""u8.ToArray());
        (_, ulong index) = await Read("v1/health/service/s");
        Task<(string, ulong)> watcher = Read($"v1/health/service/s?index={index}&wait=60s");
        await ContractWait.Until(() => Task.FromResult(_server.Store.Watchers == 1001), "the query blocks");

        _server.Store.Heard("c", CheckStatus.Passing, "");
        await watcher.WaitAsync(ContractWait.Deadline);
        Assert.DoesNotContain(sleepers, s => s.IsCompleted);
        await stop.CancelAsync();
        await Task.WhenAll(sleepers);
    }

    [Fact]
    public async Task A_watcher_whose_client_went_away_is_forgotten()
    {
        await Start();
        using CancellationTokenSource client = new();
        Task<HttpResponseMessage> query = _client.GetAsync(At("v1/catalog/services?index=1000000&wait=10m"), client.Token);
        ulong index = (await Read("v1/catalog/services")).Index;
        Task<HttpResponseMessage> blocked = _client.GetAsync(At($"v1/catalog/services?index={index}&wait=10m"), client.Token);
        await ContractWait.Until(() => Task.FromResult(_server.Store.Watchers == 1), "the query blocks");

        // An index that was never given does not block: its owner must start over.
        Assert.Equal(index.ToString(), (await query.WaitAsync(ContractWait.Deadline)).Headers.GetValues("X-Consul-Index").Single());
        await client.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => blocked);
        await ContractWait.Until(() => Task.FromResult(_server.Store.Watchers == 0), "the watcher is gone");
    }

    [Fact]
    public async Task Stopping_answers_blocked_queries_with_what_there_is()
    {
        await Start();
        (string body, ulong index) = await Read("v1/catalog/services");
        Task<(string, ulong)>[] blocked = [.. Enumerable.Range(0, 20).Select(_ => Read($"v1/catalog/services?index={index}&wait=10m"))];
        await ContractWait.Until(() => Task.FromResult(_server.Store.Watchers == 20), "the queries block");
        await _server.StopAsync(CancellationToken.None).WaitAsync(ContractWait.Deadline);
        Assert.All(await Task.WhenAll(blocked), answer => Assert.Equal((body, index), answer));
    }

    [Fact]
    public async Task Registrations_from_many_clients_at_once_are_all_there_and_all_on_disk()
    {
        await Start();
        Stopwatch clock = Stopwatch.StartNew();
        await Parallel.ForEachAsync(Enumerable.Range(0, 500), new ParallelOptions { MaxDegreeOfParallelism = 32 }, async (i, stop) =>
        {
            using HttpResponseMessage answer = await _client.PutAsync(
                At("v1/agent/service/register"),
                new ByteArrayContent(Encoding.UTF8.GetBytes($$$"""{"ID":"i{{{i}}}","Name":"s{{{i % 50}}}","Port":{{{i}}}}""")), stop);
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        });
        TestContext.Current.TestOutputHelper!.WriteLine($"500 registrations by 32 clients: {clock.ElapsedMilliseconds} ms");
        await _server.DisposeAsync();
        clock.Restart();
        _server = Make(_directory);
        await Start();
        TestContext.Current.TestOutputHelper!.WriteLine($"start with 500 instances: {clock.ElapsedMilliseconds} ms");
        Assert.Equal(500, _server.Store.Read(s => s.Services.Count()));
    }

    private static EmbeddedCatalogServer Make(string directory) =>
        new(directory, TimeProvider.System, NullLoggerFactory.Instance, "n1", "10.1.2.3");

    private async Task Start()
    {
        int port = ContractCatalog.FreePort();
        await _server.StartAsync(
            new SocketTransportFactory(Options.Create(new SocketTransportOptions()), NullLoggerFactory.Instance),
            new IPEndPoint(IPAddress.Loopback, port),
            CancellationToken.None);
        _address = new Uri($"http://127.0.0.1:{port}/");
    }

    private Uri At(string path) => new(_address!, path);

    private async Task<(string Body, ulong Index)> Read(string path)
    {
        using HttpResponseMessage answer = await _client.GetAsync(At(path));
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        return (await answer.Content.ReadAsStringAsync(), ulong.Parse(answer.Headers.GetValues("X-Consul-Index").Single()));
    }
}
