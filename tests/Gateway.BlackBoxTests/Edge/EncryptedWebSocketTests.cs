using System.Net.WebSockets;
using System.Text;
using Gateway.BlackBoxTests.Harness;
using Gateway.BlackBoxTests.Traffic;

namespace Gateway.BlackBoxTests.Edge;

/// <summary>Goal: WebSockets pass over TLS as over plain connections. Method: .NET's client, Node's <c>ws</c>.</summary>
[Trait("Needs", "consul")]
public sealed class EncryptedWebSocketTests(EdgePlatform edge) : IClassFixture<EdgePlatform>
{
    [ConsulFact]
    public async Task Websockets_pass_over_tls()
    {
        Assert.SkipUnless(NodeServer.HasPackages, "npm ci was not run in tests/fixtures (tests/run.sh does)");
        await edge.Serve("edge-ws", "ws", "production", "external-host-ws.domain.com");
        await edge.Serves("ws.domain.com", "ws");
        using CancellationTokenSource deadline = new(Eventually.Seconds(30));
        using HttpClient client = edge.Client();
        using ClientWebSocket socket = new();
        socket.Options.SetRequestHeader("Host", "ws.domain.com");
        await socket.ConnectAsync(new Uri($"wss://127.0.0.1:{edge.Https}/ws-hello"), client, deadline.Token);
        Assert.Equal("hello from ws", Encoding.UTF8.GetString(await WebSocketTests.Receive(socket, deadline.Token)));
        await socket.SendAsync("there and back"u8.ToArray(), WebSocketMessageType.Text, true, deadline.Token);
        Assert.Equal("there and back", Encoding.UTF8.GetString(await WebSocketTests.Receive(socket, deadline.Token)));
        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, "done", deadline.Token);
    }
}
