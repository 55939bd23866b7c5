using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Gateway.Catalog;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Health;
using Gateway.Observability;
using Gateway.Planning;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.IntegrationTests.DataPlane.Health;

/// <summary>
/// B11 and B12 of the seed systems against real instances, with short intervals: a check that fails takes an instance out, one
/// that passes brings it back, and an instance that refuses connects is found before its next regular probe.
/// </summary>
public sealed class HealthProberTests : IAsyncLifetime
{
    private static readonly CheckPlan Quick = new()
    {
        Interval = TimeSpan.FromMilliseconds(100),
        FastInterval = TimeSpan.FromMilliseconds(50),
        Timeout = TimeSpan.FromSeconds(5),
    };

    private readonly ConcurrentDictionary<int, int> _status = new();
    private readonly ConcurrentDictionary<int, int> _probes = new();
    private readonly HealthProber _prober = new(TimeProvider.System, NullLogger.Instance, new GatewayMetrics());
    private readonly List<WebApplication> _servers = [];
    private readonly List<int> _ports = [];

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        for (int i = 0; i < 2; i++)
        {
            WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
            WebApplication app = builder.Build();
            app.MapGet("/healthcheck", (HttpContext context) =>
            {
                _probes.AddOrUpdate(context.Connection.LocalPort, 1, (_, count) => count + 1);
                return Results.StatusCode(_status.GetValueOrDefault(context.Connection.LocalPort, 200));
            });
            await app.StartAsync(Test);
            _servers.Add(app);
            IFeatureCollection features = app.Services.GetRequiredService<IServer>().Features;
            _ports.Add(new Uri(features.Get<IServerAddressesFeature>()!.Addresses.Single()).Port);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _prober.DisposeAsync();
        foreach (WebApplication server in _servers)
        {
            await server.DisposeAsync();
        }
    }

    [Fact]
    public async Task An_instance_whose_check_fails_leaves_and_returns_when_it_passes()
    {
        ClusterState cluster = new(Plan(Quick), _prober);
        await _prober.FirstResultsAsync(TimeSpan.FromSeconds(20), Test);
        Assert.Equal(2, cluster.UsableCount);

        _status[_ports[0]] = 503;
        await HealthEventually.True(() => cluster.UsableCount == 1, "the instance is out");
        Assert.All(Enumerable.Range(0, 20), _ => Assert.Equal(_ports[1], cluster.Pick([])!.Plan.Port));
        Assert.StartsWith("HTTP 503 in", cluster.View().Destinations.Single(one => !one.Up).LastCheck, StringComparison.Ordinal);

        _status[_ports[0]] = 200;
        await HealthEventually.True(() => cluster.UsableCount == 2, "the instance is back");

        _status[_ports[0]] = 404;
        await HealthEventually.True(() => cluster.UsableCount == 1, "it used to answer, so a 404 is a failure");
    }

    [Fact]
    public async Task An_instance_that_never_knew_the_check_is_up_by_its_connect()
    {
        _status[_ports[0]] = 404;
        _status[_ports[1]] = 501;
        ClusterState cluster = new(Plan(Quick), _prober);
        await HealthEventually.True(() => _ports.TrueForAll(port => _probes.GetValueOrDefault(port) > 2), "three probes each");

        Assert.Equal(2, cluster.UsableCount);
        Assert.EndsWith("so the connect counts", cluster.View().Destinations[0].LastCheck, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_dead_instance_is_down_with_its_first_result_which_comes_at_once()
    {
        ClusterPlan plan = Plan(new CheckPlan { Interval = TimeSpan.FromHours(1), Rise = 2, Fall = 3 });
        ClusterState cluster = new(plan with { Destinations = [.. plan.Destinations, Destination("dead", FreePort())] }, _prober);
        await _prober.FirstResultsAsync(TimeSpan.FromSeconds(20), Test);

        Assert.Equal(2, cluster.UsableCount);
        DestinationView dead = cluster.View().Destinations.Single(one => one.Instance == "n/dead");
        Assert.Equal((false, "connect refused"), (dead.Up, dead.LastCheck));
    }

    [Fact]
    public async Task A_refused_connect_brings_a_probe_long_before_the_next_regular_one()
    {
        ClusterState cluster = new(Plan(new CheckPlan { Interval = TimeSpan.FromHours(1) }), _prober);
        await _prober.FirstResultsAsync(TimeSpan.FromSeconds(20), Test);
        DestinationState one = cluster.Destinations.Single(destination => destination.Plan.Port == _ports[0]);
        await _servers[0].StopAsync(Test);
        Assert.Equal(2, cluster.UsableCount);

        one.Health.ConnectFailed("connect refused");
        Assert.All(Enumerable.Range(0, 20), _ => Assert.NotSame(one, cluster.Pick([])));
        await HealthEventually.True(() => !one.Health.IsUp, "the probe confirms it");
        Assert.Equal(1, cluster.UsableCount);
    }

    [Fact]
    public async Task Many_plans_leave_the_number_of_probes_alone()
    {
        ClusterPlan plan = Plan(new CheckPlan { Interval = TimeSpan.FromHours(1) });
        ClusterTable table = new(_prober);
        table.Publish([plan], []);
        await _prober.FirstResultsAsync(TimeSpan.FromSeconds(20), Test);
        for (int i = 0; i < 500; i++)
        {
            ClusterPlan next = plan with { Timeouts = new TimeoutsPlan { Response = TimeSpan.FromSeconds(i + 1) } };
            table.Publish([], [new Change<ClusterPlan>(plan, next)]);
            plan = next;
        }

        Assert.Equal(1, _probes[_ports[0]]);
        Assert.Equal(1, _probes[_ports[1]]);
    }

    private static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static DestinationPlan Destination(string id, int port) => new()
    {
        Instance = new InstanceKey("n", id),
        Address = "127.0.0.1",
        Port = port,
        Reported = ReportedHealth.Passing,
    };

    private ClusterPlan Plan(CheckPlan check) => new()
    {
        Id = "web@production",
        Service = "web",
        Environment = "production",
        Check = check,
        Destinations = [Destination("a", _ports[0]), Destination("b", _ports[1])],
    };
}
