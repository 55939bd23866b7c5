using System.Net.Http.Headers;
using System.Net.Sockets;

namespace Gateway.Discovery.EmbeddedCatalog;

/// <summary>
/// Runs the checks: TTL deadlines, HTTP and TCP probes, removal of services that stay critical. One queue of due times and one
/// timer for all of them, so ten thousand TTL checks are ten thousand entries and no task. What it finds goes to the store.
/// </summary>
internal sealed class CheckRunner : IDisposable
{
    private const int ProbesMax = 64;
    private const int OutputBytesMax = 4096;
    private static readonly TimeSpan ReapInterval = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan FirstProbeMax = TimeSpan.FromMilliseconds(250);

    private readonly EmbeddedCatalogStore _store;
    private readonly TimeProvider _clock;
    private readonly Action<string> _reaped;
    private readonly Lock _lock = new();
    private readonly PriorityQueue<(string Id, CheckDefinition? Definition), DateTimeOffset> _due = new();
    private readonly Dictionary<string, CheckDefinition> _queued = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _probes = new(ProbesMax, ProbesMax);
    private readonly CancellationTokenSource _stop = new();
    private readonly ITimer _timer;
    private readonly Lazy<HttpClient> _client = new(() => MakeClient(verify: true));
    private readonly Lazy<HttpClient> _trustingClient = new(() => MakeClient(verify: false));
    private bool _stopped;

    /// <param name="store">Where checks come from and results go.</param>
    /// <param name="clock">Deadlines and intervals.</param>
    /// <param name="reaped">Told the id of each service that was critical for too long.</param>
    public CheckRunner(EmbeddedCatalogStore store, TimeProvider clock, Action<string> reaped)
    {
        _store = store;
        _clock = clock;
        _reaped = reaped;
        _timer = clock.CreateTimer(_ => RunDue(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Takes up the checks that are there; probes spread over their interval, as after every restart.</summary>
    public void Start()
    {
        foreach (CheckRecord check in _store.Read(state => state.Checks.ToArray()))
        {
            Follow(check, check.Definition.Interval);
        }

        lock (_lock)
        {
            _due.Enqueue(("", null), _clock.GetUtcNow() + ReapInterval);
            SetTimer();
        }
    }

    /// <summary>Looks at a check that came, changed, went or was heard of.</summary>
    public void Look(string checkId)
    {
        if (_store.Read(state => state.FindCheck(checkId)) is { } check)
        {
            Follow(check, FirstProbeMax);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_lock)
        {
            _stopped = true;
        }

        _timer.Dispose();
        _stop.Cancel();
        if (_client.IsValueCreated)
        {
            _client.Value.Dispose();
        }

        if (_trustingClient.IsValueCreated)
        {
            _trustingClient.Value.Dispose();
        }
    }

    private static HttpClient MakeClient(bool verify)
    {
        // A probe asks for a new connection: a kept one would answer for a program that accepts no more.
        SocketsHttpHandler handler = new()
        {
            UseProxy = false,
            UseCookies = false,
            PooledConnectionLifetime = TimeSpan.Zero,
            MaxAutomaticRedirections = 10,
        };
        if (!verify)
        {
#pragma warning disable CA5359 // The registration says TLSSkipVerify: a probe asks whether it lives, not who it is.
            handler.SslOptions.RemoteCertificateValidationCallback = (_, _, _, _) => true;
#pragma warning restore CA5359
        }

        return new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
    }

    private void Follow(CheckRecord check, TimeSpan stagger)
    {
        CheckDefinition definition = check.Definition;
        DateTimeOffset due;
        switch (definition.Kind)
        {
            case CheckKind.Ttl when check.Deadline is { } deadline:
                due = deadline;
                break;
            case CheckKind.Http or CheckKind.Tcp:
                TimeSpan within = stagger < definition.Interval ? stagger : definition.Interval;
                due = _clock.GetUtcNow() + (within * Random.Shared.NextDouble());
                break;
            default:
                return;
        }

        lock (_lock)
        {
            // The same check is queued once; an entry of a replaced one finds that out when it is due.
            if (_queued.TryGetValue(definition.Id, out CheckDefinition? queued) && queued == definition)
            {
                return;
            }

            _queued[definition.Id] = definition;
            _due.Enqueue((definition.Id, definition), due);
            SetTimer();
        }
    }

    private void RunDue()
    {
        bool reap = false;
        List<CheckDefinition> deadlines = [];
        List<CheckDefinition> probes = [];
        lock (_lock)
        {
            if (_stopped)
            {
                return;
            }

            DateTimeOffset now = _clock.GetUtcNow();
            while (_due.TryPeek(out (string Id, CheckDefinition? Definition) next, out DateTimeOffset at) && at <= now)
            {
                _due.Dequeue();
                if (next.Definition is null)
                {
                    reap = true;
                    _due.Enqueue(next, now + ReapInterval);
                }
                else if (_queued.TryGetValue(next.Id, out CheckDefinition? queued) && ReferenceEquals(queued, next.Definition))
                {
                    (next.Definition.Kind == CheckKind.Ttl ? deadlines : probes).Add(next.Definition);
                }
            }

            SetTimer();
        }

        foreach (CheckDefinition definition in deadlines)
        {
            // Heard of meanwhile: it has a later deadline. Gone or expired: it leaves the queue.
            Again(definition, _store.Expire(definition.Id));
        }

        foreach (CheckDefinition definition in probes)
        {
            _ = Probe(definition);
        }

        if (reap)
        {
            foreach (string id in _store.Reap())
            {
                _reaped(id);
            }
        }
    }

    private void Again(CheckDefinition definition, DateTimeOffset? due)
    {
        lock (_lock)
        {
            if (!_queued.TryGetValue(definition.Id, out CheckDefinition? queued) || !ReferenceEquals(queued, definition))
            {
                return;
            }

            if (due is { } at && !_stopped)
            {
                _due.Enqueue((definition.Id, definition), at);
                SetTimer();
                return;
            }

            _queued.Remove(definition.Id);
        }

        // Between "expired" and "left the queue" it may have been heard of, and that call found it queued.
        if (!_stopped)
        {
            Look(definition.Id);
        }
    }

    private void SetTimer()
    {
        if (!_stopped && _due.TryPeek(out _, out DateTimeOffset at))
        {
            TimeSpan wait = at - _clock.GetUtcNow();
            _timer.Change(wait > TimeSpan.Zero ? wait : TimeSpan.Zero, Timeout.InfiniteTimeSpan);
        }
    }

    private async Task Probe(CheckDefinition definition)
    {
        CheckRecord? check = _store.Read(state => state.FindCheck(definition.Id));
        if (check is null || check.Definition != definition)
        {
            Again(definition, null);
            return;
        }

        try
        {
            await _probes.WaitAsync(_stop.Token);
            try
            {
                using CancellationTokenSource timeout = new(definition.Timeout, _clock);
                using CancellationTokenSource either =
                    CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, _stop.Token);
                (CheckStatus status, string output) = definition.Kind == CheckKind.Http
                    ? await ProbeHttp(definition, either.Token)
                    : await ProbeTcp(definition, either.Token);
                if (!_stop.IsCancellationRequested)
                {
                    _store.Probed(definition, status, output);
                }
            }
            finally
            {
                _probes.Release();
            }
        }
        catch (OperationCanceledException)
        {
            return;
        }

        Again(definition, _clock.GetUtcNow() + definition.Interval);
    }

    /// <summary>Consul: 2xx passes, 429 warns, everything else is critical.</summary>
    private async Task<(CheckStatus Status, string Output)> ProbeHttp(CheckDefinition definition, CancellationToken stop)
    {
        string method = definition.Method.Length == 0 ? "GET" : definition.Method;
        try
        {
            if (!Uri.TryCreate(definition.Target, UriKind.Absolute, out Uri? url) || url.Scheme is not ("http" or "https"))
            {
                return (CheckStatus.Critical, $"'{definition.Target}' is no http:// or https:// URL");
            }

            using HttpRequestMessage request = new(new HttpMethod(method), url);
            if (definition.Body.Length > 0)
            {
                request.Content = new StringContent(definition.Body);
                request.Content.Headers.Clear();
            }

            request.Headers.TryAddWithoutValidation("User-Agent", "Consul Health Check");
            request.Headers.TryAddWithoutValidation("Accept", "text/plain, text/*, */*");
            foreach (IGrouping<string, string> header in definition.Headers
                .GroupBy(h => h.Key, h => h.Value, StringComparer.OrdinalIgnoreCase))
            {
                request.Headers.Remove(header.Key);
                HttpHeaders headers = request.Headers.TryAddWithoutValidation(header.Key, header) ? request.Headers
                    : (request.Content ??= new ByteArrayContent([])).Headers;
                headers.TryAddWithoutValidation(header.Key, header);
            }

            HttpClient client = definition.TlsSkipVerify ? _trustingClient.Value : _client.Value;
            using HttpResponseMessage response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop);
            string body = await ReadSome(response, stop);
            int code = (int)response.StatusCode;
            string output = $"HTTP {method} {definition.Target}: {code} {response.ReasonPhrase} Output: {body}";
            CheckStatus status = code is >= 200 and <= 299 ? CheckStatus.Passing
                : code == 429 ? CheckStatus.Warning : CheckStatus.Critical;
            return (status, output);
        }
        catch (OperationCanceledException)
        {
            return (
                CheckStatus.Critical, $"{method} {definition.Target}: no answer within {GoDuration.Format(definition.Timeout)}");
        }
        catch (Exception failure) when (failure is HttpRequestException or IOException or ArgumentException or FormatException
            or InvalidOperationException or NotSupportedException)
        {
            return (CheckStatus.Critical, $"{method} {definition.Target}: {failure.Message}");
        }
    }

    private static async Task<string> ReadSome(HttpResponseMessage response, CancellationToken stop)
    {
        await using Stream stream = await response.Content.ReadAsStreamAsync(stop);
        byte[] buffer = new byte[OutputBytesMax];
        int length = await stream.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, stop);
        return System.Text.Encoding.UTF8.GetString(buffer, 0, length);
    }

    private static async Task<(CheckStatus Status, string Output)> ProbeTcp(CheckDefinition definition, CancellationToken stop)
    {
        string target = definition.Target;
        int colon = target.LastIndexOf(':');
        if (colon < 0 || !int.TryParse(target.AsSpan(colon + 1), out int port) || port is < 1 or > 65535)
        {
            return (CheckStatus.Critical, $"dial tcp: '{target}' is no ADDRESS:PORT");
        }

        try
        {
            using TcpClient client = new();
            await client.ConnectAsync(target[..colon].Trim('[', ']'), port, stop);
            return (CheckStatus.Passing, $"TCP connect {target}: Success");
        }
        catch (OperationCanceledException)
        {
            return (CheckStatus.Critical, $"dial tcp {target}: i/o timeout");
        }
        catch (SocketException failure)
        {
            string why = failure.SocketErrorCode == SocketError.ConnectionRefused ? "connection refused" : failure.Message;
            return (CheckStatus.Critical, $"dial tcp {target}: connect: {why}");
        }
    }
}
