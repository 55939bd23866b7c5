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

    private sealed class KeptStream : MemoryStream
    {
    }
}
