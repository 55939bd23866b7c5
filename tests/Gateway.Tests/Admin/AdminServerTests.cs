using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Gateway.Admin;
using Gateway.Catalog;
using Gateway.Control;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Http;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Tcp;
using Gateway.Lifecycle;
using Gateway.Observability;
using Gateway.Planning;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.Tests.Admin;

/// <summary>The admin API over TCP and over its unix socket, with nothing behind it but an empty catalog.</summary>
public sealed class AdminServerTests : IAsyncLifetime
{
    private readonly string _folder = Directory.CreateTempSubdirectory("gwa").FullName;
    private readonly GatewayMetrics _metrics = new();
    private readonly MetricsExporter _exporter;
    private readonly ClusterTable _clusters = new();
    private readonly AccessLog _accessLog;
    private readonly HttpLane _http;
    private readonly TcpLane _tcp;
    private readonly ListenerSet _listeners;
    private readonly ControlLoop _control;
    private readonly ProcessStatus _process = new(TimeProvider.System);
    private readonly AdminServer _server;
    private readonly ConnectionFeed _feed = new("admin", NullLogger.Instance);
    private UnixListener? _unix;
    private HttpClient _client = new();
    private HttpClient _local = new();
    private int _stops;

    public AdminServerTests()
    {
        _exporter = new MetricsExporter(_metrics);
        _accessLog = AccessLog.Off(_metrics);
        _http = new HttpLane(_clusters, TimeProvider.System, NullLoggerFactory.Instance, _metrics, _accessLog, "gateway-test");
        _tcp = new TcpLane(_clusters, TimeProvider.System, NullLogger.Instance, _metrics, _accessLog);
        _listeners = new ListenerSet(
            new ListeningOptions { Addresses = ["127.0.0.1"] }, TimeProvider.System, NullLogger.Instance, (_, s) => s.Dispose(), (_, s) => s.Dispose(), 1000);
        _control = new ControlLoop(
            new ControlSettings(new PlanningOptions(), TimeSpan.FromSeconds(10)),
            _clusters, _listeners, _http, _metrics, TimeProvider.System, NullLogger.Instance);
        AdminApi api = new(
            new ProcessFacts("1.2.3", "kestrel", _folder), _process, _control, _listeners, _clusters, _http, _tcp, _exporter, TimeProvider.System,
            new AdminCommands(
                _ => Task.FromResult(new CommandResult(false, "refused, as the test says")),
                () => new CommandResult(Interlocked.Increment(ref _stops) > 0, "draining")));
        _server = new AdminServer(api, new AdminOptions { Names = ["gateway.example.com"] }, _feed, NullLoggerFactory.Instance);
    }

    public async ValueTask InitializeAsync()
    {
        await _server.StartAsync(TestContext.Current.CancellationToken);
        OwnSocket opened = await _listeners.OpenOwnAsync("admin", new IPEndPoint(IPAddress.Loopback, 0), _feed.Accept);
        _client = new HttpClient { BaseAddress = new Uri($"http://{opened.EndPoint}") };
        string path = Path.Combine(_folder, "a.sock");
        _unix = UnixListener.Open(path, s => _feed.Accept(null, s), TimeProvider.System);
        _local = new HttpClient(new SocketsHttpHandler
        {
            ConnectCallback = async (_, cancel) =>
            {
                Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancel);
                return new NetworkStream(socket, ownsSocket: true);
            },
        })
        {
            BaseAddress = new Uri("http://anything"),
        };
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        _local.Dispose();
        await (_unix?.DisposeAsync() ?? ValueTask.CompletedTask);
        await _server.DisposeAsync();
        await _control.DisposeAsync();
        await _listeners.DisposeAsync();
        await _tcp.DisposeAsync();
        await _http.DisposeAsync();
        await _accessLog.DisposeAsync();
        _exporter.Dispose();
        _metrics.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Theory]
    [InlineData("127.0.0.1:9900", true)]
    [InlineData("[::1]:9900", true)]
    [InlineData("10.1.2.3", true)]
    [InlineData("localhost", true)]
    [InlineData("LOCALHOST:1", true)]
    [InlineData("gateway.example.com:9900", true)]
    [InlineData("evil.example.com", false)]
    [InlineData("localhost.evil.example.com", false)]
    [InlineData("127.0.0.1.evil.example.com", false)]
    public async Task Only_known_names_may_read_the_api(string host, bool allowed)
    {
        foreach (string path in (string[])["/", "/api/v1/status", "/api/v1/catalog"])
        {
            Assert.Equal(allowed ? HttpStatusCode.OK : HttpStatusCode.MisdirectedRequest, (await GetAsync(path, host)).StatusCode);
        }
    }

    [Theory]
    [InlineData("/livez")]
    [InlineData("/metrics")]
    [InlineData("/readyz")]
    public async Task Probes_and_scrapers_may_use_any_name(string path)
    {
        _process.Advance(ProcessState.Ready);
        Assert.Equal(HttpStatusCode.OK, (await GetAsync(path, "evil.example.com")).StatusCode);
    }

    [Fact]
    public async Task Readiness_tells_the_state_of_the_process_and_liveness_does_not()
    {
        foreach ((ProcessState state, int status, string text) in ((ProcessState, int, string)[])
        [
            (ProcessState.Starting, 503, "starting\n"), (ProcessState.Ready, 200, "ready\n"), (ProcessState.Draining, 503, "draining\n"),
            (ProcessState.Stopped, 503, "draining\n"),
        ])
        {
            _process.Advance(state);
            using HttpResponseMessage ready = await GetAsync("/readyz");
            Assert.Equal((status, text), ((int)ready.StatusCode, await ready.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)));
            Assert.Equal(HttpStatusCode.OK, (await GetAsync("/livez")).StatusCode);
        }
    }

    [Fact]
    public async Task Commands_go_over_the_unix_socket_only()
    {
        using HttpResponseMessage refused = await _client.PostAsync("/api/v1/stop", null, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
        Assert.Equal(0, _stops);

        using HttpResponseMessage done = await _local.PostAsync("/api/v1/stop", null, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.OK, done.StatusCode);
        Assert.Equal(1, _stops);
        using HttpResponseMessage not = await _local.PostAsync("/api/v1/reload", null, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.Conflict, not.StatusCode);
        Assert.Contains("as the test says", await not.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
        using HttpResponseMessage unknown = await _local.PostAsync("/api/v1/explode", null, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.NotFound, unknown.StatusCode);
    }

    [Fact]
    public async Task Head_is_a_get_without_its_body_and_other_methods_are_told_what_is_allowed()
    {
        using HttpResponseMessage head = await _client.SendAsync(new HttpRequestMessage(HttpMethod.Head, "/livez"), TestContext.Current.CancellationToken);
        Assert.Equal((HttpStatusCode.OK, 3L), (head.StatusCode, head.Content.Headers.ContentLength));
        using HttpResponseMessage put = await _client.PutAsync("/api/v1/status", null, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, put.StatusCode);
        Assert.Equal("GET, HEAD, POST", string.Join(", ", put.Content.Headers.Allow));
        Assert.Equal(HttpStatusCode.NotFound, (await GetAsync("/api/v1/nonsense")).StatusCode);
    }

    [Fact]
    public async Task Status_and_problems_have_the_fields_of_the_contract_absent_ones_null()
    {
        _control.Report("test", [new Problem { Code = "port-in-use", Place = "admin.listen", Now = "retried" }]);
        JsonElement status = await JsonAsync("/api/v1/status");
        Assert.Equal(Environment.ProcessId, status.GetProperty("pid").GetInt32());
        Assert.Equal(1, status.GetProperty("generation").GetInt32());
        Assert.Equal("1.2.3", status.GetProperty("version").GetString());
        Assert.Equal("starting", status.GetProperty("state").GetString());
        Assert.Equal(JsonValueKind.String, status.GetProperty("startedAt").ValueKind);
        Assert.Equal(JsonValueKind.Null, status.GetProperty("previous").ValueKind);

        JsonElement problem = Assert.Single((await JsonAsync("/api/v1/problems")).EnumerateArray());
        Assert.Equal(
            ["code", "service", "instance", "place", "value", "allowed", "now", "since"], problem.EnumerateObject().Select(p => p.Name));
        Assert.Equal(JsonValueKind.Null, problem.GetProperty("service").ValueKind);
        Assert.Equal(JsonValueKind.Null, problem.GetProperty("value").ValueKind);
        Assert.True(problem.GetProperty("since").TryGetDateTimeOffset(out _));
        Assert.Empty((await JsonAsync("/api/v1/services")).EnumerateArray());
        Assert.Empty((await JsonAsync("/api/v1/listeners")).EnumerateArray());
    }

    private async Task<HttpResponseMessage> GetAsync(string path, string? host = null)
    {
        using HttpRequestMessage request = new(HttpMethod.Get, path);
        request.Headers.Host = host;
        return await _client.SendAsync(request, TestContext.Current.CancellationToken);
    }

    private async Task<JsonElement> JsonAsync(string path) =>
        JsonDocument.Parse(await _client.GetStringAsync(path, TestContext.Current.CancellationToken)).RootElement;
}
