using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Gateway.IntegrationTests.Discovery.Consul;

/// <summary>One request that came in.</summary>
internal sealed record FakeRequest(
    string Path, IReadOnlyDictionary<string, string> Query, IReadOnlyDictionary<string, string> Headers, int Connection)
{
    public ulong Index => Query.TryGetValue("index", out string? index) ? ulong.Parse(index, CultureInfo.InvariantCulture) : 0;

    /// <summary>Default consistency, as a read that confirms asks for.</summary>
    public bool OfLeader => !Query.ContainsKey("stale");
}

/// <summary>What goes out. The bytes are written as they are: a script may lie about their length.</summary>
internal sealed record FakeReply
{
    public int Status { get; init; } = 200;

    public byte[] Body { get; init; } = [];

    public string? Index { get; init; }

    public string Headers { get; init; } = "";

    /// <summary>Bytes promised beyond the body: the connection ends before they come.</summary>
    public int Missing { get; init; }

    /// <summary>One byte of the body per 20 ms.</summary>
    public bool Drips { get; init; }

    /// <summary>Neither an answer nor an end.</summary>
    public bool Hangs { get; init; }

    /// <summary>RST.</summary>
    public bool Resets { get; init; }

    public static FakeReply Text(int status, string body) => new() { Status = status, Body = Encoding.UTF8.GetBytes(body) };
}

/// <summary>
/// A Consul that misbehaves on demand. Without a script it is a sane one: catalog/services, health/service, health/state/any with
/// blocking queries over the services it was given.
/// </summary>
internal sealed class FakeConsul : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _gate = new();
    private readonly SortedDictionary<string, (string[] Tags, string[] Ids, string Status)> _services = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<int, Task> _connections = new();
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Func<FakeRequest, FakeReply?> _script = _ => null;
    private ulong _index = 10;
    private int _count;

    public FakeConsul()
    {
        _listener.Start(512);
        Address = new Uri($"http://{_listener.LocalEndpoint}");
        _ = AcceptAsync();
    }

    public Uri Address { get; }

    public ConcurrentQueue<FakeRequest> Requests { get; } = new();

    /// <summary>Called for every answer; null leaves it to the sane Consul. Setting it ends the waits of all queries.</summary>
    public Func<FakeRequest, FakeReply?> Script
    {
        get => _script;
        set
        {
            lock (_gate)
            {
                _script = value;
                Wake();
            }
        }
    }

    public int CountOf(string path) => Requests.Count(r => r.Path == path);

    /// <summary>Registers or changes a routed service.</summary>
    public void Set(string service, params string[] ids) => Set(service, ["routed"], "passing", ids);

    public void Set(string service, string[] tags, string status, params string[] ids)
    {
        lock (_gate)
        {
            _services[service] = (tags, ids, status);
            _index++;
            Wake();
        }
    }

    public void Remove(string service)
    {
        lock (_gate)
        {
            _services.Remove(service);
            _index++;
            Wake();
        }
    }

    /// <summary>A rebuilt server: the same services, counted from another index.</summary>
    public void ResetIndex(ulong index)
    {
        lock (_gate)
        {
            _index = index;
            Wake();
        }
    }

    /// <summary>What a sane Consul says now.</summary>
    public FakeReply Sane(FakeRequest request)
    {
        lock (_gate)
        {
            string index = _index.ToString(CultureInfo.InvariantCulture);
            const string Health = "/v1/health/service/";
            object? body = request.Path switch
            {
                "/v1/catalog/services" => new Dictionary<string, string[]>(
                    _services.Select(s => KeyValuePair.Create(s.Key, s.Value.Tags)).Append(new("consul", []))),
                "/v1/health/state/any" => _services.SelectMany(s => s.Value.Ids.Select(id => Check(s.Key, id, s.Value.Status))),
                _ when request.Path.StartsWith(Health, StringComparison.Ordinal) =>
                    _services.TryGetValue(Uri.UnescapeDataString(request.Path[Health.Length..]), out var s)
                        ? s.Ids.Select(id => Entry(Uri.UnescapeDataString(request.Path[Health.Length..]), id, s.Tags, s.Status))
                        : Array.Empty<object>(),
                _ => null,
            };
            return body is null
                ? FakeReply.Text(404, "")
                : new FakeReply { Body = JsonSerializer.SerializeToUtf8Bytes(body), Index = index };
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Stop();
        await Task.WhenAll(_connections.Values);
        _listener.Dispose();
    }

    private static object Check(string service, string id, string status) => new
    {
        Node = "n1",
        CheckID = $"service:{id}",
        Status = status,
        ServiceID = id,
        ServiceName = service,
        Output = "all {is} [well], \"said\" it",
        Definition = new { },
    };

    private static object Entry(string service, string id, string[] tags, string status) => new
    {
        Node = new { Node = "n1", Address = "10.0.0.1" },
        Service = new { ID = id, Service = service, Tags = tags, Address = "", Meta = (object?)null, Port = 80, CreateIndex = 1 },
        Checks = new[] { Check(service, id, status) },
    };

    private void Wake() => Interlocked.Exchange(
        ref _changed, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).SetResult();

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                Socket socket = await _listener.AcceptSocketAsync(_stop.Token);
                int number = Interlocked.Increment(ref _count);
                _connections[number] = Task.Run(() => ServeAsync(socket, number));
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Disposed.
        }
    }

    private async Task ServeAsync(Socket socket, int number)
    {
        using Socket own = socket;
        try
        {
            await using NetworkStream stream = new(socket);
            using StreamReader reader = new(stream, Encoding.ASCII);
            while (await ReadRequestAsync(reader, number) is { } request)
            {
                Requests.Enqueue(request);
                FakeReply reply = await AnswerAsync(request);
                if (reply.Resets)
                {
                    socket.LingerState = new LingerOption(true, 0);
                    return;
                }

                if (reply.Hangs)
                {
                    // Until the client gives up.
                    await socket.ReceiveAsync(new byte[1], _stop.Token);
                    return;
                }

                await WriteAsync(stream, reply);
                if (reply.Missing > 0)
                {
                    return;
                }
            }
        }
        catch (Exception e) when (e is IOException or SocketException or OperationCanceledException)
        {
            // The client left, or the test ended.
        }
    }

    private async Task<FakeReply> AnswerAsync(FakeRequest request)
    {
        TimeSpan wait = request.Query.TryGetValue("wait", out string? ms)
            ? TimeSpan.FromMilliseconds(double.Parse(ms.Replace("ms", "", StringComparison.Ordinal), CultureInfo.InvariantCulture))
            : TimeSpan.Zero;
        Task over = Task.Delay(wait, _stop.Token);
        while (true)
        {
            Task changed = Volatile.Read(ref _changed).Task;
            if (Script(request) is { } scripted)
            {
                return scripted;
            }

            // As Consul: an index that is not older than ours waits, also one of the future.
            if (request.Index < _index || over.IsCompleted)
            {
                return Sane(request);
            }

            await Task.WhenAny(changed, over);
            _stop.Token.ThrowIfCancellationRequested();
        }
    }

    private static async Task<FakeRequest?> ReadRequestAsync(StreamReader reader, int number)
    {
        if (await reader.ReadLineAsync() is not { } line)
        {
            return null;
        }

        Dictionary<string, string> headers = new(StringComparer.OrdinalIgnoreCase);
        while (await reader.ReadLineAsync() is { Length: > 0 } header)
        {
            headers[header[..header.IndexOf(':')]] = header[(header.IndexOf(':') + 1)..].Trim();
        }

        string[] target = line.Split(' ')[1].Split('?', 2);
        Dictionary<string, string> query = new(StringComparer.Ordinal);
        foreach (string pair in target.Skip(1).SelectMany(q => q.Split('&')))
        {
            string[] parts = pair.Split('=', 2);
            query[parts[0]] = parts.Length > 1 ? Uri.UnescapeDataString(parts[1]) : "";
        }

        return new FakeRequest(target[0], query, headers, number);
    }

    private async Task WriteAsync(NetworkStream stream, FakeReply reply)
    {
        string head = $"HTTP/1.1 {reply.Status} X\r\nContent-Length: {reply.Body.Length + reply.Missing}\r\n"
            + (reply.Index is null ? "" : $"X-Consul-Index: {reply.Index}\r\n") + reply.Headers + "\r\n";
        await stream.WriteAsync(Encoding.ASCII.GetBytes(head), _stop.Token);
        if (!reply.Drips)
        {
            await stream.WriteAsync(reply.Body, _stop.Token);
            return;
        }

        for (int i = 0; i < reply.Body.Length; i++)
        {
            await stream.WriteAsync(reply.Body.AsMemory(i, 1), _stop.Token);
            await Task.Delay(20, _stop.Token);
        }
    }
}
