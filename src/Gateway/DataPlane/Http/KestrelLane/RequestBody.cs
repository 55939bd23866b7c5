using System.Buffers;
using System.Globalization;
using System.Net;
using System.Text;

namespace Gateway.DataPlane.Http.KestrelLane;

/// <summary>Puts our own content between YARP's and SocketsHttpHandler, which see each other through it.</summary>
internal sealed class BodyHandler(HttpMessageInvoker sockets) : HttpMessageHandler
{
    /// <summary>Where a request without a body carries its content headers.</summary>
    public static readonly HttpRequestOptionsKey<HttpContent> Bodyless = new("gateway.bodyless");

    protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        if (request.Content is { } content)
        {
            return SendBodyAsync(request, content, cancellationToken);
        }

        request.Content = request.Options.TryGetValue(Bodyless, out HttpContent? bodyless) ? bodyless : null;
        return sockets.SendAsync(request, cancellationToken);
    }

    private Task<HttpResponseMessage> SendBodyAsync(HttpRequestMessage request, HttpContent content, CancellationToken cancel)
    {
        Exchange exchange = request.Options.TryGetValue(Exchange.Key, out Exchange? found)
            ? found
            : throw new InvalidOperationException("a request without an exchange");
        RequestBody body = new(content, request.Version.Major < 2, exchange);
        exchange.RequestBody = body;
        request.Content = body;
        return sockets.SendAsync(request, cancel);
    }
}

/// <summary>Carries the content headers of a request without a body, for example a GET with a Content-Type.</summary>
internal sealed class BodylessContent : HttpContent
{
    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => Task.CompletedTask;

    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return true;
    }
}

/// <summary>
/// A request's body on its way client → destination: what YARP's content copies, sent on without being held back. Should the
/// instance answer before the body is sent, the body leaves SocketsHttpHandler and is sent to the connection directly, with the
/// same framing, while SocketsHttpHandler - told that the body is complete - reads the answer.
/// </summary>
internal sealed class RequestBody : HttpContent
{
    // What SocketsHttpHandler is fed in place of the rest of a detached body of known length; it never reaches the socket.
    private static readonly byte[] Filler = new byte[1024 * 1024];

    private static readonly byte[] s_lastChunk = "0\r\n\r\n"u8.ToArray();

    private readonly HttpContent _inner;
    private readonly bool _isHttp1;
    private readonly Exchange _exchange;
    private readonly TimeSpan _patience;
    private readonly TimeProvider _clock;
    private readonly Lock _gate = new();

    // Under _gate.
    private bool _detached;
    private Task _writing = Task.CompletedTask;
    private bool _sent;
    private bool _answerRead;

    public RequestBody(HttpContent inner, bool isHttp1, Exchange exchange)
    {
        (_inner, _isHttp1, _exchange) = (inner, isHttp1, exchange);
        (_patience, _clock) = (exchange.Cluster!.Timeouts.Response, exchange.Clock);
        foreach ((string name, System.Net.Http.Headers.HeaderStringValues values) in inner.Headers.NonValidated)
        {
            Headers.TryAddWithoutValidation(name, values);
        }
    }

    /// <summary>The connection it is sent to. Set by that connection when the head is flushed; null on HTTP/2.</summary>
    public InstanceStream? Connection { get; set; }

    /// <summary>Whether the whole body has gone.</summary>
    public bool IsSent
    {
        get
        {
            lock (_gate)
            {
                return _sent;
            }
        }
    }

    /// <summary>The answer is read to its end. A connection whose body was detached has served its last request.</summary>
    public void AnswerRead()
    {
        bool close;
        lock (_gate)
        {
            _answerRead = true;
            close = _detached && _sent;
        }

        if (close)
        {
            Connection!.Dispose();
        }
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(
        Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        // 1. Copy. Small bodies that arrived with their head are through at once.
        Feed feed = new(this, stream);
        Task copy = _inner.CopyToAsync(feed, context, cancellationToken);
        if (copy.IsCompleted || Connection is not { } connection)
        {
            await copy;
        }
        else
        {
            // 2. Copy until the end, or until the instance answers.
            await Task.WhenAny(copy, connection.AnswerBeginsAsync());
            if (!copy.IsCompleted)
            {
                await DetachAsync(connection, feed, stream, copy, cancellationToken);
                return;
            }

            await copy;
        }

        lock (_gate)
        {
            _sent = true;
        }

        Connection?.BodyEnded();
    }

    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _inner.Dispose();
        }

        base.Dispose(disposing);
    }

    private async Task DetachAsync(
        InstanceStream connection, Feed feed, Stream stream, Task copy, CancellationToken cancel)
    {
        // 3. Let go of a write that waits for the instance, and let the copy go on beside SocketsHttpHandler. What that write
        //    still hands down belongs to the body and is sent before anything else.
        connection.BeginQueueing();
        Task writing;
        lock (_gate)
        {
            _detached = true;
            writing = _writing;
        }

        await writing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        long rest = Headers.ContentLength is { } length ? length - feed.Passed : 0;
        connection.BeginSwallowing(Headers.ContentLength is null ? s_lastChunk.Length : rest);
        _ = FinishAsync(connection, copy);

        // 4. A body of known length must look complete to SocketsHttpHandler. Memory passes by, nothing is sent.
        while (rest > 0)
        {
            int now = (int)Math.Min(rest, Filler.Length);
            await stream.WriteAsync(Filler.AsMemory(0, now), cancel);
            rest -= now;
        }
    }

    // Beside SocketsHttpHandler: the end of a detached body.
    private async Task FinishAsync(InstanceStream connection, Task copy)
    {
        bool whole = false;
        try
        {
            await copy;
            if (Headers.ContentLength is null)
            {
                using CancellationTokenSource patience = new(_patience, _clock);
                await connection.SendAsync(s_lastChunk, patience.Token);
            }

            whole = true;
        }
        catch (Exception)
        {
            // The client left, or the instance reads no more. YARP's content has told YARP already.
        }

        bool close;
        lock (_gate)
        {
            _sent = true;
            close = _answerRead;
        }

        // A body cut short must not look complete, and the connection is of no further use.
        connection.EndUpload(close || !whole);
    }

    private static async Task PassAsync(Stream stream, ReadOnlyMemory<byte> buffer, CancellationToken cancel)
    {
        // SocketsHttpHandler collects small writes; a client that streams slowly would wait for a full buffer.
        await stream.WriteAsync(buffer, cancel);
        await stream.FlushAsync(cancel);
    }

    private async ValueTask SendDetachedAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancel)
    {
        if (Headers.ContentLength is not null)
        {
            await Connection!.SendAsync(buffer, cancel);
            return;
        }

        // RFC 9112 §7.1: size in hex, line end, bytes, line end.
        byte[] chunk = ArrayPool<byte>.Shared.Rent(buffer.Length + 16);
        try
        {
            int head = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{buffer.Length:X}\r\n"), chunk);
            buffer.CopyTo(chunk.AsMemory(head));
            "\r\n"u8.CopyTo(chunk.AsSpan(head + buffer.Length));
            await Connection!.SendAsync(chunk.AsMemory(0, head + buffer.Length + 2), cancel);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(chunk);
        }
    }

    /// <summary>What YARP's content writes to.</summary>
    private sealed class Feed(RequestBody body, Stream stream) : BodyStream
    {
        private bool _flushed;

        /// <summary>Bytes given to SocketsHttpHandler.</summary>
        public long Passed { get; private set; }

        public override bool CanWrite => true;

        public override async Task FlushAsync(CancellationToken cancellationToken)
        {
            if (!_flushed && body._isHttp1)
            {
                _flushed = true;
                await InstanceStream.FlushHead(stream, body, cancellationToken);
            }
            else if (!body._detached)
            {
                await stream.FlushAsync(cancellationToken);
            }
        }

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (buffer.IsEmpty)
            {
                return;
            }

            body._exchange.CountIn(buffer.Length);
            Task? pass = null;
            lock (body._gate)
            {
                if (!body._detached)
                {
                    Passed += buffer.Length;
                    body._writing = pass = PassAsync(stream, buffer, cancellationToken);
                }
            }

            if (pass is not null)
            {
                await pass;
            }
            else
            {
                await body.SendDetachedAsync(buffer, cancellationToken);
            }
        }
    }
}
