using System.Net.Sockets;
using System.Text;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Catalog;

/// <summary>
/// B4. Goal: <c>internal-listen-tcp-P</c> is a plain pipe: half-close is kept, and protocols in which the server speaks first
/// work. Method: an echo that answers after the client's FIN, and one with a late banner.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B04TcpServiceTests(Platform platform) : IClassFixture<Platform>
{
    [ConsulFact]
    public async Task Half_close_is_kept_and_everything_comes_back()
    {
        int port = await Relay("b04-echo", banner: null, delay: 0);
        using CancellationTokenSource deadline = new(Eventually.Seconds(30));
        byte[] said = new byte[3 * 1024 * 1024];
        new Random(4).NextBytes(said);
        using Wire wire = await Wire.Connect(port, cancel: deadline.Token);
        Task<byte[]> heard = wire.ReadAll(deadline.Token);
        await wire.Send(said, deadline.Token);
        wire.Socket.Shutdown(SocketShutdown.Send);
        byte[] back = await heard;
        Assert.True(said.AsSpan().SequenceEqual(back), $"{back.Length} bytes came back and differ");
    }

    [ConsulFact]
    public async Task Client_that_waits_hears_the_late_banner_and_may_then_speak()
    {
        int port = await Relay("b04-banner", banner: "220 ready\r\n", delay: 700);
        using CancellationTokenSource deadline = new(Eventually.Seconds(30));
        using Wire wire = await Wire.Connect(port, cancel: deadline.Token);
        Assert.Equal("220 ready", await wire.ReadLine(deadline.Token));
        await wire.Send("HELO\n", deadline.Token);
        Assert.Equal("HELO", await wire.ReadLine(deadline.Token));
        wire.Socket.Shutdown(SocketShutdown.Send);
        Assert.Empty(await wire.ReadAll(deadline.Token));
    }

    [ConsulFact]
    public async Task Half_close_before_the_banner_does_not_cut_the_banner()
    {
        int port = await Relay("b04-early-fin", banner: "late but whole", delay: 500);
        using CancellationTokenSource deadline = new(Eventually.Seconds(30));
        using Wire wire = await Wire.Connect(port, cancel: deadline.Token);
        wire.Socket.Shutdown(SocketShutdown.Send);
        Assert.Equal("late but whole", Encoding.ASCII.GetString(await wire.ReadAll(deadline.Token)));
    }

    [ConsulFact]
    public async Task Server_that_ends_first_still_hears_the_client()
    {
        using TcpListener backend = new(System.Net.IPAddress.Loopback, Ports.Any());
        backend.Start();
        (Wire wire, Socket far) = await Held("b04-server-first", backend);
        using (wire)
        using (far)
        {
            using CancellationTokenSource deadline = new(Eventually.Seconds(20));
            await far.SendAsync("bye"u8.ToArray(), SocketFlags.None, deadline.Token);
            far.Shutdown(SocketShutdown.Send);
            Assert.Equal("bye"u8.ToArray(), await wire.ReadAll(deadline.Token));
            await wire.Send("still here", deadline.Token);
            wire.Socket.Shutdown(SocketShutdown.Send);
            StringBuilder heard = new();
            byte[] part = new byte[64];
            while (await far.ReceiveAsync(part, SocketFlags.None, deadline.Token) is > 0 and int got)
            {
                heard.Append(Encoding.ASCII.GetString(part, 0, got));
            }

            Assert.Equal("still here", heard.ToString());
        }
    }

    [ConsulTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Reset_of_one_side_ends_the_other(bool byServer)
    {
        using TcpListener backend = new(System.Net.IPAddress.Loopback, Ports.Any());
        backend.Start();
        (Wire wire, Socket far) = await Held($"b04-reset-{(byServer ? "server" : "client")}", backend);
        using (wire)
        using (far)
        {
            using CancellationTokenSource deadline = new(Eventually.Seconds(20));
            (Socket resets, Socket learns) = byServer ? (far, wire.Socket) : (wire.Socket, far);
            resets.LingerState = new LingerOption(true, 0);
            resets.Close();
            int got;
            try
            {
                got = await learns.ReceiveAsync(new byte[16], SocketFlags.None, deadline.Token);
            }
            catch (SocketException reset) when (reset.SocketErrorCode == SocketError.ConnectionReset)
            {
                got = 0;
            }

            Assert.Equal(0, got);
        }
    }

    [ConsulFact]
    public async Task Refused_instance_is_passed_over_for_the_next()
    {
        int port = Ports.Production();
        string listen = $"internal-listen-tcp-{port}";
        NodeServer alive = platform.Keep(await NodeServer.Start("alive", tcp: true));
        await platform.Consul.Register(new Registration("b04-refused", "dead", Ports.Any(), "production", listen));
        await platform.Consul.Register(new Registration("b04-refused", "alive", alive.TcpPort, "production", listen));
        await Echoes(port);
        LoadClient load = new LoadClient().Tcp(port, kept: 0, fresh: 2);
        await Eventually.True(() => load.Requests > 60, "the load runs");
        LoadReport report = await load.Stop();
        Assert.True(report.Failures == 0, report.ToString());
    }

    [ConsulFact]
    public async Task Without_an_instance_the_port_accepts_and_closes()
    {
        int port = Ports.Production();
        await platform.Consul.Register(new Registration("b04-none", "dead", Ports.Any(), "production", $"internal-listen-tcp-{port}"));
        await Eventually.True(() => Wire.Accepts(10_000 + port), "the staging port is open");
        using CancellationTokenSource deadline = new(Eventually.Seconds(20));
        using Wire wire = await Wire.Connect(10_000 + port, cancel: deadline.Token);
        try
        {
            Assert.Empty(await wire.ReadAll(deadline.Token));
        }
        catch (SocketException reset)
        {
            Assert.Equal(SocketError.ConnectionReset, reset.SocketErrorCode);
        }
    }

    private static Task Echoes(int port) => Eventually.True(
        async () =>
        {
            using CancellationTokenSource deadline = new(Eventually.Seconds(5));
            using Wire wire = await Wire.Connect(port, cancel: deadline.Token);
            await wire.Send("x", deadline.Token);
            return (await wire.ReadBytes(1, deadline.Token))[0] == 'x';
        },
        $":{port} echoes");

    // A relay of which the test holds both ends; probes of the port before it have ended.
    private async Task<(Wire Wire, Socket Far)> Held(string service, TcpListener backend)
    {
        int port = Ports.Production();
        int backendPort = ((System.Net.IPEndPoint)backend.LocalEndpoint).Port;
        await platform.Consul.Register(
            new Registration(service, service, backendPort, "production", $"internal-listen-tcp-{port}", "gateway-check=none"));
        await Eventually.True(() => Wire.Accepts(port), $":{port} opens");
        using CancellationTokenSource deadline = new(Eventually.Seconds(20));
        Wire wire = await Wire.Connect(port, cancel: deadline.Token);
        await wire.Send("me", deadline.Token);
        while (true)
        {
            Socket far = await backend.AcceptSocketAsync(deadline.Token);
            if (await far.ReceiveAsync(new byte[2], SocketFlags.None, deadline.Token) == 2)
            {
                return (wire, far);
            }

            far.Dispose();
        }
    }

    private async Task<int> Relay(string service, string? banner, int delay)
    {
        int port = Ports.Production();
        NodeServer server = platform.Keep(await NodeServer.Start(service, tcp: true, banner: banner, bannerDelay: delay));
        await platform.Consul.Register(
            new Registration(service, service, server.TcpPort, "production", $"internal-listen-tcp-{port}"));
        await Eventually.True(
            async () =>
            {
                using CancellationTokenSource deadline = new(Eventually.Seconds(5));
                using Wire wire = await Wire.Connect(port, cancel: deadline.Token);
                await wire.Send("x", deadline.Token);
                return (await wire.ReadSome(deadline.Token)).Length > 0;
            },
            $":{port} relays");
        return port;
    }
}
