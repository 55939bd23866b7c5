using System.Diagnostics;
using Gateway.Catalog;
using Gateway.Discovery;
using Gateway.Discovery.Consul;
using Gateway.Observability;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.IntegrationTests.Discovery.Consul;

/// <summary>A source that runs, with everything it reported; services with a tag <c>routed</c> are routed.</summary>
internal sealed class Watching : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly List<CatalogSnapshot> _reports = [];
    private readonly Task _task;
    private int _inside;

    public Watching(Uri address, WatchTiming? timing = null, Func<ConsulOptions, ConsulOptions>? options = null)
    {
        ConsulOptions plain = new() { Address = address };
        Source = new ConsulSource(
            "consul",
            options?.Invoke(plain) ?? plain,
            (_, tags) => tags.Contains("routed"),
            TimeProvider.System,
            NullLogger.Instance,
            new GatewayMetrics(),
            timing);
        _task = Task.Run(() => Source.WatchAsync(Take, _stop.Token));
    }

    public ConsulSource Source { get; }

    public SourceStatus Status => Source.Status;

    public IReadOnlyList<CatalogSnapshot> Reports
    {
        get
        {
            lock (_reports)
            {
                return [.. _reports];
            }
        }
    }

    /// <summary>The newest snapshot, an empty one before the first.</summary>
    public CatalogSnapshot Now => Reports is [.., { } last] ? last : CatalogSnapshot.Empty;

    public IReadOnlyList<string> Names => [.. Now.Services.Keys];

    public IReadOnlyList<Instance> Instances(string service) =>
        Now.Services.TryGetValue(service, out Service? known) ? known.Instances : [];

    public bool HasProblem(string code) => Status.Problems.Any(p => p.Code == code);

    /// <summary>Waits for a condition; fails with the state as text.</summary>
    public async Task Until(string what, Func<bool> condition, double seconds = 15)
    {
        double stretch = double.TryParse(Environment.GetEnvironmentVariable("GATEWAY_TEST_STRETCH"), out double factor) ? factor : 1;
        long started = Stopwatch.GetTimestamp();
        while (!condition())
        {
            if (_task.IsFaulted)
            {
                await _task;
            }

            if (Stopwatch.GetElapsedTime(started).TotalSeconds > seconds * stretch)
            {
                Assert.Fail($"Not in time: {what}. Reports {Reports.Count}, services {Names.Count}: "
                    + $"{string.Join(", ", Names.Take(5))}; {Status.Mode}; {string.Join(" | ", Status.Problems.Take(5))}");
            }

            await Task.Delay(5);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _task.WaitAsync(TimeSpan.FromSeconds(20));
        _stop.Dispose();
        Source.Dispose();
    }

    private void Take(CatalogSnapshot snapshot)
    {
        Assert.Equal(1, Interlocked.Increment(ref _inside));
        lock (_reports)
        {
            _reports.Add(snapshot);
        }

        Interlocked.Decrement(ref _inside);
    }
}
