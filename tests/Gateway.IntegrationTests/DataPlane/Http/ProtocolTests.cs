using System.Net;
using System.Net.WebSockets;
using System.Text;
using Gateway.Planning;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Gateway.IntegrationTests.DataPlane.Http;

/// <summary>HTTP/2, gRPC and WebSockets, each to each.</summary>
public abstract class ProtocolTests(Engine engine) : LaneTests(engine)
{
    [Fact]
    public async Task Prior_knowledge_HTTP_2_reaches_an_HTTP_1_instance()
    {
        await using RawInstance instance = RawInstance.Echoing();
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using HttpClient client = Http2(lane);

        using HttpRequestMessage request = Post("/a%2Fb?x=%20", new StringContent("hello"));
        request.Headers.Add("Cookie", "a=1");
        using HttpResponseMessage response = await client.SendAsync(request);
        string seen = await response.Content.ReadAsStringAsync();

        Assert.Equal(HttpVersion.Version20, response.Version);
        Assert.StartsWith("POST /a%2Fb?x=%20 HTTP/1.1\r\n", seen, StringComparison.Ordinal);
        Assert.Equal($"127.0.0.1:{lane.Port}", RawConnection.Header(seen, "Host"));
        Assert.Equal("a=1", RawConnection.Header(seen, "Cookie"));
        Assert.EndsWith("hello", seen, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_preface_in_single_bytes_is_recognized()
    {
        await using RawInstance instance = RawInstance.Echoing();
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();

        foreach (char c in "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        {
            await client.SendAsync(c.ToString());
            await Task.Yield();
        }

        // An empty SETTINGS frame; the server's own comes back: length, then type 4.
        await client.SendAsync("\0\0\0\u0004\0\0\0\0\0");
        Assert.Equal('\u0004', (await client.ReadAsync(9))[3]);
    }

    [Theory]
    [InlineData("P")]
    [InlineData("PRI * HTTP/2.0\r\n\r\nS")]
    [InlineData("")]
    public async Task A_client_that_leaves_before_it_has_said_what_it_speaks_is_forgotten(string said)
    {
        await using LaneUnderTest lane = await StartAsync();
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync(said);
        await EventuallyHttp.HoldsAsync(() => lane.Lane.Connections == 1, "the connection is seen");
        client.Dispose();
        await EventuallyHttp.HoldsAsync(() => lane.Lane.Connections == 0, "the connection is forgotten");
    }

    [Theory]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")]
    public async Task Requests_that_begin_like_the_preface_or_oddly_are_HTTP_1(string request)
    {
        await using RawInstance instance = RawInstance.Echoing();
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        foreach (char c in request)
        {
            await client.SendAsync(c.ToString());
        }

        Assert.Equal(200, RawConnection.Status((await client.ReadMessageAsync()).Head));
    }

    [Fact]
    public async Task Grpc_streams_both_ways_and_ends_with_its_trailers()
    {
        await using KestrelInstance instance = await KestrelInstance.StartAsync(HttpProtocols.Http2, async context =>
        {
            Assert.Equal("trailers", context.Request.Headers.TE);
            context.Response.ContentType = "application/grpc";
            context.Response.DeclareTrailer("grpc-status");
            byte[] buffer = new byte[100];
            int read;
            while ((read = await context.Request.Body.ReadAsync(buffer)) > 0)
            {
                await context.Response.Body.WriteAsync(buffer.AsMemory(0, read));
                await context.Response.Body.FlushAsync();
            }

            context.Response.AppendTrailer("grpc-status", "0");
            context.Response.AppendTrailer("grpc-message", "fine");
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using HttpClient client = Http2(lane);
        StreamedContent upload = new();
        upload.Headers.ContentType = new("application/grpc");
        using HttpRequestMessage request = Post("/pkg.Service/Method", upload);
        request.Headers.TE.ParseAdd("trailers");

        Task<HttpResponseMessage> sending = client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        Stream sent = await upload.Stream;
        await sent.WriteAsync("one"u8.ToArray());
        await sent.FlushAsync();
        using HttpResponseMessage response = await sending;
        Stream received = await response.Content.ReadAsStreamAsync();
        byte[] got = new byte[3];
        await received.ReadExactlyAsync(got);
        Assert.Equal("one", Encoding.ASCII.GetString(got));
        await sent.WriteAsync("two"u8.ToArray());
        await sent.FlushAsync();
        await received.ReadExactlyAsync(got);
        Assert.Equal("two", Encoding.ASCII.GetString(got));
        upload.Complete();

        Assert.Equal(0, await received.ReadAsync(got));
        Assert.Equal(["0"], response.TrailingHeaders.GetValues("grpc-status"));
        Assert.Equal(["fine"], response.TrailingHeaders.GetValues("grpc-message"));
    }

    [Fact]
    public async Task A_gRPC_client_is_told_of_a_failure_in_its_own_words()
    {
        await using LaneUnderTest lane = await StartAsync();
        using HttpClient client = Http2(lane);
        using HttpRequestMessage request = Post("/pkg.Service/Method", new ByteArrayContent([]));
        request.Content!.Headers.ContentType = new("application/grpc+proto");

        using HttpResponseMessage response = await client.SendAsync(request);

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal("application/grpc", response.Content.Headers.ContentType!.MediaType);
        Assert.Equal(["14"], response.Headers.GetValues("grpc-status"));
        Assert.Equal(["no-instance"], response.Headers.GetValues("X-Gateway-Reason"));
        Assert.Empty(await response.Content.ReadAsByteArrayAsync());
    }

    [Fact]
    public async Task Grpc_status_without_a_body_ends_the_stream_with_its_head()
    {
        await using KestrelInstance instance = await KestrelInstance.StartAsync(HttpProtocols.Http2, context =>
        {
            context.Response.ContentType = "application/grpc";
            context.Response.Headers["grpc-status"] = "5";
            return Task.CompletedTask;
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using HttpClient client = Http2(lane);
        using HttpRequestMessage request = Post("/pkg.Service/Method", new ByteArrayContent([1, 2]));
        request.Content!.Headers.ContentType = new("application/grpc");

        using HttpResponseMessage response = await client.SendAsync(request);

        Assert.Equal(["5"], response.Headers.GetValues("grpc-status"));
    }

    [Fact]
    public async Task With_protocol_h2c_every_request_goes_over_HTTP_2()
    {
        await using KestrelInstance instance = await KestrelInstance.StartAsync(
            HttpProtocols.Http2, context => context.Response.WriteAsync(context.Request.Protocol + context.Request.Path));
        await using LaneUnderTest lane = await StartAsync(
            LaneUnderTest.Cluster(instance.EndPoint) with { Upstream = UpstreamProtocol.H2c });
        using HttpClient client = new() { BaseAddress = lane.Url };

        Assert.Equal("HTTP/2/x", await client.GetStringAsync("/x"));
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(true, true)]
    public async Task WebSockets_pass_whatever_is_spoken_on_either_side(bool http2Client, bool http2Instance)
    {
        await using KestrelInstance instance = await KestrelInstance.StartAsync(
            http2Instance ? HttpProtocols.Http2 : HttpProtocols.Http1, EchoWebSocketAsync, webSockets: true);
        await using LaneUnderTest lane = await StartAsync(
            LaneUnderTest.Cluster(instance.EndPoint) with
            {
                Upstream = http2Instance ? UpstreamProtocol.H2c : UpstreamProtocol.Auto,
                Timeouts = new TimeoutsPlan { Response = TimeSpan.FromSeconds(2), Tunnel = TimeSpan.FromMinutes(1) },
            });
        using ClientWebSocket socket = new();
        using HttpMessageInvoker invoker = new(new SocketsHttpHandler());
        if (http2Client)
        {
            socket.Options.HttpVersion = HttpVersion.Version20;
            socket.Options.HttpVersionPolicy = HttpVersionPolicy.RequestVersionExact;
        }

        await socket.ConnectAsync(new Uri($"ws://127.0.0.1:{lane.Port}/chat"), invoker, CancellationToken.None);
        await EventuallyHttp.HoldsAsync(() => lane.Lane.Requests == 1, "the tunnel is counted");
        byte[] buffer = new byte[100];
        for (int i = 0; i < 3; i++)
        {
            // Longer silent than timeouts.response: a tunnel has its own.
            await Task.Delay(i == 1 ? 2500 : 0);
            await socket.SendAsync(Encoding.UTF8.GetBytes($"hello {i}"), WebSocketMessageType.Text, true, CancellationToken.None);
            WebSocketReceiveResult result = await socket.ReceiveAsync(buffer, CancellationToken.None);
            Assert.Equal($"hello {i}", Encoding.UTF8.GetString(buffer, 0, result.Count));
        }

        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, "bye", CancellationToken.None);
        Observability.AccessRecord record = await lane.RecordAsync();
        Assert.Equal("", record.Reason);
        Assert.True(record.BytesIn > 20 && record.BytesOut > 20);
        Assert.Equal(0, lane.Lane.Requests);
    }

    [Fact]
    public async Task A_slow_reader_holds_a_fast_instance_back()
    {
        long sent = 0;
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadMessageAsync();
            await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2147483648\r\n\r\n");
            string block = new('x', 1024 * 1024);
            for (int i = 0; i < 2048; i++)
            {
                await connection.SendAsync(block);
                Interlocked.Add(ref sent, block.Length);
            }
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();

        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        await client.ReadHeadAsync();
        long before;
        do
        {
            before = Interlocked.Read(ref sent);
            await Task.Delay(300);
        }
        while (Interlocked.Read(ref sent) > before);

        Assert.InRange(before, 1, 64 * 1024 * 1024);
    }

    private static async Task EchoWebSocketAsync(HttpContext context)
    {
        using WebSocket socket = await context.WebSockets.AcceptWebSocketAsync();
        byte[] buffer = new byte[1000];
        while (true)
        {
            WebSocketReceiveResult result = await socket.ReceiveAsync(buffer, CancellationToken.None);
            if (result.MessageType == WebSocketMessageType.Close)
            {
                await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, "bye", CancellationToken.None);
                return;
            }

            await socket.SendAsync(buffer.AsMemory(0, result.Count), result.MessageType, true, CancellationToken.None);
        }
    }

    private static HttpClient Http2(LaneUnderTest lane) => new()
    {
        BaseAddress = lane.Url,
        DefaultRequestVersion = HttpVersion.Version20,
        DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
    };

    private static HttpRequestMessage Post(string path, HttpContent content) => new(HttpMethod.Post, path)
    {
        Version = HttpVersion.Version20,
        VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        Content = content,
    };

    private sealed class StreamedContent : HttpContent
    {
        private readonly TaskCompletionSource<Stream> _stream = new();
        private readonly TaskCompletionSource _complete = new();

        public Task<Stream> Stream => _stream.Task;

        public void Complete() => _complete.SetResult();

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            _stream.SetResult(stream);
            await _complete.Task;
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}

/// <inheritdoc/>
public sealed class ProtocolOnKestrelTests() : ProtocolTests(Engine.Kestrel);

/// <inheritdoc/>
public sealed class ProtocolOnLoopsTests() : ProtocolTests(Engine.Loops);
