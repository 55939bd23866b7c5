using System.Collections.Concurrent;
using System.Text;
using Gateway.Discovery.Consul;
using Gateway.Observability;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.IntegrationTests.Discovery.Consul;

/// <summary>One followed key while Consul misbehaves: no error is an answer, and only the leader takes a key away.</summary>
public sealed class ConsulKeyWatchTests : IAsyncDisposable
{
    private static readonly WatchTiming Fast = new()
    {
        AnswerSlack = TimeSpan.FromMilliseconds(400),
        BackoffMin = TimeSpan.FromMilliseconds(20),
        BackoffMax = TimeSpan.FromMilliseconds(100),
        Burst = 20,
        RequestsPerSecond = 50,
    };

    private readonly FakeConsul _consul = new();
    private readonly GatewayMetrics _metrics = new();
    private readonly ConcurrentQueue<string> _told = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly ConsulKeyWatch _watch;
    private volatile string _value = "MTAw";

    public ConsulKeyWatchTests()
    {
        _consul.Script = Sane;
        _watch = new ConsulKeyWatch(
            "consul", new ConsulOptions { Address = _consul.Address, Wait = TimeSpan.FromMilliseconds(200) }, "limit", TimeProvider.System, NullLogger.Instance, _metrics, Fast);
    }

    [Theory]
    [InlineData("proxy's 404")]
    [InlineData("403")]
    [InlineData("500")]
    [InlineData("HTML")]
    [InlineData("truncated")]
    [InlineData("empty list")]
    [InlineData("no base64")]
    [InlineData("404 without leader")]
    [InlineData("404 of a server left behind")]
    [InlineData("reset")]
    public async Task An_error_is_no_answer(string fault)
    {
        Task running = _watch.RunAsync(k => _told.Enqueue(k.Exists ? Encoding.UTF8.GetString(k.Value.Span) : "absent"), _stop.Token);
        await Until(() => _told.Count == 1, "the value is told");
        int asked = 0;
        _consul.Script = request =>
        {
            // The leader knows better than the server that answers first.
            if (fault.StartsWith("404", StringComparison.Ordinal) && request.OfLeader)
            {
                return Sane(request);
            }

            Interlocked.Increment(ref asked);
            return fault switch
            {
                "proxy's 404" => FakeReply.Text(404, "no such page"),
                "403" => FakeReply.Text(403, "Permission denied"),
                "500" => FakeReply.Text(500, "No cluster leader"),
                "HTML" => FakeReply.Text(200, "<html></html>") with { Index = "900" },
                "truncated" => FakeReply.Text(200, "[{\"Key\":\"limit\",\"Val") with { Index = "900" },
                "empty list" => FakeReply.Text(200, "[]") with { Index = "900" },
                "no base64" => FakeReply.Text(200, "[{\"Key\":\"limit\",\"Value\":\"%%%\"}]") with { Index = "900" },
                "404 without leader" => FakeReply.Text(404, "") with { Index = "900", Headers = "X-Consul-KnownLeader: false\r\n" },
                "404 of a server left behind" => FakeReply.Text(404, "") with { Index = "900", Headers = "X-Consul-LastContact: 60000\r\n" },
                _ => new FakeReply { Resets = true },
            };
        };
        await Until(() => Volatile.Read(ref asked) >= 3, "it goes on asking");
        Assert.Equal(["100"], _told);
        bool told = fault is not ("reset" or "404 without leader" or "404 of a server left behind");
        await Until(() => _watch.Problem is not null == told, "whether that is a problem");

        _value = "MjAw";
        _consul.Script = Sane;
        await Until(() => _told.Count == 2 && _watch.Problem is null, "the new value is told and all is well");
        Assert.Equal(["100", "200"], _told);
        await _stop.CancelAsync();
        await running;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _watch.Dispose();
        _metrics.Dispose();
        await _consul.DisposeAsync();
        _stop.Dispose();
    }

    private FakeReply? Sane(FakeRequest request) => request.Path == "/v1/kv/limit"
        ? FakeReply.Text(200, $"[{{\"LockIndex\":0,\"Key\":\"limit\",\"Flags\":0,\"Value\":\"{_value}\",\"CreateIndex\":5,\"ModifyIndex\":6}}]") with { Index = "6" }
        : null;

    private static async Task Until(Func<bool> condition, string what)
    {
        double stretch = double.TryParse(Environment.GetEnvironmentVariable("GATEWAY_TEST_STRETCH"), out double factor) ? factor : 1;
        long began = System.Diagnostics.Stopwatch.GetTimestamp();
        while (!condition())
        {
            Assert.True(System.Diagnostics.Stopwatch.GetElapsedTime(began).TotalSeconds < 15 * stretch, $"in vain: {what}");
            await Task.Delay(10);
        }
    }
}
