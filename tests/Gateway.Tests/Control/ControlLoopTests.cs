using System.Net;
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
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.Tests.Control;

/// <summary>The one writer under a clock that stands still, with real sockets behind it.</summary>
public sealed class ControlLoopTests : IAsyncLifetime
{
    private readonly FakeClock _clock = new();
    private readonly GatewayMetrics _metrics = new();
    private readonly ClusterTable _clusters = new();
    private readonly HttpLane _http;
    private readonly ListenerSet _listeners;
    private readonly string _state = Directory.CreateTempSubdirectory("gw-loop-").FullName;
    private ControlLoop _control;
    private readonly int _port = FreePort();
    private readonly int _other = FreePort();

    public ControlLoopTests()
    {
        _http = new HttpLane(_clusters, TimeProvider.System, NullLoggerFactory.Instance, _metrics, AccessLog.Off(_metrics), "gateway-test");
        _listeners = new ListenerSet(
            new ListeningOptions { Addresses = ["127.0.0.1"] }, TimeProvider.System, NullLogger.Instance, (_, s) => s.Dispose(), (_, s) => s.Dispose(), 1000);
        _control = NewLoop();
    }

    private ControlLoop NewLoop() => new(
        new ControlSettings(new PlanningOptions { Environments = [new("production", "{port}", "{host}")] }, TimeSpan.FromSeconds(10)),
        _clusters, _listeners, _http, _metrics, _clock, NullLogger.Instance)
    {
        LastKnownGood = new LastKnownGoodFiles(_state),
        Probe = (target, _, _) => Task.FromResult(new ProbeResult(true, "scripted")),
    };

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
    public async Task Static_services_need_no_catalog_but_readiness_does()
    {
        ScriptedSource source = new("a");
        _control.Reconfigure(With(new StaticService("marathon", _port, ["127.0.0.1:9"], [], "g.yaml:1:1")));
        _control.Start([source]);
        await HealthEventually.True(() => _listeners.Listeners.Any(l => l.Key.Port == _port), "the static port is open");
        Assert.False(_control.FirstApply.IsCompleted);

        // A reload before the first catalog changes them too.
        _control.Reconfigure(With());
        await HealthEventually.True(() => _listeners.Listeners.Count == 0, "it is closed");
        _control.Reconfigure(With(new StaticService("marathon", _port, ["127.0.0.1:9"], [], "g.yaml:1:1")));
        await HealthEventually.True(() => _listeners.Listeners.Any(l => l.Key.Port == _port), "the static port is open");
        Assert.False(_control.FirstApply.IsCompleted);

        source.Report(Of("web", _other, "i1"));
        await _control.FirstApply.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        Assert.Equal(new[] { _port, _other }.Order(), _listeners.Listeners.Select(l => l.Key.Port).Order());

        static ControlSettings With(params StaticService[] services) => new(
            new PlanningOptions { Environments = [new("production", "{port}", "{host}")], Static = [.. services] }, TimeSpan.FromSeconds(10));
    }

    [Fact]
    public async Task First_catalog_opens_its_port()
    {
        ScriptedSource source = new("a");
        _control.Start([source]);
        source.Report(Of("web", _port, "i1"));

        await _control.FirstApply.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);

        Assert.Equal([_port], _listeners.Listeners.Select(l => l.Key.Port));
        Assert.NotNull(_clusters.Find("web@production"));
    }

    [Fact]
    public async Task A_burst_ends_in_the_newest_catalog_with_fewer_applies_than_reports()
    {
        ScriptedSource source = new("a");
        _control.Start([source]);
        for (int i = 1; i <= 1000; i++)
        {
            source.Report(Of("web", _port, $"i{i}"));
        }

        await HealthEventually.True(() => _control.State.Plan.Clusters is [{ Destinations: [{ Instance.ServiceId: "i1000" }] }], "the newest catalog is in force");
        Assert.True(_control.State.Applies < 1000);
    }

    [Fact]
    public async Task What_did_not_change_keeps_its_live_objects()
    {
        ScriptedSource source = new("a");
        _control.Start([source]);
        CatalogSnapshot first = Of("web", _port, "i1");
        source.Report(first);
        await _control.FirstApply.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        ClusterState cluster = _clusters.Find("web@production")!;
        ListenerState listener = _listeners.Listeners[0];
        DestinationState destination = cluster.Destinations[0];
        destination.Begin();

        source.Report(first with { Services = first.Services.AddRange(Of("other", _other, "o1").Services) });
        await HealthEventually.True(() => _control.State.Plan.Listeners.Count == 2, "the other service is in force");

        Assert.Same(cluster, _clusters.Find("web@production"));
        Assert.Same(destination, cluster.Destinations[0]);
        Assert.Equal(1, destination.InFlight);
        Assert.Contains(listener, _listeners.Listeners);
    }

    [Fact]
    public async Task A_port_lingers_for_its_grace_and_comes_back_untouched()
    {
        ScriptedSource source = new("a");
        _control.Start([source]);
        source.Report(Of("web", _port, "i1"));
        await _control.FirstApply.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        ListenerState listener = _listeners.Listeners[0];

        source.Report(CatalogSnapshot.Empty);
        await HealthEventually.True(() => _control.State.Plan.Listeners is [{ Lingering: true }], "it lingers");
        _clock.Advance(TimeSpan.FromSeconds(9));
        source.Report(Of("web", _port, "i1"));
        await HealthEventually.True(() => _control.State.Plan.Listeners is [{ Lingering: false }], "it is claimed again");
        Assert.Same(listener, _listeners.Listeners[0]);

        source.Report(CatalogSnapshot.Empty);
        await HealthEventually.True(() => _control.State.Plan.Listeners is [{ Lingering: true }], "it lingers again");
        _clock.Advance(TimeSpan.FromSeconds(9));
        Assert.Single(_listeners.Listeners);
        await HealthEventually.True(
            () =>
            {
                _clock.Advance(TimeSpan.FromSeconds(1));
                return _listeners.Listeners.Count == 0;
            },
            "its grace is over");
    }

    [Fact]
    public async Task A_source_that_breaks_keeps_its_catalog_and_is_started_again()
    {
        ScriptedSource source = new("a");
        _control.Start([source]);
        source.Report(Of("web", _port, "i1"));
        await _control.FirstApply.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);

        source.Break();
        await HealthEventually.True(
            () =>
            {
                _clock.Advance(TimeSpan.FromSeconds(1));
                return source.Watched >= 2;
            },
            "it is watched again");

        Assert.Single(_listeners.Listeners);
        source.Report(Of("web", _port, "i2"));
        await HealthEventually.True(() => _control.State.Plan.Clusters is [{ Destinations: [{ Instance.ServiceId: "i2" }] }], "it goes on");
    }

    [Fact]
    public async Task A_replaced_source_leaves_its_catalog_until_the_new_one_reports()
    {
        ScriptedSource old = new("a");
        _control.Start([old]);
        old.Report(Of("web", _port, "i1"));
        await _control.FirstApply.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);

        ScriptedSource @new = new("a");
        _control.FollowSources([@new, new ScriptedSource("b")]);
        await HealthEventually.True(() => old.Stopped && @new.Watched == 1, "the new one is followed");
        Assert.Single(_control.State.Plan.Clusters);

        @new.Report(Of("web", _port, "i7"));
        await HealthEventually.True(() => _control.State.Plan.Clusters is [{ Destinations: [{ Instance.ServiceId: "i7" }] }], "the new one counts");
    }

    [Fact]
    public async Task A_problem_keeps_the_time_it_was_first_seen()
    {
        ScriptedSource source = new("a");
        _control.Start([source]);
        source.Report(Of("web", _port, "i1", "internal-listen-http-0"));
        await _control.FirstApply.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        DateTimeOffset first = Assert.Single(_control.Problems()).Since;

        _clock.Advance(TimeSpan.FromMinutes(1));

        Assert.Equal(first, Assert.Single(_control.Problems()).Since);
    }

    [Fact]
    public async Task The_last_known_good_serves_until_the_source_reports_and_owners_keep_their_ports()
    {
        // 1. 'young' has the port before 'old', which also wants it and would win otherwise, is there.
        ScriptedSource source = new("a");
        _control.Start([source]);
        CatalogSnapshot young = Of("young", _port, "y");
        CatalogSnapshot both = young with { Services = young.Services.AddRange(Of("old", _port, "o").Services) };
        source.Report(young);
        await _control.FirstApply.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        source.Report(both);
        await HealthEventually.True(() => _control.State.Plan.Problems.Count == 1, "old loses");
        Assert.Empty(_control.Restored);
        await _control.DisposeAsync();

        // 2. A restart with a silent source.
        _control = NewLoop();
        ScriptedSource again = new("a");
        _control.Start([again]);
        await _control.FirstApply.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        Assert.Equal("young", Assert.Single(_control.State.Plan.Listeners).Service);
        Assert.Equal(["a"], _control.Restored.Keys);
        Assert.Contains(_control.Problems(), p => p.Problem is { Code: "last-known-good", Place: "source a" });

        // 3. It reports.
        again.Report(both);
        await HealthEventually.True(() => _control.Restored.Count == 0, "the report counts");
        Assert.Equal("young", Assert.Single(_control.State.Plan.Listeners).Service);
        Assert.DoesNotContain(_control.Problems(), p => p.Problem.Code == "last-known-good");
    }

    [Fact]
    public async Task Once_told_to_stop_keeping_it_follows_on_and_never_writes_the_last_known_good_again()
    {
        ScriptedSource source = new("a");
        _control.Start([source]);
        source.Report(Of("web", _port, "i1"));
        await _control.FirstApply.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);

        // What was in force is on the disk when it returns; then a successor writes the next generation.
        await _control.StopKeepingAsync();
        LastKnownGood successors = new LastKnownGoodFiles(_state).Load(out _)!;
        new LastKnownGoodFiles(_state).Save(successors);
        string[] files = Directory.GetFiles(_state);
        byte[] newest = await File.ReadAllBytesAsync(files.Max(StringComparer.Ordinal)!, TestContext.Current.CancellationToken);

        source.Report(Of("web", _port, "i2"));
        await HealthEventually.True(() => _control.State.Plan.Clusters is [{ Destinations: [{ Instance.ServiceId: "i2" }] }], "it follows on");
        await _control.DisposeAsync();

        Assert.Equal(files.Order(StringComparer.Ordinal), Directory.GetFiles(_state).Order(StringComparer.Ordinal));
        Assert.Equal(newest, await File.ReadAllBytesAsync(files.Max(StringComparer.Ordinal)!, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Whoever_disposes_it_waits_for_the_end_and_afterwards_nothing_hangs()
    {
        ScriptedSource source = new("a");
        _control.Start([source]);
        source.Report(Of("web", _port, "i1"));
        await _control.FirstApply.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);

        await Task.WhenAll(Enumerable.Range(0, 8).Select(async _ =>
        {
            await _control.DisposeAsync();
            Assert.True(source.Stopped);
        }));

        Assert.Empty(await _control.AcceptAsync("web", TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(30)));
        _control.FollowSources([new ScriptedSource("b")]);
        _control.Reconfigure(new ControlSettings(new PlanningOptions(), TimeSpan.Zero));
        Assert.Single(_control.State.Plan.Clusters);
    }

    [Fact]
    public async Task A_report_that_is_there_already_is_judged_by_the_last_known_good()
    {
        ScriptedSource source = new("a");
        _control.Start([source]);
        CatalogSnapshot many = Of("web", _port, "i1");
        Instance one = many.Services["web"].Instances[0];
        many = CatalogSnapshot.Of(Enumerable.Range(1, 4).Select(i => one with { ServiceId = $"i{i}", Address = $"10.0.0.{i}" }));
        source.Report(many);
        await _control.FirstApply.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        await _control.DisposeAsync();

        _control = NewLoop();
        ScriptedSource empty = new("a");
        empty.Report(CatalogSnapshot.Empty);
        _control.Start([empty]);

        await HealthEventually.True(() => _control.Held.Count == 4, "all are held");
        Assert.Equal(4, Assert.Single(_control.State.Plan.Clusters).Destinations.Count);
        Assert.Equal(4, (await _control.AcceptAsync("web", TestContext.Current.CancellationToken)).Count);
        await HealthEventually.True(() => _control.State.Plan.Clusters.AsEnumerable().All(c => c.Destinations.Count == 0), "accepted, they go");
    }

    private static CatalogSnapshot Of(string service, int port, string id, params string[] tags) => CatalogSnapshot.Of(
    [
        new Instance
        {
            Service = service, Node = "n1", ServiceId = id, Address = "10.0.0.1", Port = 80,
            Tags = [$"internal-listen-http-{port}", "gateway-check=none", .. tags],
        },
    ]);

    private static int FreePort()
    {
        using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    private sealed class ScriptedSource(string name) : ICatalogSource
    {
        private readonly Lock _gate = new();
        private Action<CatalogSnapshot>? _report;
        private CatalogSnapshot? _pending;
        private TaskCompletionSource _broken = new();
        private int _watched;

        public string Name => name;

        public SourceStatus Status { get; } = new();

        public int Watched => Volatile.Read(ref _watched);

        public bool Stopped { get; private set; }

        public void Report(CatalogSnapshot snapshot)
        {
            lock (_gate)
            {
                _pending = snapshot;
                _report?.Invoke(snapshot);
            }
        }

        public void Break() => _broken.SetException(new InvalidOperationException("scripted"));

        public async Task WatchAsync(Action<CatalogSnapshot> report, CancellationToken stop)
        {
            lock (_gate)
            {
                _broken = _broken.Task.IsCompleted ? new TaskCompletionSource() : _broken;
                _report = report;
                if (_pending is not null)
                {
                    report(_pending);
                }
            }

            Interlocked.Increment(ref _watched);
            try
            {
                await _broken.Task.WaitAsync(stop);
            }
            finally
            {
                Stopped = stop.IsCancellationRequested;
            }
        }
    }
}
