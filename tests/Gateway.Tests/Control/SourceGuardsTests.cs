using System.Collections.Concurrent;
using Gateway.Catalog;
using Gateway.Control;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Health;
using Gateway.Discovery;
using Gateway.Planning;
using Gateway.Tests.DataPlane.Health;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.Tests.Control;

/// <summary>What the guards ask, and what becomes of the answers.</summary>
public sealed class SourceGuardsTests : IAsyncLifetime
{
    private readonly FakeClock _clock = new();
    private readonly ConcurrentDictionary<string, bool> _dead = new(StringComparer.Ordinal);
    private readonly ConcurrentQueue<ProbeTarget> _probed = new();
    private readonly ConfirmingSource _source = new();
    private readonly SourceGuards _guards;
    private readonly GuardOptions _options = new();
    private readonly Plan _plan;
    private CatalogSnapshot _newest;
    private volatile bool _unsent;

    public SourceGuardsTests()
    {
        _guards = new SourceGuards(
            _clock,
            new ClusterTable(),
            (target, _, _) =>
            {
                _probed.Enqueue(target);
                return Task.FromResult(_unsent ? ProbeResult.Unsent("no descriptor free") : new ProbeResult(!_dead.ContainsKey(target.Instance.ServiceId), "scripted"));
            },
            () => { },
            NullLogger.Instance);
        _newest = Of(5);
        _plan = new Planner().Plan(new PlanInput
        {
            Catalogs = [_newest],
            Options = new PlanningOptions { Environments = [new("production", "{port}", "{host}")] },
        });
    }

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync() => _guards.DisposeAsync();

    [Fact]
    public async Task Those_that_answer_are_kept_and_probed_as_their_cluster_is()
    {
        _dead["web-2"] = true;
        await DropAllAsync();

        await Until(() => _guards.Held.Count == 4, "four are held");
        Assert.Equal(["web-1", "web-3", "web-4", "web-5"], Effective());
        Assert.All(_probed, t => Assert.Equal((CheckKind.Http, "/up"), (t.Check.Kind, t.Check.Path)));
    }

    [Fact]
    public async Task A_probe_that_Gateway_itself_could_not_send_removes_nobody()
    {
        _unsent = true;
        await DropAllAsync();
        await Until(() => _guards.Held.Count == 5, "five are held");
        _unsent = false;
        _dead["web-1"] = true;
        _clock.Advance(TimeSpan.FromSeconds(1));

        await Until(() => Effective().Length == 4, "who does not answer goes");
    }

    [Fact]
    public async Task A_held_one_that_stops_answering_goes_within_a_second_at_first()
    {
        await DropAllAsync();
        await Until(() => _guards.Held.Count == 5, "five are held");
        _dead["web-1"] = true;
        _clock.Advance(TimeSpan.FromSeconds(1));

        await Until(() => Effective().Length == 4, "it goes");
    }

    [Fact]
    public async Task The_problem_counts_down_and_stays_the_same_one()
    {
        await DropAllAsync();
        await Until(() => _guards.Held.Count == 5, "five are held");
        Problem first = _guards.Problems().First();
        Assert.Equal(("removal-held", "web", "n1/web-1", "source scripted"), (first.Code, first.Service, first.Instance, first.Place));
        Assert.Contains("5 of 5 instances", first.Now, StringComparison.Ordinal);
        Assert.Contains("in 5m, at 00:05:00 UTC", first.Now, StringComparison.Ordinal);
        ProblemBook book = new(_clock, NullLogger.Instance);
        DateTimeOffset since = book.Observe(() => [first])[0].Since;

        _clock.Advance(TimeSpan.FromMinutes(1));
        Problem later = _guards.Problems().First();

        Assert.Contains("in 4m, at 00:05:00 UTC", later.Now, StringComparison.Ordinal);
        StandingProblem standing = Assert.Single(book.Observe(() => [later]));
        Assert.Equal((since, later.Now), (standing.Since, standing.Problem.Now));
    }

    [Fact]
    public async Task After_its_time_the_source_is_asked_and_only_what_it_confirms_goes()
    {
        await DropAllAsync();
        await Until(() => _guards.Held.Count == 5, "five are held");
        _clock.Advance(TimeSpan.FromMinutes(5) - TimeSpan.FromSeconds(1));
        Update();
        Assert.Equal(0, _source.Asked);

        _source.Absent = [new("n1", "web-1"), new("n1", "web-9")];
        _clock.Advance(TimeSpan.FromSeconds(1));
        await Until(() => _guards.Held.Count == 4, "the confirmed one goes");
        Assert.DoesNotContain("web-1", Effective());

        // An answer that confirms nothing, an error for example, keeps the rest; it is asked again.
        int asked = _source.Asked;
        _clock.Advance(TimeSpan.FromSeconds(10));
        await Until(() => _source.Asked == asked + 1, "it is asked again");
        Assert.Equal(4, Effective().Length);
    }

    [Theory]
    [InlineData("web", 5)]
    [InlineData("web@production", 5)]
    [InlineData("web@Production/web-1", 1)]
    [InlineData("WEB@production", 0)]
    [InlineData("web/web-1", 1)]
    [InlineData("web/n1/web-1", 1)]
    [InlineData("web@production/10.0.0.1:80", 1)]
    [InlineData("web@staging", 0)]
    [InlineData("we", 0)]
    [InlineData("web/", 0)]
    public async Task The_operator_names_a_service_or_an_instance(string target, int accepted)
    {
        await DropAllAsync();
        await Until(() => _guards.Held.Count == 5, "five are held");

        Task<IReadOnlyList<HeldView>> accepting = _guards.AcceptAsync(target, TestContext.Current.CancellationToken);
        Update();

        Assert.Equal(accepted, (await accepting).Count);
        Assert.Equal(5 - accepted, Effective().Length);
    }

    [Fact]
    public async Task An_address_claimed_in_another_catalog_is_let_go()
    {
        await DropAllAsync();
        await Until(() => _guards.Held.Count == 5, "five are held");
        CatalogSnapshot others = CatalogSnapshot.Of([Make(2) with { Service = "stranger", ServiceId = "s" }]);

        _guards.Update([(_source, _newest), (new ConfirmingSource { Name = "other" }, others)], _options, _plan);

        Assert.Equal(["web-1", "web-3", "web-4", "web-5"], Effective());
    }

    [Fact]
    public void A_source_that_is_not_followed_any_more_takes_its_catalog_along()
    {
        Update();
        _guards.Update([], _options, _plan);
        Assert.Null(_guards.EffectiveOf("scripted"));
    }

    private async Task DropAllAsync()
    {
        Update();
        _newest = CatalogSnapshot.Empty;
        Update();
        Assert.Equal(5, Effective().Length);
        await Until(() => _probed.Count >= 5, "all are probed");
    }

    private void Update() => _guards.Update([(_source, _newest)], _options, _plan);

    private Task Until(Func<bool> condition, string what) => HealthEventually.True(
        () =>
        {
            Update();
            return condition();
        },
        what);

    private string[] Effective() =>
        [.. _guards.EffectiveOf("scripted")!.Services.Values.SelectMany(s => s.Instances.AsEnumerable()).Select(i => i.ServiceId)];

    private static CatalogSnapshot Of(int instances) => CatalogSnapshot.Of(Enumerable.Range(1, instances).Select(Make));

    private static Instance Make(int number) => new()
    {
        Service = "web",
        Node = "n1",
        ServiceId = $"web-{number}",
        Address = $"10.0.0.{number}",
        Port = 80,
        Tags = ["internal-listen-http-3000", "gateway-check.http=/up"],
    };

    private sealed class ConfirmingSource : ICatalogSource, IConfirmsAbsence
    {
        private int _asked;

        public string Name { get; init; } = "scripted";

        public SourceStatus Status { get; } = new();

        public int Asked => Volatile.Read(ref _asked);

        public HashSet<InstanceKey> Absent { get; set; } = [];

        public Task WatchAsync(Action<CatalogSnapshot> report, CancellationToken stop) => Task.CompletedTask;

        public Task<IReadOnlySet<InstanceKey>> ConfirmAbsentAsync(IReadOnlyCollection<Instance> instances, CancellationToken cancel)
        {
            Interlocked.Increment(ref _asked);
            return Task.FromResult<IReadOnlySet<InstanceKey>>(Absent);
        }
    }
}
