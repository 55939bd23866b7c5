using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using System.Text.Unicode;
using Gateway.Catalog;

namespace Gateway.Discovery.Consul;

/// <summary>How to ask: at once (<see cref="Index"/> 0) or waiting for news after an index.</summary>
/// <param name="Index">The index known; 0 asks for an answer at once.</param>
/// <param name="Wait">Longest wait, of no meaning where <paramref name="Index"/> is 0.</param>
/// <param name="Consistent">Consul's default consistency even where <c>stale</c> is configured: the leader answers.</param>
internal readonly record struct ConsulQuery(ulong Index = 0, TimeSpan Wait = default, bool Consistent = false);

/// <summary>Who answers on an address.</summary>
/// <param name="IsGateway">It is an embedded catalog of ours (<c>Config.Gateway</c>).</param>
/// <param name="AdvertiseAddress">Address that it advertises, or null.</param>
internal sealed record ConsulSelf(bool IsGateway, string? AdvertiseAddress);

/// <summary>
/// The few requests that we make, typed. In: what to ask. Out: an answer or a failure, never an exception but cancellation.
/// Every request has a deadline of its own, so no hung socket can freeze a watch.
/// </summary>
internal sealed class ConsulClient : IDisposable
{
    /// <summary>Longest body taken.</summary>
    public const int BodyBytesMax = 32 * 1024 * 1024;

    private readonly ConsulOptions _options;
    private readonly TimeProvider _time;
    private readonly WatchTiming _timing;
    private readonly string _base;

    // Watches hold their connections for a minute; short calls must never queue behind them.
    private readonly HttpClient _watches;
    private readonly HttpClient _shortCalls;

    /// <summary>Makes a client.</summary>
    /// <exception cref="IOException">A TLS file cannot be read; <see cref="ConsulTransport.Check"/> tells before.</exception>
    public ConsulClient(ConsulOptions options, TimeProvider time, WatchTiming? timing = null)
    {
        _options = options;
        _time = time;
        _timing = timing ?? new WatchTiming();

        // Without user information: the address is shown.
        _base = options.Address
            .GetComponents(UriComponents.SchemeAndServer | UriComponents.Path, UriFormat.UriEscaped).TrimEnd('/');
        Token = new ConsulToken(options.TokenFile);
        _watches = ConsulTransport.CreateClient(options, _timing.ServiceWatchesMax + 8);
        _shortCalls = ConsulTransport.CreateClient(options, _timing.ParallelReads + 2);
    }

    /// <summary>Base address, for people.</summary>
    public string Address => _base;

    /// <summary>The token in use.</summary>
    public ConsulToken Token { get; }

    /// <summary><c>/v1/catalog/services</c>: all names with the union of their instances' tags.</summary>
    public Task<ConsulReply<Dictionary<string, List<string>>>> ReadCatalogAsync(ConsulQuery query, CancellationToken stop) =>
        SendAsync("/v1/catalog/services", null, query, Json(ConsulJson.Default.DictionaryStringListString), stop);

    /// <summary><c>/v1/health/service/NAME</c>, never <c>passing</c>: an instance that fails is a fact too.</summary>
    public Task<ConsulReply<List<WireEntry>>> ReadServiceAsync(string name, ConsulQuery query, CancellationToken stop) =>
        SendAsync($"/v1/health/service/{Uri.EscapeDataString(name)}", null, query, Json(ConsulJson.Default.ListWireEntry), stop);

    /// <summary>Where the state watch asks, for people.</summary>
    public string StatePlace => _base + "/v1/health/state/any";

    /// <summary><c>/v1/health/state/any</c>: every check of the datacenter, boiled down to what tells change.</summary>
    public Task<ConsulReply<CheckDigest>> ReadStateAsync(string? filter, ConsulQuery query, CancellationToken stop) =>
        SendAsync("/v1/health/state/any", filter, query, body => CheckDigest.Read(body.Span), stop);

    /// <summary>
    /// <c>/v1/internal/ui/services</c>: how many instances each service has, and where. Made for Consul's own pages, so it is
    /// only a hint, and one that may be missing.
    /// </summary>
    public Task<ConsulReply<List<WireSummary>>> ReadSummaryAsync(ConsulQuery query, CancellationToken stop) =>
        SendAsync("/v1/internal/ui/services", null, query, Json(ConsulJson.Default.ListWireSummary), stop);

    /// <summary><c>/v1/agent/self</c>: who answers here.</summary>
    public async Task<ConsulReply<ConsulSelf>> ReadSelfAsync(CancellationToken stop) =>
        await SendAsync(
            "/v1/agent/self",
            null,
            new ConsulQuery(Consistent: true),
            body => JsonSerializer.Deserialize(body.Span, ConsulJson.Default.WireSelf) is { Config: { } config } self
                ? new ConsulSelf(config.Gateway, config.AdvertiseAddr ?? self.Member?.Addr)
                : null,
            stop);

    /// <summary><c>/v1/status/leader</c>: the leader's address, empty where there is none.</summary>
    public Task<ConsulReply<string>> ReadLeaderAsync(CancellationToken stop) =>
        SendAsync("/v1/status/leader", null, new ConsulQuery(Consistent: true), Json(ConsulJson.Default.String), stop);

    /// <summary><c>/v1/health/service/NAME</c> with what its checks say, which is too much to hold for everybody.</summary>
    public Task<ConsulReply<List<WireVerdict>>> ReadVerdictsAsync(string name, CancellationToken stop) =>
        SendAsync($"/v1/health/service/{Uri.EscapeDataString(name)}", null, default, Json(ConsulJson.Default.ListWireVerdict), stop);

    /// <summary><c>/v1/kv/KEY</c>: one key; that there is none is an answer too.</summary>
    public Task<ConsulReply<ConsulKey>> ReadKeyAsync(string key, ConsulQuery query, CancellationToken stop) =>
        SendAsync(
            "/v1/kv/" + string.Join('/', key.Split('/').Select(Uri.EscapeDataString)),
            null,
            query,
            body => JsonSerializer.Deserialize(body.Span, ConsulJson.Default.ListWireKey) is [{ } one] ? new ConsulKey(true, one.Value ?? []) : null,
            stop,
            ConsulKey.Absent);

    /// <inheritdoc/>
    public void Dispose()
    {
        _watches.Dispose();
        _shortCalls.Dispose();
    }

    private static Func<ReadOnlyMemory<byte>, T?> Json<T>(JsonTypeInfo<T> type)
        where T : class => body => JsonSerializer.Deserialize(body.Span, type);

    private async Task<ConsulReply<T>> SendAsync<T>(
        string path, string? filter, ConsulQuery query, Func<ReadOnlyMemory<byte>, T?> parse, CancellationToken stop, T? absent = null)
        where T : class
    {
        ConsulReply<T> reply = new() { Place = _base + path };
        using HttpRequestMessage request = new(HttpMethod.Get, BuildUri(path, filter, query));
        if (Token.Current() is { } token)
        {
            // In a header: a query string ends in logs.
            request.Headers.TryAddWithoutValidation("X-Consul-Token", token);
        }

        // Consul adds up to wait/16 of its own jitter; the slack covers its rpc_hold_timeout of 7 s while it elects a leader.
        bool blocking = query.Index != 0;
        TimeSpan allowed = _timing.AnswerSlack + (blocking ? query.Wait * 17 / 16 : TimeSpan.Zero);
        using CancellationTokenSource deadline = new(allowed, _time);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, stop);
        try
        {
            using HttpResponseMessage response = await (blocking ? _watches : _shortCalls)
                .SendAsync(request, HttpCompletionOption.ResponseHeadersRead, either.Token);

            // The answer has begun: a body that only drips does not get another whole wait.
            deadline.CancelAfter(_timing.AnswerSlack);
            reply = WithHeaders(reply, response);
            if (response.StatusCode == HttpStatusCode.NotFound && absent is not null && reply.Index > 0)
            {
                // Consul's own 404 carries an index; that of some proxy on the way does not, and means nothing.
                return reply with { Value = absent };
            }

            if (response.StatusCode != HttpStatusCode.OK)
            {
                return reply with { Failure = await DescribeAsync(response, either.Token) };
            }

            return await ReadBodyAsync(reply, response, parse, either.Token);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            return reply with
            {
                Failure = new(ConsulFailureKind.Silent, $"no whole answer within {allowed.TotalSeconds:0.#} s"),
            };
        }
        catch (HttpRequestException e)
        {
            bool connected = e.HttpRequestError is not
                (HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError or HttpRequestError.SecureConnectionError);
            return reply with
            {
                Failure = new(connected ? ConsulFailureKind.Reset : ConsulFailureKind.Unreachable, (e.InnerException ?? e).Message),
            };
        }
        catch (IOException e)
        {
            return reply with { Failure = new(ConsulFailureKind.Reset, e.Message) };
        }
    }

    private Uri BuildUri(string path, string? filter, ConsulQuery query)
    {
        StringBuilder url = new StringBuilder(_base).Append(path);
        char separator = '?';
        Add("dc", _options.Datacenter);
        Add("filter", filter);
        if (_options.Stale && !query.Consistent)
        {
            url.Append(separator).Append("stale");
            separator = '&';
        }

        if (query.Index != 0)
        {
            Add("index", query.Index.ToString(CultureInfo.InvariantCulture));
            Add("wait", string.Create(CultureInfo.InvariantCulture, $"{(long)query.Wait.TotalMilliseconds}ms"));
        }

        // As it stands: the usual canonicalisation would turn a service called '..' into another path.
        return new Uri(url.ToString(), new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true });

        void Add(string key, string? value)
        {
            if (value is not null)
            {
                url.Append(separator).Append(key).Append('=').Append(Uri.EscapeDataString(value));
                separator = '&';
            }
        }
    }

    private static ConsulReply<T> WithHeaders<T>(ConsulReply<T> reply, HttpResponseMessage response)
        where T : class
    {
        return reply with
        {
            Index = ulong.TryParse(Header("X-Consul-Index"), CultureInfo.InvariantCulture, out ulong index) ? index : 0,
            KnownLeader = !string.Equals(Header("X-Consul-KnownLeader"), "false", StringComparison.OrdinalIgnoreCase),
            LastContact = TimeSpan.FromMilliseconds(
                uint.TryParse(Header("X-Consul-LastContact"), CultureInfo.InvariantCulture, out uint age) ? age : 0),
            Date = response.Headers.Date,
            Filtered = string.Equals(
                Header("X-Consul-Results-Filtered-By-ACLs"), "true", StringComparison.OrdinalIgnoreCase),
        };

        string? Header(string name) =>
            response.Headers.TryGetValues(name, out IEnumerable<string>? values) ? values.FirstOrDefault() : null;
    }

    private async Task<ConsulFailure> DescribeAsync(HttpResponseMessage response, CancellationToken stop)
    {
        ConsulFailureKind kind = response.StatusCode switch
        {
            HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden => ConsulFailureKind.Forbidden,
            HttpStatusCode.TooManyRequests => ConsulFailureKind.TooMany,
            _ => ConsulFailureKind.Status,
        };
        if (kind == ConsulFailureKind.Forbidden)
        {
            Token.Forget();
        }

        // Consul says in a line of text what is wrong; of a page of HTML the beginning will do.
        byte[] text = new byte[160];
        int length = await (await response.Content.ReadAsStreamAsync(stop)).ReadAtLeastAsync(text, text.Length, false, stop);
        string said = Encoding.UTF8.GetString(text, 0, length).ReplaceLineEndings(" ").Trim();
        return new ConsulFailure(kind, $"status {(int)response.StatusCode} {said}".TrimEnd());
    }

    [SuppressMessage("Design", "CA1031", Justification = "Whatever a body does to its parser, it is a bad answer.")]
    private static async Task<ConsulReply<T>> ReadBodyAsync<T>(
        ConsulReply<T> reply, HttpResponseMessage response, Func<ReadOnlyMemory<byte>, T?> parse, CancellationToken stop)
        where T : class
    {
        string tooLong = $"a body of more than {BodyBytesMax / 1024 / 1024} MiB";
        if (response.Content.Headers.ContentLength > BodyBytesMax)
        {
            return reply.Rejected(tooLong);
        }

        byte[] buffer = ArrayPool<byte>.Shared.Rent((int)(response.Content.Headers.ContentLength + 1 ?? 16 * 1024));
        try
        {
            Stream body = await response.Content.ReadAsStreamAsync(stop);
            int length = 0;
            while (await body.ReadAsync(buffer.AsMemory(length), stop) is > 0 and int read)
            {
                length += read;
                if (length > BodyBytesMax)
                {
                    return reply.Rejected(tooLong);
                }

                if (length == buffer.Length)
                {
                    byte[] larger = ArrayPool<byte>.Shared.Rent(buffer.Length * 2);
                    buffer.CopyTo(larger, 0);
                    ArrayPool<byte>.Shared.Return(buffer);
                    buffer = larger;
                }
            }

            if (length == 0)
            {
                return reply.Rejected("an empty body");
            }

            ReadOnlyMemory<byte> json = buffer.AsMemory(0, length);
            bool repaired = !Utf8.IsValid(json.Span);
            if (repaired)
            {
                // Decoding puts U+FFFD for every byte that is not UTF-8, so one bad name spoils only itself.
                json = Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(json.Span));
            }

            try
            {
                return parse(json) is { } value
                    ? reply with { Value = value, Repaired = repaired, Bytes = length }
                    : reply.Rejected("JSON without content");
            }
            catch (Exception e)
            {
                return reply.Rejected($"{Beginning(json.Span)}: {e.Message}");
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static string Beginning(ReadOnlySpan<byte> body) =>
        $"a body that begins '{Encoding.UTF8.GetString(body[..Math.Min(body.Length, 40)]).ReplaceLineEndings(" ")}'";
}
