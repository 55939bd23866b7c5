using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;

namespace Gateway.BlackBoxTests.Harness;

/// <summary>What happens to a request on its way to Consul. The default passes it on untouched.</summary>
internal sealed record Interference
{
    /// <summary>Answers this instead of Consul, with <see cref="Body"/> and <see cref="Headers"/>; 0: Consul answers.</summary>
    public int Status { get; init; }

    /// <summary>The body; null leaves Consul's.</summary>
    public string? Body { get; init; }

    /// <summary>Lines, each with its end, beside (and before) those of Consul.</summary>
    public string Headers { get; init; } = "";

    /// <summary>Never answers; the connection stays.</summary>
    public bool Hangs { get; init; }

    /// <summary>Half of Consul's answer, as if that were all of it.</summary>
    public bool Truncates { get; init; }

    /// <summary>Asks Consul for this path and query.</summary>
    public string? Instead { get; init; }
}

/// <summary>
/// Stands between Gateway and a real Consul: counts what is asked, and lets a test spoil some of it. Only GETs, as Gateway makes
/// no other requests.
/// </summary>
internal sealed class ConsulBetween : IDisposable
{
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly HttpClient onward;
    private readonly CancellationTokenSource ending = new();
    private readonly ConcurrentDictionary<Socket, bool> open = new();
    private readonly ConcurrentQueue<string> asked = new();
    private volatile CancellationTokenSource hearing = new();

    public ConsulBetween(ConsulProcess consul)
    {
        onward = new HttpClient(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false })
        {
            BaseAddress = new Uri(consul.Address),
            Timeout = Timeout.InfiniteTimeSpan,
        };
        listener.Start(512);
        _ = Accept();
    }

    public string Address => $"http://{listener.LocalEndpoint}";

    /// <summary>Decides by path and query; null passes it on.</summary>
    public Func<string, Interference?> Script { get; set; } = static _ => null;

    /// <summary>Paths and queries asked so far, in order.</summary>
    public string[] Asked => [.. asked];

    /// <summary>How many requests had a path that begins so.</summary>
    public int Count(string path) => asked.Count(one => one.StartsWith(path, StringComparison.Ordinal));

    /// <summary>Closes every connection: what waits for news is asked again at once.</summary>
    public void Break()
    {
        foreach (Socket socket in open.Keys)
        {
            socket.Dispose();
        }
    }

    /// <summary>Whatever waits for an answer now never gets one, and its connection stays open. Later requests are not affected.</summary>
    public void Deafen() => Interlocked.Exchange(ref hearing, new CancellationTokenSource()).Cancel();

    public void Dispose()
    {
        ending.Cancel();
        listener.Dispose();
        Break();
        onward.Dispose();
    }

    private async Task Accept()
    {
        try
        {
            while (true)
            {
                Socket socket = await listener.AcceptSocketAsync(ending.Token);
                open[socket] = true;
                _ = Serve(socket);
            }
        }
        catch (Exception end) when (end is OperationCanceledException or ObjectDisposedException or SocketException)
        {
            // Disposed.
        }
    }

    private async Task Serve(Socket socket)
    {
        try
        {
            while (await ReadHead(socket, ending.Token) is { } head)
            {
                // A peek ends with the client's next request, or with its departure, which ends the question to Consul too.
                using CancellationTokenSource gone = CancellationTokenSource.CreateLinkedTokenSource(ending.Token);
                Task<int> next = socket.ReceiveAsync(new byte[1], SocketFlags.Peek, ending.Token).AsTask();
                Task<byte[]> answer = Answer(head, gone.Token);
                if (await Task.WhenAny(next, answer) == next)
                {
                    await gone.CancelAsync();
                }

                await socket.SendAsync(await answer, ending.Token);
                if (await next == 0)
                {
                    return;
                }
            }
        }
        catch (Exception end) when (end is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // The client left, or the test ended.
        }
        finally
        {
            open.TryRemove(socket, out _);
            socket.Dispose();
        }
    }

    private async Task<byte[]> Answer(string[] head, CancellationToken gone)
    {
        CancellationToken heard = hearing.Token;
        string path = head[0].Split(' ')[1];
        asked.Enqueue(path);
        Interference what = Script(path) ?? new Interference();
        if (what.Hangs)
        {
            await Task.Delay(Timeout.Infinite, gone);
        }

        if (what.Status != 0)
        {
            return Bytes(what.Status, what.Headers, Encoding.UTF8.GetBytes(what.Body ?? ""));
        }

        using HttpRequestMessage request = new(HttpMethod.Get, what.Instead ?? path);
        foreach (string line in head[1..])
        {
            if (line.StartsWith("X-Consul-", StringComparison.OrdinalIgnoreCase))
            {
                request.Headers.TryAddWithoutValidation(line[..line.IndexOf(':')], line[(line.IndexOf(':') + 1)..].Trim());
            }
        }

        HttpResponseMessage response;
        try
        {
            response = await onward.SendAsync(request, gone);
        }
        catch (HttpRequestException)
        {
            return Bytes(502, "", []);   // Consul is away: neither is this an answer of it
        }

        using (response)
        {
            byte[] body = await response.Content.ReadAsByteArrayAsync(gone);
            if (heard.IsCancellationRequested)
            {
                await Task.Delay(Timeout.Infinite, gone);
            }

            StringBuilder headers = new(what.Headers);
            foreach ((string name, HeaderStringValues value) in response.Headers.NonValidated)
            {
                if (name.StartsWith("X-Consul-", StringComparison.OrdinalIgnoreCase)
                    && !what.Headers.Contains(name, StringComparison.OrdinalIgnoreCase))
                {
                    headers.Append($"{name}: {value}\r\n");
                }
            }

            headers.Append($"Content-Type: {response.Content.Headers.ContentType}\r\n");
            body = what.Body is null ? body : Encoding.UTF8.GetBytes(what.Body);
            return Bytes((int)response.StatusCode, headers.ToString(), what.Truncates ? body[..(body.Length / 2)] : body);
        }
    }

    private static byte[] Bytes(int status, string headers, byte[] body) =>
        [.. Encoding.Latin1.GetBytes($"HTTP/1.1 {status} Status\r\n{headers}Content-Length: {body.Length}\r\n\r\n"), .. body];

    private static async Task<string[]?> ReadHead(Socket socket, CancellationToken cancel)
    {
        StringBuilder head = new();
        byte[] buffer = new byte[4096];
        while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal))
        {
            int read = await socket.ReceiveAsync(buffer, SocketFlags.None, cancel);
            if (read == 0)
            {
                return null;
            }

            head.Append(Encoding.Latin1.GetString(buffer, 0, read));
        }

        return head.ToString().Split("\r\n", StringSplitOptions.RemoveEmptyEntries);
    }
}
