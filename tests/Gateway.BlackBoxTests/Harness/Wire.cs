using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Gateway.BlackBoxTests.Harness;

/// <summary>One HTTP/1.1 answer as it came.</summary>
internal sealed record WireAnswer(int Status, IReadOnlyList<KeyValuePair<string, string>> Headers, byte[] Body, bool Reusable)
{
    public string Text => Encoding.UTF8.GetString(Body);

    /// <summary>The body as JSON; kept by the collector's grace, documents here are small.</summary>
    public JsonDocument Json => JsonDocument.Parse(Body);

    /// <summary>Who answered, by <c>X-Served-By</c>; null where Gateway answered itself.</summary>
    public string? ServedBy => Header("X-Served-By");

    /// <summary>Gateway's own reason code, or null.</summary>
    public string? Reason => Header("X-Gateway-Reason");

    public string? Header(string name) =>
        Headers.FirstOrDefault(pair => pair.Key.Equals(name, StringComparison.OrdinalIgnoreCase)).Value;

    /// <summary>The header lines that the instance received, from the test-server's echo.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Received()
    {
        using JsonDocument json = Json;
        return [.. json.RootElement.GetProperty("headers").EnumerateArray()
            .Select(static line => KeyValuePair.Create(line[0].GetString()!, line[1].GetString()!))];
    }

    /// <summary>Every value the instance received under a name, in order.</summary>
    public string[] Received(string name) =>
        [.. Received().Where(line => line.Key.Equals(name, StringComparison.OrdinalIgnoreCase)).Select(static line => line.Value)];
}

/// <summary>
/// An HTTP/1.1 client that does exactly what it is told: bytes go out as written, nothing is retried, pooled or canonicalized.
/// </summary>
internal sealed class Wire : IDisposable
{
    private readonly Socket socket;
    private readonly byte[] buffer = new byte[32 * 1024];
    private int from;
    private int to;

    private Wire(Socket socket) => this.socket = socket;

    public Socket Socket => socket;

    public static async Task<Wire> Connect(int port, string address = "127.0.0.1", CancellationToken cancel = default)
    {
        IPAddress ip = IPAddress.Parse(address);
        Socket connected = new(ip.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await connected.ConnectAsync(new IPEndPoint(ip, port), cancel);
            return new Wire(connected);
        }
        catch
        {
            connected.Dispose();
            throw;
        }
    }

    /// <summary>One GET on a connection of its own.</summary>
    public static async Task<WireAnswer> Get(
        int port, string path = "/", string? host = null, string address = "127.0.0.1", params string[] headers)
    {
        using CancellationTokenSource deadline = new(Eventually.Seconds(20));
        using Wire wire = await Connect(port, address, deadline.Token);
        return await wire.Exchange(Request("GET", path, host ?? Authority(address, port), [.. headers, "Connection: close"]), deadline.Token);
    }

    /// <summary>The Host of an address and port; IPv6 in brackets.</summary>
    public static string Authority(string address, int port) =>
        address.Contains(':', StringComparison.Ordinal) ? $"[{address}]:{port}" : $"{address}:{port}";

    /// <summary>Whether anything accepts connections there.</summary>
    public static async Task<bool> Accepts(int port, string address = "127.0.0.1")
    {
        try
        {
            using CancellationTokenSource deadline = new(Eventually.Seconds(2));
            using Wire wire = await Connect(port, address, deadline.Token);
            return true;
        }
        catch (Exception refused) when (refused is SocketException or OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>A request's head.</summary>
    public static string Request(string method, string path, string host, params string[] headers)
    {
        StringBuilder head = new($"{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
        foreach (string line in headers)
        {
            head.Append(line).Append("\r\n");
        }

        return head.Append("\r\n").ToString();
    }

    public Task Send(string text, CancellationToken cancel = default) => Send(Encoding.Latin1.GetBytes(text), cancel);

    public async Task Send(ReadOnlyMemory<byte> bytes, CancellationToken cancel = default)
    {
        while (bytes.Length > 0)
        {
            int sent = await socket.SendAsync(bytes, SocketFlags.None, cancel);
            bytes = bytes[sent..];
        }
    }

    public async Task<WireAnswer> Exchange(string request, CancellationToken cancel = default)
    {
        await Send(request, cancel);
        return await ReadAnswer(cancel: cancel);
    }

    /// <summary>The next final answer; interim ones (1xx but 101) are passed over.</summary>
    public async Task<WireAnswer> ReadAnswer(bool bodiless = false, CancellationToken cancel = default)
    {
        while (true)
        {
            (int status, List<KeyValuePair<string, string>> headers) = await ReadHead(cancel);
            if (status is >= 100 and < 200 and not 101)
            {
                continue;
            }

            string? length = Value(headers, "Content-Length");
            bool chunked = Value(headers, "Transfer-Encoding")?.Contains("chunked", StringComparison.OrdinalIgnoreCase) == true;
            bool close = Value(headers, "Connection")?.Contains("close", StringComparison.OrdinalIgnoreCase) == true;
            if (bodiless || status is 101 or 204 or 304)
            {
                return new WireAnswer(status, headers, [], !close);
            }

            using MemoryStream body = new();
            if (chunked)
            {
                await ReadChunks(body, cancel);
            }
            else if (length is not null)
            {
                await ReadExactly(body, long.Parse(length, CultureInfo.InvariantCulture), cancel);
            }
            else
            {
                close = true;
                await ReadToEnd(body, cancel);
            }

            return new WireAnswer(status, headers, body.ToArray(), !close);
        }
    }

    /// <summary>Status and header lines; the body is the caller's.</summary>
    public async Task<(int Status, List<KeyValuePair<string, string>> Headers)> ReadHead(CancellationToken cancel = default)
    {
        string first = await ReadLine(cancel) ?? throw new IOException("The connection ended before an answer.");
        string[] parts = first.Split(' ', 3);
        if (parts.Length < 2 || !parts[0].StartsWith("HTTP/1.", StringComparison.Ordinal))
        {
            throw new IOException($"Not an HTTP/1.x answer: {first}");
        }

        List<KeyValuePair<string, string>> headers = [];
        while (await ReadLine(cancel) is { } line)
        {
            if (line.Length == 0)
            {
                return (int.Parse(parts[1], CultureInfo.InvariantCulture), headers);
            }

            int colon = line.IndexOf(':', StringComparison.Ordinal);
            headers.Add(KeyValuePair.Create(line[..colon], line[(colon + 1)..].Trim()));
        }

        throw new IOException("The connection ended inside an answer's head.");
    }

    /// <summary>A line without its end; null at the end of the stream.</summary>
    public async Task<string?> ReadLine(CancellationToken cancel = default)
    {
        StringBuilder line = new();
        while (true)
        {
            if (from == to && !await Fill(cancel))
            {
                return line.Length == 0 ? null : line.ToString();
            }

            char next = (char)buffer[from++];
            if (next == '\n')
            {
                if (line.Length > 0 && line[^1] == '\r')
                {
                    line.Length--;
                }

                return line.ToString();
            }

            line.Append(next);
        }
    }

    /// <summary>What there is now, at least one byte; empty at the end of the stream.</summary>
    public async Task<byte[]> ReadSome(CancellationToken cancel = default)
    {
        if (from == to && !await Fill(cancel))
        {
            return [];
        }

        byte[] some = buffer[from..to];
        from = to;
        return some;
    }

    /// <summary>Everything up to the end of the stream.</summary>
    public async Task<byte[]> ReadAll(CancellationToken cancel = default)
    {
        using MemoryStream all = new();
        await ReadToEnd(all, cancel);
        return all.ToArray();
    }

    public async Task<byte[]> ReadBytes(int count, CancellationToken cancel = default)
    {
        using MemoryStream bytes = new();
        await ReadExactly(bytes, count, cancel);
        return bytes.ToArray();
    }

    public void Dispose() => socket.Dispose();

    private static string? Value(List<KeyValuePair<string, string>> headers, string name) =>
        headers.Find(pair => pair.Key.Equals(name, StringComparison.OrdinalIgnoreCase)).Value;

    private async Task ReadChunks(MemoryStream body, CancellationToken cancel)
    {
        while (true)
        {
            string size = await ReadLine(cancel) ?? throw new IOException("The connection ended between chunks.");
            long count = long.Parse(size.Split(';')[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            if (count > 0)
            {
                await ReadExactly(body, count, cancel);
                _ = await ReadLine(cancel);
                continue;
            }

            while (await ReadLine(cancel) is { Length: > 0 })
            {
                // trailers
            }

            return;
        }
    }

    private async Task ReadExactly(MemoryStream body, long count, CancellationToken cancel)
    {
        while (count > 0)
        {
            if (from == to && !await Fill(cancel))
            {
                throw new IOException($"The connection ended {count} bytes early.");
            }

            int take = (int)Math.Min(count, to - from);
            body.Write(buffer, from, take);
            from += take;
            count -= take;
        }
    }

    private async Task ReadToEnd(MemoryStream body, CancellationToken cancel)
    {
        while (from < to || await Fill(cancel))
        {
            body.Write(buffer, from, to - from);
            from = to;
        }
    }

    private async Task<bool> Fill(CancellationToken cancel)
    {
        from = 0;
        to = await socket.ReceiveAsync(buffer, SocketFlags.None, cancel);
        return to > 0;
    }
}
