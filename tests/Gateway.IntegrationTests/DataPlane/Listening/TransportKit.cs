using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Loops;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.IntegrationTests.DataPlane.Listening;

/// <summary>One of the two transports below Kestrel, with clients.</summary>
internal sealed class TransportUnderTest : IAsyncDisposable
{
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly SemaphoreSlim _pairing = new(1, 1);
    private readonly LoopGroup? _loops;
    private readonly SocketConnectionContextFactory _stock = new(new SocketConnectionFactoryOptions(), NullLogger.Instance);
    private int _next;

    public TransportUnderTest(bool loops)
    {
        _loops = loops ? new LoopGroup(2, TimeProvider.System, NullLogger.Instance) : null;
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen(512);
        _listener.Blocking = false;
    }

    public IReadOnlyList<EventLoop> Loops => _loops!.Loops;

    /// <summary>A client and our side of it.</summary>
    /// <param name="read">Was read of it already; only on loops.</param>
    /// <param name="inline">As <see cref="LoopTransport.RunInline"/>; only on loops.</param>
    public async Task<(Socket Client, ConnectionContext Ours)> PairAsync(string read = "", bool inline = true)
    {
        Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        int fd = -1;

        // One after the other: what is accepted must be the other end of this very client.
        await _pairing.WaitAsync();
        try
        {
            await client.ConnectAsync(_listener.LocalEndPoint!).InTime();
            await SocketKit.Until(
                () => (fd = Syscalls.Accept((int)_listener.SafeHandle.DangerousGetHandle(), [], out _)) >= 0, "the client is accepted");
        }
        finally
        {
            _pairing.Release();
        }

        if (_loops is null)
        {
            return (client, _stock.Create(new Socket(new SafeSocketHandle(fd, ownsHandle: true))));
        }

        EventLoop loop = _loops.Loops[_next++ % 2];
        byte[] before = System.Text.Encoding.UTF8.GetBytes(read);
        return (client, await loop.AskAsync(() => LoopConnection.Begin(loop, fd, before, inline)));
    }

    public async ValueTask DisposeAsync()
    {
        if (_loops is not null)
        {
            await SocketKit.Until(() => _loops.Loops.All(loop => loop.Sockets == 0), "every descriptor is closed");
            await _loops.DisposeAsync();
        }

        _stock.Dispose();
        _listener.Dispose();
        _pairing.Dispose();
    }
}

/// <summary>What tests of pipes repeat.</summary>
internal static class PipeKit
{
    /// <summary>Reads until there are so many bytes, consuming them; fewer at the end.</summary>
    public static async Task<byte[]> ReadAsync(this ConnectionContext ours, int count)
    {
        ArrayBufferWriter<byte> all = new();
        while (all.WrittenCount < count)
        {
            ReadResult read = await ours.Transport.Input.ReadAsync().AsTask().InTime();
            ReadOnlySequence<byte> part = read.Buffer.Slice(0, Math.Min(read.Buffer.Length, count - all.WrittenCount));
            foreach (ReadOnlyMemory<byte> piece in part)
            {
                all.Write(piece.Span);
            }

            ours.Transport.Input.AdvanceTo(part.End);
            if (read.IsCompleted && part.Length == read.Buffer.Length)
            {
                break;
            }
        }

        return all.WrittenSpan.ToArray();
    }

    public static byte[] Noise(int bytes, int seed)
    {
        byte[] noise = new byte[bytes];
        new Random(seed).NextBytes(noise);
        return noise;
    }

    public static async Task<byte[]> ReceiveAllAsync(this Socket client)
    {
        using MemoryStream all = new();
        byte[] buffer = new byte[64 * 1024];
        while (await client.ReceiveAsync(buffer).InTime() is > 0 and int count)
        {
            all.Write(buffer, 0, count);
        }

        return all.ToArray();
    }

    public static async Task SendAllAsync(this Socket client, ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[await client.SendAsync(bytes).AsTask().InTime()..];
        }
    }

    public static async Task<Exception?> FailureOf<T>(ValueTask<T> task)
    {
        try
        {
            await task.AsTask().InTime();
            return null;
        }
        catch (Exception e)
        {
            return e;
        }
    }
}
