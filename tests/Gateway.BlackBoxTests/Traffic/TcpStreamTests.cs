using System.Net;
using System.Net.Sockets;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Traffic;

/// <summary>
/// Goal: large TCP streams pass with flat memory, and a slow reader slows the writer down instead of filling Gateway.
/// Method: 256 MiB each way through a relay, read after a pause in which the writer must come to a stand; Gateway's anonymous
/// memory before, during and after. (1 GiB streams are in bench/run.sh.)
/// </summary>
[Trait("Needs", "consul")]
[Collection(Alone.Name)]
public sealed class TcpStreamTests(Platform platform) : IClassFixture<Platform>
{
    private const long Size = 256L * 1024 * 1024;
    private const long Allowed = 48L * 1024 * 1024;

    [ConsulTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Long_stream_passes_with_flat_memory_and_back_pressure(bool toClient)
    {
        using CancellationTokenSource deadline = new(Eventually.Seconds(120));
        using TcpListener backend = new(IPAddress.Loopback, Ports.Any());
        backend.Start();
        int backendPort = ((IPEndPoint)backend.LocalEndpoint).Port;
        int port = Ports.Production();
        string service = $"stream-{(toClient ? "down" : "up")}";
        await platform.Consul.Register(
            new Registration(service, service, backendPort, "production", $"internal-listen-tcp-{port}", "gateway-check=none"));

        (Socket near, Socket far) = await Pair(port, backend, deadline.Token);
        using (near)
        using (far)
        {
            (Socket writer, Socket reader) = toClient ? (far, near) : (near, far);
            long before = platform.Gateway.Process.AnonymousBytes();
            long written = 0;
            Task write = Task.Run(
                async () =>
                {
                    byte[] block = new byte[256 * 1024];
                    while (Volatile.Read(ref written) < Size)
                    {
                        int sent = await writer.SendAsync(block, SocketFlags.None, deadline.Token);
                        Interlocked.Add(ref written, sent);
                    }

                    writer.Shutdown(SocketShutdown.Send);
                },
                deadline.Token);

            // Nobody reads: the writer has to come to a stand long before the end.
            long stand = -1;
            await Eventually.True(
                async () =>
                {
                    long now = Interlocked.Read(ref written);
                    await Task.Delay(300);
                    bool still = now > 0 && now == Interlocked.Read(ref written);
                    stand = now;
                    return still;
                },
                "the writer stands still");
            Assert.True(stand < 64L * 1024 * 1024, $"{stand} bytes went in before anybody read");
            long filled = platform.Gateway.Process.AnonymousBytes() - before;
            Assert.True(filled < Allowed, $"{filled} bytes of memory while the reader slept");

            long most = 0;
            long read = 0;
            byte[] buffer = new byte[256 * 1024];
            while (true)
            {
                int got = await reader.ReceiveAsync(buffer, SocketFlags.None, deadline.Token);
                if (got == 0)
                {
                    break;
                }

                if (read / (16 * 1024 * 1024) != (read + got) / (16 * 1024 * 1024))
                {
                    most = Math.Max(most, platform.Gateway.Process.AnonymousBytes() - before);
                }

                read += got;
            }

            await write;
            Assert.Equal(Interlocked.Read(ref written), read);
            Assert.True(most < Allowed, $"memory grew by {most} bytes over {Size} bytes of stream");
        }
    }

    // A relay's two ends, once the listener is there and the backend has been reached through it.
    private static async Task<(Socket Near, Socket Far)> Pair(int port, TcpListener backend, CancellationToken cancel)
    {
        await Eventually.True(() => Wire.Accepts(port), $":{port} opens");
        while (backend.Pending())
        {
            (await backend.AcceptSocketAsync(cancel)).Dispose();
        }

        // A relay of ours is the one over which our word arrives; earlier probes of the port end without one.
        Socket near = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await near.ConnectAsync(new IPEndPoint(IPAddress.Loopback, port), cancel);
        await near.SendAsync("me"u8.ToArray(), SocketFlags.None, cancel);
        while (true)
        {
            Socket far = await backend.AcceptSocketAsync(cancel);
            byte[] word = new byte[2];
            if (await far.ReceiveAsync(word, SocketFlags.None, cancel) == 2)
            {
                return (near, far);
            }

            far.Dispose();
        }
    }
}
