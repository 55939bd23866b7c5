using System.Net;
using System.Text;
using System.Text.Json;
using Gateway.Observability;

namespace Gateway.Tests.Observability;

public sealed class AccessLogTests
{
    [Fact]
    public async Task Records_become_one_json_object_a_line_in_their_order()
    {
        using GatewayMetrics metrics = new();
        KeptStream stream = new();
        AccessLog log = AccessLog.Json(metrics, () => stream);
        for (int i = 0; i < 1000; i++)
        {
            log.Write(new AccessRecord
            {
                Client = new IPEndPoint(IPAddress.Loopback, 1),
                Listener = ":3000",
                Service = "a\"b",
                Environment = "production",
                Destination = "n/1",
                DestinationAddress = "10.0.0.1:80",
                Protocol = "HTTP/1.1",
                Method = "GET",
                Host = "x",
                Target = "/",
                Status = i,
                Reason = "",
                RequestId = "",
            });
        }

        await log.DisposeAsync();

        string[] lines = Encoding.UTF8.GetString(stream.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(1000, lines.Length);
        Assert.Equal(Enumerable.Range(0, 1000), lines.Select(l => JsonDocument.Parse(l).RootElement.GetProperty("status").GetInt32()));
        Assert.Equal("a\"b", JsonDocument.Parse(lines[0]).RootElement.GetProperty("service").GetString());
    }

    [Fact]
    public async Task A_broken_stream_is_opened_again_and_never_throws()
    {
        using GatewayMetrics metrics = new();
        KeptStream good = new();
        int opened = 0;
        AccessLog log = AccessLog.Json(metrics, () => opened++ == 0 ? throw new IOException("disk") : good);
        log.Write(new AccessRecord { Protocol = "TCP" });
        while (Volatile.Read(ref opened) == 0)
        {
            await Task.Yield();
        }

        log.Write(new AccessRecord { Protocol = "TCP" });
        await log.DisposeAsync();

        Assert.NotEmpty(good.ToArray());
    }

    [Fact]
    public async Task A_log_that_is_off_takes_records_and_writes_nothing()
    {
        using GatewayMetrics metrics = new();
        AccessLog log = AccessLog.Off(metrics);
        log.Write(new AccessRecord());
        await log.DisposeAsync();
    }

    [Fact]
    public async Task A_log_that_cannot_be_opened_says_why_until_it_can()
    {
        using GatewayMetrics metrics = new();
        AccessLog log = AccessLog.Json(metrics, () => throw new IOException("no such directory"));
        await UntilAsync(() => log.Failure is not null);
        Assert.Equal("no such directory", log.Failure);

        KeptStream good = new();
        log.Reopen(() => good);
        log.Write(new AccessRecord { Protocol = "TCP" });
        await log.DisposeAsync();
        Assert.Null(log.Failure);
        Assert.NotEmpty(good.ToArray());
    }

    [Fact]
    public async Task A_reload_moves_it_elsewhere_turns_it_off_and_on()
    {
        using GatewayMetrics metrics = new();
        KeptStream first = new(), second = new(), third = new();
        AccessLog log = AccessLog.Json(metrics, () => first);
        log.Write(new AccessRecord { Protocol = "TCP" });
        await UntilAsync(() => first.ToArray().Length > 0);
        int written = first.ToArray().Length;

        log.Reopen(() => second);
        log.Write(new AccessRecord { Protocol = "TCP" });
        await UntilAsync(() => second.ToArray().Length > 0);
        log.Reopen(null);
        log.Write(new AccessRecord { Protocol = "TCP" });
        log.Reopen(() => third);
        log.Write(new AccessRecord { Protocol = "TCP" });
        await log.DisposeAsync();

        Assert.Equal([written, written, written], [first.ToArray().Length, second.ToArray().Length, third.ToArray().Length]);
    }

    [Fact]
    public async Task A_pipe_that_nobody_reads_does_not_keep_the_process_from_ending()
    {
        using GatewayMetrics metrics = new();
        using StuckStream stuck = new();
        FakeClock clock = new();
        AccessLog log = AccessLog.Json(metrics, () => stuck, clock);
        log.Write(new AccessRecord { Protocol = "TCP" });
        await stuck.Reached.Task;

        Task end = log.DisposeAsync().AsTask();
        Assert.False(end.IsCompleted);
        clock.Advance(TimeSpan.FromSeconds(2));
        await end.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        while (!condition())
        {
            TestContext.Current.CancellationToken.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }

    private sealed class KeptStream : MemoryStream
    {
    }

    private sealed class StuckStream : MemoryStream
    {
        public TaskCompletionSource Reached { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            Reached.TrySetResult();
            await Task.Delay(Timeout.Infinite, cancellationToken);
        }
    }
}
