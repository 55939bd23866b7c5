using System.Net;
using System.Net.Sockets;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Traffic;

/// <summary>
/// Goal: an instance that refuses costs no request, whatever its method; one that breaks off after it was asked is answered
/// honestly and a POST is never sent twice. Method: a dead port beside a live server; a server that resets.
/// </summary>
[Trait("Needs", "consul")]
public sealed class RetryTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Refused_connect_moves_on_to_the_next_instance_whatever_the_method()
    {
        int port = Ports.Production();
        string listen = $"internal-listen-http-{port}";
        await platform.Serve("retry", "alive", "production", listen);
        await platform.Consul.Register(new Registration("retry", "dead-1", Ports.Any(), "production", listen));
        await platform.Consul.Register(new Registration("retry", "dead-2", Ports.Any(), "production", listen));
        await Platform.Serves(port, "alive");
        for (int i = 0; i < 30; i++)
        {
            using CancellationTokenSource deadline = new(Eventually.Seconds(20));
            using Wire wire = await Wire.Connect(port, cancel: deadline.Token);
            WireAnswer answer = await wire.Exchange(
                Wire.Request("POST", "/upload", "x", "Content-Length: 2") + "ok", deadline.Token);
            Assert.True(answer.Status == 200, $"{answer.Status} {answer.Reason}");
        }
    }

    [ConsulFact]
    public async Task Reset_after_the_request_is_502_and_a_post_is_not_repeated()
    {
        int port = Ports.Production();
        string listen = $"internal-listen-http-{port}";
        NodeServer a = await platform.Serve("reset", "a", "production", listen);
        NodeServer b = await platform.Serve("reset", "b", "production", listen);
        await Eventually.True(async () => (await Platform.Spread(port, 4)).Count == 2, "both answer");
        using CancellationTokenSource deadline = new(Eventually.Seconds(20));
        using Wire wire = await Wire.Connect(port, cancel: deadline.Token);
        WireAnswer answer = await wire.Exchange(Wire.Request("POST", "/reset", "x", "Content-Length: 0"), deadline.Token);
        Assert.Equal(502, answer.Status);
        Assert.Equal("instance-reset", answer.Reason);
        Assert.Equal(1, await a.Seen("/reset") + await b.Seen("/reset"));
    }

    [ConsulFact]
    public async Task Instance_that_resets_has_its_share_of_first_attempts_and_every_get_is_answered()
    {
        // A retry that took a turn of the round would bring every request to the broken one first.
        int port = Ports.Production();
        string[] tags = ["production", $"internal-listen-http-{port}", "gateway-check=none"];
        await platform.Serve("turns", "alive", tags);
        using Resetting broken = new();
        await platform.Consul.Register(new Registration("turns", "turns-broken", broken.Port, tags));
        await Eventually.True(() => broken.Reset > 0 ? Task.FromResult(true) : Ask(), "both are asked");
        int before = broken.Reset;
        Assert.Equal(40, (await Platform.Spread(port, 40)).GetValueOrDefault("alive"));
        Assert.InRange(broken.Reset - before, 18, 22);

        async Task<bool> Ask()
        {
            await Wire.Get(port);
            return false;
        }
    }

    [ConsulFact]
    public async Task Refused_connect_is_one_failure_whatever_the_protocol()
    {
        (int http, int tcp) = (Ports.Production(), Ports.Production());
        await platform.Consul.Register(
            new Registration("gone-http", "gone-http", Ports.Any(), "production", $"internal-listen-http-{http}", "gateway-check=none"));
        await platform.Consul.Register(
            new Registration("gone-tcp", "gone-tcp", Ports.Any(), "production", $"internal-listen-tcp-{tcp}", "gateway-check=none"));
        await Eventually.True(async () => await Wire.Accepts(http), "the port is open");
        await Eventually.True(() => Asked("gone-tcp"), "the TCP port is open and has asked");
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal("connect-failed", (await Wire.Get(http)).Reason);
        }

        Assert.Equal(3, await Count("gone-http", "failures"));
        long asked = await Count("gone-tcp", "requests");
        Assert.Equal(asked, await Count("gone-tcp", "failures"));

        async Task<bool> Asked(string service) => await Wire.Accepts(tcp) && await Count(service, "requests") > 0;

        async Task<long> Count(string service, string what) =>
            (await Wire.Get(platform.Gateway.AdminPort, "/api/v1/destinations")).Json.RootElement.EnumerateArray()
            .Single(d => d.GetProperty("instance").GetString()!.EndsWith("/" + service, StringComparison.Ordinal)).GetProperty(what).GetInt64();
    }

    [ConsulFact]
    public async Task Silent_instance_is_504_after_the_services_own_timeout()
    {
        int port = Ports.Production();
        await platform.Serve("slow", "slow", "production", $"internal-listen-http-{port}", "gateway-timeouts.response=500ms");
        await Platform.Serves(port, "slow");
        WireAnswer answer = await Wire.Get(port, "/slow?ms=8000");
        Assert.Equal(504, answer.Status);
        Assert.Equal("timeout-response", answer.Reason);
    }

    /// <summary>Accepts, reads something, and resets.</summary>
    private sealed class Resetting : IDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private int _reset;

        public Resetting()
        {
            _listener.Start();
            _ = ServeAsync();
        }

        public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        public int Reset => Volatile.Read(ref _reset);

        public void Dispose() => _listener.Dispose();

        private async Task ServeAsync()
        {
            try
            {
                while (true)
                {
                    using Socket client = await _listener.AcceptSocketAsync();
                    if (await client.ReceiveAsync(new byte[4096]) > 0)
                    {
                        Interlocked.Increment(ref _reset);
                    }

                    client.LingerState = new LingerOption(true, 0);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // The end of the test.
            }
        }
    }
}
