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

    // Who reads a pipe may have stopped reading it; the process ends all the same.
    private static readonly TimeSpan s_lastLines = TimeSpan.FromSeconds(2);

    private readonly Channel<AccessRecord> _queue =
        Channel.CreateBounded<AccessRecord>(new BoundedChannelOptions(QueueLength) { SingleReader = true });

    private readonly GatewayMetrics _metrics;
    private readonly TimeProvider _clock;
    private readonly Task _writer;

    // Written by Reopen, read by requests (off or not) and by the writer.
    private volatile Func<Stream>? _open;
    private volatile bool _reopen = true;

    // Written by the writer, read by anybody.
    private volatile string? _failure;

    private AccessLog(GatewayMetrics metrics, Func<Stream>? open, TimeProvider? clock)
    {
        (_metrics, _open, _clock) = (metrics, open, clock ?? TimeProvider.System);
        _writer = Task.Run(WriteAll);
    }

    /// <summary>Why lines can't be written at the moment, in words, or null.</summary>
    public string? Failure => _failure;

    /// <summary>Whether records are written, so that nobody needs to make one otherwise.</summary>
    public bool IsOn => _open is not null;

    /// <summary>A log that takes nothing.</summary>
    public static AccessLog Off(GatewayMetrics metrics) => new(metrics, null, null);

    /// <summary>JSON lines to a stream that <paramref name="open"/> gives, again after each <see cref="Reopen"/>.</summary>
    public static AccessLog Json(GatewayMetrics metrics, Func<Stream> open, TimeProvider? clock = null) => new(metrics, open, clock);

    /// <summary>Takes one record; returns at once and never throws.</summary>
    public void Write(in AccessRecord record)
    {
        if (_open is not null && !_queue.Writer.TryWrite(record))
        {
            _metrics.AccessRecordDropped();
        }
    }

    /// <summary>Opens what <paramref name="open"/> gives before the next line, for log rotation and reload; null: off from now on.</summary>
    public void Reopen(Func<Stream>? open)
    {
        _open = open;
        _reopen = true;
    }

    /// <summary>Writes what is queued and closes, within two seconds.</summary>
    public async ValueTask DisposeAsync()
    {
        _queue.Writer.TryComplete();
        try
        {
            await _writer.WaitAsync(s_lastLines, _clock);
        }
        catch (TimeoutException)
        {
            // Nobody reads: the last lines are lost, the end of the process is not.
        }
    }

    private async Task WriteAll()
    {
        // Opened before the first line, so that a path that can't be written shows at once.
        Stream? stream = await OpenedAsync(null);
        ArrayBufferWriter<byte> buffer = new(64 * 1024);
        await using Utf8JsonWriter json = new(buffer, new JsonWriterOptions { SkipValidation = true });
        ChannelReader<AccessRecord> queue = _queue.Reader;
        while (await queue.WaitToReadAsync())
        {
            buffer.ResetWrittenCount();
            int lines = 0;
            while (buffer.WrittenCount < 48 * 1024 && queue.TryRead(out AccessRecord record))
            {
                Render(json, record);
                buffer.Write("\n"u8);
                lines++;
            }

            stream = await OpenedAsync(stream);
            if (stream is null || !await WrittenAsync(stream, buffer.WrittenMemory))
            {
                // A full disk or a closed pipe must not end logging for good: these lines are lost and counted.
                _metrics.AccessRecordDropped(lines);
            }
        }

        await (stream?.DisposeAsync() ?? ValueTask.CompletedTask);
    }

    /// <summary>The stream to write to: the present one, a new one where that was asked for, or null where it can't be opened.</summary>
    private async Task<Stream?> OpenedAsync(Stream? present)
    {
        if (!_reopen)
        {
            return present;
        }

        _reopen = false;
        try
        {
            await (present?.DisposeAsync() ?? ValueTask.CompletedTask);
            Stream opened = (_open ?? (() => Stream.Null))();
            _failure = null;
            return opened;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            _failure = e.Message;
            _reopen = true;
            return null;
        }
    }

    private async Task<bool> WrittenAsync(Stream stream, ReadOnlyMemory<byte> lines)
    {
        try
        {
            await stream.WriteAsync(lines);
            await stream.FlushAsync();
            _failure = null;
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            _failure = e.Message;
            _reopen = true;
            return false;
        }
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
