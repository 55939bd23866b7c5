using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Gateway.IntegrationTests.DataPlane.Http;

/// <summary>A connection whose bytes a test writes and reads itself. Text is Latin-1: a byte is a character.</summary>
internal sealed class RawConnection(Socket socket) : IDisposable
{
    private readonly byte[] _buffer = new byte[64 * 1024];
    private string _pending = "";

    public Socket Socket => socket;

    public static async Task<RawConnection> OpenAsync(int port)
    {
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(IPAddress.Loopback, port);
        return new RawConnection(socket);
    }

    public async Task SendAsync(string text)
    {
        for (ReadOnlyMemory<byte> rest = Encoding.Latin1.GetBytes(text); rest.Length > 0;)
        {
            rest = rest[await socket.SendAsync(rest)..];
        }
    }

    /// <summary>Everything up to and with <paramref name="end"/>.</summary>
    public async Task<string> ReadUntilAsync(string end)
    {
        int at;
        while ((at = _pending.IndexOf(end, StringComparison.Ordinal)) < 0)
        {
            Assert.True(await FillAsync(), $"the connection ended; so far: {_pending}");
        }

        return Take(at + end.Length);
    }

    public async Task<string> ReadAsync(int count)
    {
        while (_pending.Length < count)
        {
            Assert.True(await FillAsync(), $"the connection ended; so far: {_pending}");
        }

        return Take(count);
    }

    /// <summary>Everything until the other side closes.</summary>
    public async Task<string> ReadToEndAsync()
    {
        while (await FillAsync())
        {
        }

        return Take(_pending.Length);
    }

    public Task<string> ReadHeadAsync() => ReadUntilAsync("\r\n\r\n");

    /// <summary>Head and body of one message, by its framing; chunks stay as they are on the wire.</summary>
    public async Task<(string Head, string Body)> ReadMessageAsync(bool bodyless = false)
    {
        string head = await ReadHeadAsync();
        if (bodyless)
        {
            return (head, "");
        }

        if (Header(head, "Content-Length") is { } length)
        {
            return (head, await ReadAsync(int.Parse(length, CultureInfo.InvariantCulture)));
        }

        return Header(head, "Transfer-Encoding") is null ? (head, "") : (head, await ReadChunksAsync());
    }

    /// <summary>The value of the first line of that name, or null.</summary>
    public static string? Header(string head, string name) => Headers(head, name) is [string first, ..] ? first : null;

    public static IReadOnlyList<string> Headers(string head, string name) => [.. head.Split("\r\n").Skip(1)
        .Where(line => line.StartsWith(name + ":", StringComparison.OrdinalIgnoreCase))
        .Select(line => line[(name.Length + 1)..].Trim())];

    public static int Status(string head) => int.Parse(head.Split(' ')[1], CultureInfo.InvariantCulture);

    public void Dispose() => socket.Dispose();

    private async Task<string> ReadChunksAsync()
    {
        StringBuilder all = new();
        while (true)
        {
            string size = await ReadUntilAsync("\r\n");
            all.Append(size);
            int bytes = int.Parse(size.Split(';')[0].Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            if (bytes == 0)
            {
                string line;
                do
                {
                    line = await ReadUntilAsync("\r\n");
                    all.Append(line);
                }
                while (line.Length > 2);
                return all.ToString();
            }

            all.Append(await ReadAsync(bytes + 2));
        }
    }

    private string Take(int count)
    {
        string taken = _pending[..count];
        _pending = _pending[count..];
        return taken;
    }

    private async Task<bool> FillAsync()
    {
        using CancellationTokenSource deadline = new(EventuallyHttp.Deadline);
        int read = await socket.ReceiveAsync(_buffer.AsMemory(), deadline.Token);
        _pending += Encoding.Latin1.GetString(_buffer.AsSpan(0, read));
        return read > 0;
    }
}

/// <summary>An instance that does to each connection what a test says.</summary>
internal sealed class RawInstance : IAsyncDisposable
{
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly Func<RawConnection, Task> _behave;
    private readonly Task _accepting;
    private readonly CancellationTokenSource _stop = new();
    private int _accepted;

    public RawInstance(Func<RawConnection, Task> behave)
    {
        _behave = behave;
        _socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _socket.Listen(512);
        EndPoint = (IPEndPoint)_socket.LocalEndPoint!;
        _accepting = AcceptAsync();
    }

    public IPEndPoint EndPoint { get; }

    public int Accepted => Volatile.Read(ref _accepted);

    /// <summary>Answers every request on a connection with the same response.</summary>
    public static RawInstance Answering(string response) => new(async connection =>
    {
        while (true)
        {
            await connection.ReadMessageAsync();
            await connection.SendAsync(response);
        }
    });

    /// <summary>Answers every request with its own bytes, head and body, as text.</summary>
    public static RawInstance Echoing() => new(async connection =>
    {
        while (true)
        {
            (string head, string body) = await connection.ReadMessageAsync();
            string all = head + body;
            await connection.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {all.Length}\r\n\r\n{all}");
        }
    });

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _accepting;
        _socket.Dispose();
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                Socket socket = await _socket.AcceptAsync(_stop.Token);
                Interlocked.Increment(ref _accepted);
                _ = BehaveAsync(new RawConnection(socket));
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    private async Task BehaveAsync(RawConnection connection)
    {
        try
        {
            await _behave(connection);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException
            or Xunit.Sdk.FailException or Xunit.Sdk.TrueException)
        {
            // The gateway hung up: for an instance that is the usual end.
        }
        finally
        {
            connection.Dispose();
        }
    }
}
