using System.Net;
using System.Net.Sockets;
using System.Text;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Pains;

/// <summary>
/// P18, Consul says passing, but this host cannot reach the instance. Goal: our own probe decides here: the instance is out although
/// Consul passes it, no request fails, and it is back once it can be reached. Method: an instance with a passing check in a real
/// Consul behind a socket whose queue is full, so that connects vanish as in a partition; later the socket is served.
/// </summary>
[Trait("Needs", "consul")]
public sealed class P18UnreachableFromHereTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Instance_beyond_a_partition_is_out_until_it_can_be_reached()
    {
        using Beyond beyond = await Beyond.Start();
        int port = Ports.Production();
        string listen = $"internal-listen-http-{port}";
        await platform.Serve("p18", "near", "production", listen, "gateway-check.interval=500ms", "gateway-timeouts.connect=1s");
        await Platform.Serves(port, "near");
        LoadClient load = new LoadClient().Http(port, keepAlive: 2, fresh: 2);
        await platform.Consul.Register(new Registration(
            "p18", "p18-far", beyond.Port, "production", listen, "gateway-check.interval=500ms", "gateway-timeouts.connect=1s")
        {
            Check = new { CheckID = "p18-far-ttl", TTL = "10m", Status = "passing" },
        });

        await Eventually.True(async () => await Reported() == ("passing", false), "it is out here, and passing there");
        await Eventually.Stays(
            async () => await Reported() == ("passing", false) && (await Wire.Get(port)).ServedBy == "near", "it stays out", seconds: 2);

        beyond.Heal();
        await Platform.Serves(port, "far");
        LoadReport report = await load.Stop();
        Assert.True(report.Failures == 0, report.ToString());
    }

    // What Consul says of the far one, and whether it takes new work here.
    private async Task<(string Reported, bool Usable)?> Reported()
    {
        WireAnswer answer = await Wire.Get(platform.Gateway.AdminPort, "/api/v1/destinations");
        return answer.Json.RootElement.EnumerateArray()
            .Where(static d => d.GetProperty("instance").GetString()!.EndsWith("/p18-far", StringComparison.Ordinal))
            .Select(static d => ((string, bool)?)(d.GetProperty("reported").GetString()!, d.GetProperty("usable").GetBoolean()))
            .FirstOrDefault();
    }

    /// <summary>Something that listens, and whose connects are lost until it is healed.</summary>
    private sealed class Beyond : IDisposable
    {
        private readonly Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        private readonly List<Socket> filling = [];

        public int Port => ((IPEndPoint)listener.LocalEndPoint!).Port;

        public static async Task<Beyond> Start()
        {
            Beyond beyond = new();
            beyond.listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            beyond.listener.Listen(0);

            // The kernel keeps one more than asked for, sometimes two; what finds the queue full is dropped without an answer.
            for (int i = 0; i < 16; i++)
            {
                Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                beyond.filling.Add(socket);
                using CancellationTokenSource patience = new(TimeSpan.FromMilliseconds(300));
                try
                {
                    await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, beyond.Port), patience.Token);
                }
                catch (OperationCanceledException)
                {
                    return beyond;
                }
            }

            throw new InvalidOperationException("The kernel takes every connect.");
        }

        /// <summary>Accepts from now on, and answers 200 to whatever comes.</summary>
        public void Heal() => _ = Task.Run(async () =>
        {
            try
            {
                while (true)
                {
                    _ = Answer(await listener.AcceptAsync());
                }
            }
            catch (Exception end) when (end is SocketException or ObjectDisposedException)
            {
                // Disposed.
            }
        });

        public void Dispose()
        {
            listener.Dispose();
            filling.ForEach(static socket => socket.Dispose());
        }

        private static async Task Answer(Socket socket)
        {
            using (socket)
            {
                try
                {
                    byte[] buffer = new byte[4096];
                    while (await socket.ReceiveAsync(buffer) > 0)
                    {
                        await socket.SendAsync(Encoding.ASCII.GetBytes("HTTP/1.1 200 OK\r\nX-Served-By: far\r\nContent-Length: 2\r\n\r\nok"));
                    }
                }
                catch (SocketException)
                {
                    // The other side left.
                }
            }
        }
    }
}
