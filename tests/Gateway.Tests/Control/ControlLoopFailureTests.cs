using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Gateway.Catalog;
using Gateway.Control;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Health;
using Gateway.DataPlane.Http;
using Gateway.DataPlane.Listening;
using Gateway.Discovery;
using Gateway.Observability;
using Gateway.Planning;
using Gateway.Tests.DataPlane.Health;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.Tests.Control;

/// <summary>A plan that can't be applied is a mistake of ours; it must not stay half applied until somebody changes something else.</summary>
public sealed class ControlLoopFailureTests : IAsyncLifetime
{
    private readonly FakeClock _clock = new();
    private readonly GatewayMetrics _metrics = new();
    private readonly BreakableClock _breakable = new();
    private readonly BreakableClock _listening = new();
    private readonly ClusterTable _clusters;
    private readonly HttpLane _http;
    private readonly ListenerSet _listeners;
    private readonly string _state = Directory.CreateTempSubdirectory("gw-loop-").FullName;
    private readonly int _port = FreePort();
    private readonly int _other = FreePort();
    private ControlLoop _control;

    public ControlLoopFailureTests()
    {
        _clusters = new ClusterTable(clock: _breakable);
        _http = new HttpLane(_clusters, TimeProvider.System, NullLoggerFactory.Instance, _metrics, AccessLog.Off(_metrics), "gateway-test");
        _listeners = new ListenerSet(
            new ListeningOptions { Addresses = ["127.0.0.1"] }, _listening, NullLogger.Instance, (_, s) => s.Dispose(), (_, s) => s.Dispose(), 1000);
        _control = NewLoop();
    }

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        await _control.DisposeAsync();
        await _listeners.DisposeAsync();
        await _http.DisposeAsync();
        _metrics.Dispose();
        Directory.Delete(_state, recursive: true);
    }

    [Fact]
    public async Task It_is_applied_again_without_any_news_and_ever_more_rarely()
    {
        _breakable.Broken = true;
        ReportingSource source = new();
        _control.Start([source]);
        source.Report(Of(("web", _port, "i1")));
        await HealthEventually.True(() => _breakable.Refusals == 1, "the apply fails");

        // 1. Neither time that stands still nor news make it try at full speed.
        for (int i = 2; i < 100; i++)
        {
            source.Report(Of(("web", _port, $"i{i}")));
        }

        Assert.Equal(1, _breakable.Refusals);

        // 2. In a minute and a half it tries again some times.
        int seconds = 0;
        await HealthEventually.True(
            () =>
            {
                _clock.Advance(TimeSpan.FromSeconds(1));
                return ++seconds >= 90 && _breakable.Refusals >= 4;
            },
            "it is tried again");
        Assert.InRange(_breakable.Refusals, 4, 12 + (seconds / 30));

        // 3. What was wrong is over; nothing else happens.
        _breakable.Broken = false;
        await EventuallyAsync(() => _listeners.Listeners.Count == 1 && _control.FirstApply.IsCompleted, "it is applied");
        Assert.Equal("i99", Assert.Single(Assert.Single(_control.State.Plan.Clusters).Destinations).Instance.ServiceId);
    }

    [Fact]
    public async Task News_do_not_wait_for_the_end_of_a_long_back_off()
    {
        _breakable.Broken = true;
        ReportingSource source = new();
        _control.Start([source]);
        source.Report(Of(("web", _port, "i1")));
        await EventuallyAsync(() => _breakable.Refusals >= 5, "it failed often");

        _breakable.Broken = false;
        TimeSpan before = _clock.Elapsed;
        source.Report(Of(("web", _port, "i2")));
        await EventuallyAsync(() => _control.FirstApply.IsCompleted, "the news are applied");
        Assert.InRange(_clock.Elapsed - before, TimeSpan.Zero, TimeSpan.FromSeconds(10));
    }

    [Fact]
    public async Task What_a_failed_plan_opened_and_the_next_one_does_not_want_is_closed_again()
    {
        // 1. One port is open already when the other breaks the apply.
        _listening.BreaksWhen = () => IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpListeners().Any(end => end.Port == _port || end.Port == _other);
        ReportingSource source = new();
        _control.Start([source]);
        source.Report(Of(("web", _port, "i1"), ("other", _other, "o1")));
        await HealthEventually.True(() => _listening.Refusals >= 1, "the apply fails");
        Assert.Contains(_listeners.Listeners, l => l.Key.Port == _port);
        Assert.Empty(_control.State.Plan.Listeners);

        // 2. Meanwhile both are gone from the catalog: against the plan in force, nothing changed.
        _listening.BreaksWhen = () => false;
        source.Report(CatalogSnapshot.Empty);
        await EventuallyAsync(() => _listeners.Listeners.Count == 0 && _clusters.Clusters.Count == 0, "nothing of it is left");
    }

    [Fact]
    public async Task Owners_of_the_last_known_good_keep_their_ports_when_its_first_apply_fails()
    {
        // 1. 'young' has the port before 'old', which would win otherwise, is there.
        ReportingSource source = new();
        _control.Start([source]);
        CatalogSnapshot both = Of(("young", _port, "y"), ("old", _port, "o"));
        source.Report(Of(("young", _port, "y")));
        await _control.FirstApply.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        source.Report(both);
        await HealthEventually.True(() => _control.State.Plan.Problems.Count == 1, "old loses");
        await _control.DisposeAsync();
        await _listeners.CloseAsync([.. _control.State.Plan.Listeners]);
        _clusters.Retire([.. _control.State.Plan.Clusters]);

        // 2. A restart whose first apply fails, and whose source is there before the second.
        _breakable.Broken = true;
        int before = _breakable.Refusals;
        _control = NewLoop();
        ReportingSource again = new();
        _control.Start([again]);
        await HealthEventually.True(() => _breakable.Refusals > before, "the apply fails");
        again.Report(both);
        _breakable.Broken = false;
        await EventuallyAsync(() => _control.FirstApply.IsCompleted && _control.Restored.Count == 0, "the report counts");
        Assert.Equal("young", Assert.Single(_control.State.Plan.Listeners).Service);
    }

    [Fact]
    public async Task What_the_owner_hooks_on_is_called_again_when_it_failed()
    {
        int calls = 0;
        await using ControlLoop control = NewLoop(_ =>
        {
            if (Interlocked.Increment(ref calls) == 1)
            {
                throw new InvalidOperationException("scripted");
            }
        });
        ReportingSource source = new();
        control.Start([source]);
        source.Report(Of(("web", _port, "i1")));
        await EventuallyAsync(() => control.FirstApply.IsCompleted, "the first apply is told");
        Assert.True(calls >= 2);
    }

    private ControlLoop NewLoop(Action<Plan>? applied = null) => new(
        new ControlSettings(new PlanningOptions { Environments = [new("production", "{port}", "{host}")] }, TimeSpan.FromSeconds(10)),
        _clusters, _listeners, _http, _metrics, _clock, NullLogger.Instance)
    {
        Applied = applied,
        LastKnownGood = new LastKnownGoodFiles(_state),
        Probe = (_, _, _) => Task.FromResult(new ProbeResult(false, "scripted")),
    };

    private Task EventuallyAsync(Func<bool> condition, string what) => HealthEventually.True(
        () =>
        {
            _clock.Advance(TimeSpan.FromMilliseconds(100));
            return condition();
        },
        what);

    private static CatalogSnapshot Of(params (string Service, int Port, string Id)[] services) => CatalogSnapshot.Of(services.Select(s => new Instance
    {
        Service = s.Service,
        Node = "n1",
        ServiceId = s.Id,
        Address = "10.0.0.1",
        Port = 80,
        Tags = [$"internal-listen-http-{s.Port}", "gateway-check=none"],
    }));

    private static int FreePort()
    {
        using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    private sealed class ReportingSource : ICatalogSource
    {
        private readonly Lock _gate = new();
        private Action<CatalogSnapshot>? _report;
        private CatalogSnapshot? _pending;

        public string Name => "a";

        public SourceStatus Status { get; } = new();

        public void Report(CatalogSnapshot snapshot)
        {
            lock (_gate)
            {
                _pending = snapshot;
                _report?.Invoke(snapshot);
            }
        }

        public async Task WatchAsync(Action<CatalogSnapshot> report, CancellationToken stop)
        {
            lock (_gate)
            {
                _report = report;
                if (_pending is not null)
                {
                    report(_pending);
                }
            }

            await Task.Delay(Timeout.InfiniteTimeSpan, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Where a cluster or a listener asks for the time: an apply that breaks in its first or third step.</summary>
    private sealed class BreakableClock : TimeProvider
    {
        private int _refusals;

        public bool Broken { get; set; }

        public Func<bool> BreaksWhen { get; set; } = () => false;

        public int Refusals => Volatile.Read(ref _refusals);

        public override long GetTimestamp() => Time(System.GetTimestamp());

        public override DateTimeOffset GetUtcNow() => Time(System.GetUtcNow());

        private T Time<T>(T time)
        {
            if (!Broken && !BreaksWhen())
            {
                return time;
            }

            Interlocked.Increment(ref _refusals);
            throw new InvalidOperationException("scripted");
        }
    }
}
