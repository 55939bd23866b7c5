using System.Buffers;
using System.Text.Json;
using System.Threading.Channels;

namespace Gateway.Observability;

/// <summary>
/// Takes access records off the request path and writes them as JSON lines. A full queue drops and counts: the log may fall
/// behind a slow disk, traffic may not.
/// </summary>
internal sealed class AccessLog : IAsyncDisposable
{
    private const int QueueLength = 16 * 1024;
    private readonly Channel<AccessRecord>? _queue;
    private readonly GatewayMetrics _metrics;
    private readonly Func<Stream> _open;
    private readonly Task _writer;
    private volatile bool _reopen;

    private AccessLog(GatewayMetrics metrics, Func<Stream>? open)
    {
        _metrics = metrics;
        _open = open ?? (() => Stream.Null);
        if (open is null)
        {
            _writer = Task.CompletedTask;
            return;
        }

        _queue = Channel.CreateBounded<AccessRecord>(new BoundedChannelOptions(QueueLength) { SingleReader = true });
        _writer = Task.Run(WriteAll);
    }

    /// <summary>A log that takes nothing.</summary>
    public static AccessLog Off(GatewayMetrics metrics) => new(metrics, null);

    /// <summary>JSON lines to a stream that <paramref name="open"/> gives, again after each <see cref="Reopen"/>.</summary>
    public static AccessLog Json(GatewayMetrics metrics, Func<Stream> open) => new(metrics, open);

    /// <summary>Takes one record; returns at once and never throws.</summary>
    public void Write(in AccessRecord record)
    {
        if (_queue is not null && !_queue.Writer.TryWrite(record))
        {
            _metrics.AccessRecordDropped();
        }
    }

    /// <summary>Opens the file again before the next line, for log rotation.</summary>
    public void Reopen() => _reopen = true;

    /// <summary>Writes what is queued and closes.</summary>
    public async ValueTask DisposeAsync()
    {
        _queue?.Writer.TryComplete();
        await _writer;
    }

    private async Task WriteAll()
    {
        Stream? stream = null;
        ArrayBufferWriter<byte> buffer = new(64 * 1024);
        await using Utf8JsonWriter json = new(buffer, new JsonWriterOptions { SkipValidation = true });
        ChannelReader<AccessRecord> queue = _queue!.Reader;
        while (await queue.WaitToReadAsync())
        {
            buffer.ResetWrittenCount();
            while (buffer.WrittenCount < 48 * 1024 && queue.TryRead(out AccessRecord record))
            {
                Render(json, record);
                buffer.Write("\n"u8);
            }

            try
            {
                if (_reopen || stream is null)
                {
                    _reopen = false;
                    await (stream?.DisposeAsync() ?? ValueTask.CompletedTask);
                    stream = _open();
                }

                await stream.WriteAsync(buffer.WrittenMemory);
                await stream.FlushAsync();
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or ObjectDisposedException)
            {
                // A full disk or a closed pipe must not end logging for good: these lines are lost and counted.
                _metrics.AccessRecordDropped();
                _reopen = true;
            }
        }

        await (stream?.DisposeAsync() ?? ValueTask.CompletedTask);
    }

    private static void Render(Utf8JsonWriter json, in AccessRecord record)
    {
        json.WriteStartObject();
        json.WriteString("time"u8, record.Started);
        json.WriteString("client"u8, record.Client?.ToString());
        json.WriteString("listener"u8, record.Listener);
        json.WriteString("service"u8, record.Service);
        json.WriteString("environment"u8, record.Environment);
        json.WriteString("destination"u8, record.Destination);
        json.WriteString("address"u8, record.DestinationAddress);
        json.WriteString("protocol"u8, record.Protocol);
        if (record.Protocol != "TCP")
        {
            json.WriteString("method"u8, record.Method);
            json.WriteString("host"u8, record.Host);
            json.WriteString("target"u8, record.Target);
            json.WriteNumber("status"u8, record.Status);
        }

        json.WriteString("reason"u8, record.Reason);
        json.WriteString("requestId"u8, record.RequestId);
        json.WriteNumber("bytesIn"u8, record.BytesIn);
        json.WriteNumber("bytesOut"u8, record.BytesOut);
        json.WriteNumber("retries"u8, record.Retries);
        json.WriteNumber("connectMs"u8, Math.Round(record.ConnectMs, 3));
        json.WriteNumber("responseMs"u8, Math.Round(record.ResponseMs, 3));
        json.WriteNumber("totalMs"u8, Math.Round(record.TotalMs, 3));
        json.WriteEndObject();
        json.Flush();
        json.Reset();
    }
}
