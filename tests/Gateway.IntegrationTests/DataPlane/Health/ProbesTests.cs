using System.Net;
using System.Net.Sockets;
using System.Text;
using Gateway.Catalog;
using Gateway.DataPlane.Health;
using Gateway.Planning;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Gateway.IntegrationTests.DataPlane.Health;

/// <summary>Probes over real sockets: what is on the wire, and what each kind of answer or silence means.</summary>
public sealed class ProbesTests
{
    private static CancellationToken Test => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_request_is_a_plain_get_with_address_and_port_as_host()
    {
        using RawServer server = new("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK");
        ProbeResult result = await Send(Target(server.Port));

        Assert.True(result.Success);
        Assert.True(result.Answered);
        Assert.Matches(@"^HTTP 200 in [\d.]+ ms$", result.Evidence);
        string[] lines = (await server.Request).Split("\r\n");
        Assert.Equal("GET /healthcheck HTTP/1.1", lines[0]);
        Assert.Equal(
            ["Connection: close", $"Host: 127.0.0.1:{server.Port}", "User-Agent: gateway-check/0.1.0"],
            lines[1..].Where(line => line.Length > 0).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task The_path_of_a_check_is_sent_as_written()
    {
        using RawServer server = new("HTTP/1.1 204 No Content\r\n\r\n");
        ProbeResult result = await Send(Target(server.Port, CheckKind.Http, path: "/up/../%7Eup?deep=a%2Fb"));

        Assert.True(result.Success, result.Evidence);
        Assert.StartsWith("GET /up/../%7Eup?deep=a%2Fb HTTP/1.1\r\n", await server.Request, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Auto", 503, false)]
    [InlineData("Auto", 404, true)]
    [InlineData("Auto", 501, true)]
    [InlineData("Auto", 401, true)]
    [InlineData("Http", 404, false)]
    public async Task An_answer_is_judged_by_its_status(string kind, int status, bool up)
    {
        using RawServer server = new($"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n");

        Assert.Equal(up, (await Send(Target(server.Port, Enum.Parse<CheckKind>(kind)))).Success);
    }

    [Fact]
    public async Task A_redirect_is_up_and_not_followed()
    {
        using RawServer server = new("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
        ProbeResult result = await Send(Target(server.Port));

        Assert.True(result.Success);
        Assert.StartsWith("HTTP 302 in", result.Evidence, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_head_decides_and_an_endless_body_is_not_read()
    {
        using RawServer server = new("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", endless: true);
        ProbeResult result = await Send(Target(server.Port));

        Assert.True(result.Success, result.Evidence);
        await HealthEventually.True(() => server.SawEnd, "the connection is closed");
        Assert.True(server.Sent < 8 * 1024 * 1024, $"{server.Sent} bytes were taken");
    }

    [Theory]
    [InlineData("", "connected, closed without an answer")]
    [InlineData("SSH-2.0-OpenSSH_9.2\r\n", "connected, the answer is not HTTP")]
    public async Task No_http_answer_is_down(string answer, string evidence)
    {
        using RawServer server = new(answer);

        Assert.Equal(new ProbeResult(false, evidence), await Send(Target(server.Port)));
    }

    [Fact]
    public async Task A_reset_is_down_whenever_it_comes()
    {
        using TcpListener listener = Listen();
        for (int i = 0; i < 100; i++)
        {
            Task<ProbeResult> probe = Send(Target(((IPEndPoint)listener.LocalEndpoint).Port));
            using (Socket socket = await listener.AcceptSocketAsync(Test))
            {
                socket.LingerState = new LingerOption(true, 0);
                if (i % 2 == 0)
                {
                    await socket.ReceiveAsync(new byte[1], Test);
                }
            }

            ProbeResult result = await probe;
            Assert.False(result.Success);
            string[] words = ["connected, then reset before an answer", "connect reset", "connected, closed without an answer"];
            Assert.Contains(result.Evidence, words);
        }
    }

    [Fact]
    public async Task An_endless_head_is_down()
    {
        using RawServer server = new("HTTP/1.1 200 OK\r\nX: " + new string('x', 40_000) + "\r\n\r\n");
        ProbeResult result = await Send(Target(server.Port));

        Assert.False(result.Success);
    }

    [Fact]
    public async Task Silence_is_down_after_the_timeout()
    {
        using TcpListener silent = Listen();
        ProbeTarget target = Target(((IPEndPoint)silent.LocalEndpoint).Port, timeout: TimeSpan.FromMilliseconds(200));

        Assert.Equal(new ProbeResult(false, "connected, no answer in 200ms"), await Send(target));
    }

    [Fact]
    public async Task A_connect_check_asks_nothing()
    {
        using TcpListener listener = Listen();
        Task<TcpClient> accepted = listener.AcceptTcpClientAsync(Test).AsTask();
        ProbeResult result = await Send(Target(((IPEndPoint)listener.LocalEndpoint).Port, CheckKind.Tcp));

        Assert.True(result.Success);
        Assert.StartsWith("connected in", result.Evidence, StringComparison.Ordinal);
        using TcpClient seen = await accepted;
        Assert.Equal(0, await seen.GetStream().ReadAsync(new byte[1], Test));
    }

    [Theory]
    [InlineData("Auto")]
    [InlineData("Http")]
    [InlineData("Tcp")]
    public async Task A_closed_port_is_down(string kind)
    {
        TcpListener listener = Listen();
        int port = ((IPEndPoint)listener.LocalEndpoint).Port;
        listener.Dispose();

        Assert.Equal(new ProbeResult(false, "connect refused"), await Send(Target(port, Enum.Parse<CheckKind>(kind))));
    }

    [Fact]
    public async Task A_name_is_resolved_and_one_that_does_not_exist_is_down()
    {
        using RawServer server = new("HTTP/1.1 200 OK\r\n\r\n");
        Assert.True((await Send(Target(server.Port, address: "localhost"))).Success);
        Assert.Contains($"Host: localhost:{server.Port}\r\n", await server.Request, StringComparison.Ordinal);

        ProbeResult result = await Send(Target(80, address: "nowhere.invalid"));
        Assert.False(result.Success);
        Assert.StartsWith("name does not resolve", result.Evidence, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_ipv6_address_is_written_in_brackets()
    {
        if (!Socket.OSSupportsIPv6)
        {
            Assert.Skip("No IPv6 here.");
        }

        using RawServer server = new("HTTP/1.1 200 OK\r\n\r\n", IPAddress.IPv6Loopback);
        ProbeResult result = await Send(Target(server.Port, address: "::1"));

        Assert.True(result.Success, result.Evidence);
        Assert.Contains($"Host: [::1]:{server.Port}\r\n", await server.Request, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_h2c_service_is_asked_in_http2_with_prior_knowledge()
    {
        string? seen = null;
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
            kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = HttpProtocols.Http2));
        await using WebApplication app = builder.Build();
        app.MapGet("/healthcheck", (HttpContext context) =>
        {
            seen = $"{context.Request.Protocol} {context.Request.Host} {context.Request.Headers.UserAgent}";
            return Results.Ok();
        });
        await app.StartAsync(Test);
        IServerAddressesFeature addresses = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!;
        int port = new Uri(addresses.Addresses.Single()).Port;

        for (int i = 0; i < 3; i++)
        {
            ProbeResult result = await Send(Target(port, upstream: UpstreamProtocol.H2c));
            Assert.True(result.Success, result.Evidence);
        }

        Assert.Equal($"HTTP/2 127.0.0.1:{port} gateway-check/0.1.0", seen);
        Assert.False((await Send(Target(port, CheckKind.Http))).Success, "HTTP/1.1 is not spoken there");
    }

    [Fact]
    public async Task An_http1_service_does_not_pass_an_h2c_check()
    {
        using RawServer server = new("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        ProbeResult result = await Send(Target(server.Port, upstream: UpstreamProtocol.H2c));

        Assert.False(result.Success);
        Assert.StartsWith("connected, ", result.Evidence, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Auto", "HTTP/1.1 ")]
    [InlineData("H2c", null)]
    public async Task Each_of_many_probes_at_once_judges_its_own_instance(string protocol, string? answer)
    {
        // One client sends them all, to one name: a connection or an answer must never serve another's request.
        UpstreamProtocol upstream = Enum.Parse<UpstreamProtocol>(protocol);
        List<IDisposable> servers = [];
        List<(int Port, bool Up)> instances = [];
        for (int i = 0; i < (answer is null ? 6 : 60); i++)
        {
            bool up = i % 2 == 0;
            (IDisposable server, int port) = answer is null
                ? await Http2Server(up ? 200 : 503)
                : Raw(new RawServer($"{answer}{(up ? 200 : 503)} X\r\nContent-Length: 0\r\n\r\n"));
            servers.Add(server);
            instances.Add((port, up));
        }

        try
        {
            (int Port, bool Up)[] asked = [.. Enumerable.Range(0, answer is null ? 20 : 1).SelectMany(_ => instances)];
            ProbeResult[] results = await Task.WhenAll(asked.Select(one => Task.Run(() => Send(Target(one.Port, upstream: upstream)))));
            Assert.Equal(asked.Select(one => one.Up), results.Select(one => one.Success));
        }
        finally
        {
            servers.ForEach(server => server.Dispose());
        }

        static (IDisposable Server, int Port) Raw(RawServer server) => (server, server.Port);
    }

    private static async Task<(IDisposable Server, int Port)> Http2Server(int status)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
            kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = HttpProtocols.Http2));
        WebApplication app = builder.Build();
        app.MapGet("/healthcheck", () => Results.StatusCode(status));
        await app.StartAsync(Test);
        return (app, new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single()).Port);
    }

    [Theory]
    [InlineData(SocketError.TooManyOpenSockets, true)]
    [InlineData(SocketError.NoBufferSpaceAvailable, true)]
    [InlineData(SocketError.ConnectionRefused, false)]
    [InlineData(SocketError.AddressNotAvailable, false)]
    [InlineData(SocketError.AddressFamilyNotSupported, false)]
    public void What_Gateway_itself_lacks_is_not_the_instances_failure(SocketError error, bool ours)
    {
        ProbeResult result = Probes.NotConnected(error);
        Assert.Equal((false, ours), (result.Success, result.IsUnsent));
    }

    private static TcpListener Listen()
    {
        TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return listener;
    }

    private static ProbeTarget Target(
        int port,
        CheckKind kind = CheckKind.Auto,
        string address = "127.0.0.1",
        string path = "/healthcheck",
        UpstreamProtocol upstream = UpstreamProtocol.Auto,
        TimeSpan? timeout = null) => new()
        {
            Service = "web",
            Environment = "production",
            Instance = new InstanceKey("n", "a"),
            Address = address,
            Port = port,
            Upstream = upstream,
            Check = new CheckPlan { Kind = kind, Path = path, Timeout = timeout ?? TimeSpan.FromSeconds(20) },
        };

    private static async Task<ProbeResult> Send(ProbeTarget target)
    {
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(Test);
        limit.CancelAfter(target.Check.Timeout);
        return await Probes.Send(target, false, limit.Token);
    }

    /// <summary>Reads one request, gives one canned answer, closes.</summary>
    private sealed class RawServer : IDisposable
    {
        private readonly TcpListener _listener;
        private readonly TaskCompletionSource<string> _request = new();
        private long _sent;
        private volatile bool _sawEnd;

        public RawServer(string answer, IPAddress? address = null, bool endless = false)
        {
            _listener = new TcpListener(address ?? IPAddress.Loopback, 0);
            _listener.Start();
            _ = ServeAsync(answer, endless);
        }

        public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        public Task<string> Request => _request.Task.WaitAsync(TimeSpan.FromSeconds(20), Test);

        public long Sent => Volatile.Read(ref _sent);

        public bool SawEnd => _sawEnd;

        public void Dispose() => _listener.Dispose();

        private async Task ServeAsync(string answer, bool endless)
        {
            using TcpClient client = await _listener.AcceptTcpClientAsync();
            NetworkStream stream = client.GetStream();
            byte[] buffer = new byte[64 * 1024];
            string request = "";
            while (!request.Contains("\r\n\r\n", StringComparison.Ordinal))
            {
                int read = await stream.ReadAsync(buffer);
                if (read == 0)
                {
                    break;
                }

                request += Encoding.Latin1.GetString(buffer, 0, read);
            }

            _request.TrySetResult(request);
            await stream.WriteAsync(Encoding.Latin1.GetBytes(answer));
            try
            {
                while (endless)
                {
                    await stream.WriteAsync(buffer);
                    Interlocked.Add(ref _sent, buffer.Length);
                }
            }
            catch (IOException)
            {
                _sawEnd = true;
            }
        }
    }
}
