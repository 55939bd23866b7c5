using System.Net.WebSockets;
using System.Text;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Traffic;

/// <summary>
/// Goal: WebSockets pass through every HTTP port: text, binary, large and fragmented messages, a server that speaks first, and
/// the closing handshake in both directions. Method: .NET's client, Node's <c>ws</c> as the server.
/// </summary>
[Trait("Needs", "consul")]
public sealed class WebSocketTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Messages_pass_both_ways_and_the_close_is_clean()
    {
        Assert.SkipUnless(NodeServer.HasPackages, "npm ci was not run in tests/fixtures (tests/run.sh does)");
        int port = Ports.Production();
        await platform.Serve("ws", "ws", "production", $"internal-listen-http-{port}");
        await Platform.Serves(port, "ws");
        using CancellationTokenSource deadline = new(Eventually.Seconds(30));
        using ClientWebSocket socket = new();
        await socket.ConnectAsync(new Uri($"ws://127.0.0.1:{port}/ws-hello?x=1"), deadline.Token);
        Assert.Equal("hello from ws", Encoding.UTF8.GetString(await Receive(socket, deadline.Token)));

        await socket.SendAsync("schön"u8.ToArray(), WebSocketMessageType.Text, true, deadline.Token);
        Assert.Equal("schön", Encoding.UTF8.GetString(await Receive(socket, deadline.Token)));

        byte[] large = new byte[2 * 1024 * 1024];
        new Random(5).NextBytes(large);
        Task send = Fragmented(socket, large, deadline.Token);
        byte[] back = await Receive(socket, deadline.Token);
        await send;
        Assert.True(large.AsSpan().SequenceEqual(back), "the large message differs");

        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, "done", deadline.Token);
        Assert.Equal(WebSocketCloseStatus.NormalClosure, socket.CloseStatus);
    }

    [ConsulFact]
    public async Task Refused_upgrade_is_an_ordinary_answer()
    {
        int port = Ports.Production();
        await platform.Consul.Register(new Registration("ws-none", "dead", Ports.Any(), "production", $"internal-listen-http-{port}"));
        await Platform.Answers(port, 503);
        WireAnswer answer = await Wire.Get(
            port, "/", headers: ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]);
        Assert.Equal(503, answer.Status);
    }

    internal static async Task<byte[]> Receive(ClientWebSocket socket, CancellationToken cancel)
    {
        using MemoryStream message = new();
        byte[] buffer = new byte[64 * 1024];
        while (true)
        {
            WebSocketReceiveResult part = await socket.ReceiveAsync(buffer, cancel);
            message.Write(buffer, 0, part.Count);
            if (part.EndOfMessage)
            {
                return message.ToArray();
            }
        }
    }

    private static async Task Fragmented(ClientWebSocket socket, byte[] message, CancellationToken cancel)
    {
        const int Part = 100_000;
        for (int at = 0; at < message.Length; at += Part)
        {
            int count = Math.Min(Part, message.Length - at);
            await socket.SendAsync(message.AsMemory(at, count), WebSocketMessageType.Binary, at + count == message.Length, cancel);
        }
    }
}
