using Gateway.Discovery.EmbeddedCatalog;

namespace Gateway.Tests.Discovery.EmbeddedCatalog;

public sealed class EmbeddedCatalogStoreTests : IDisposable
{
    private readonly CatalogTestStore _catalog = new();

    public void Dispose() => _catalog.Dispose();

    [Theory]
    [InlineData("check flips", "Health Checks State")]
    [InlineData("same heartbeat", "")]
    [InlineData("other output", "")]
    [InlineData("same registration", "")]
    [InlineData("new instance", "Services Definition Health Checks State")]
    [InlineData("new instance without checks", "Services Definition Health Checks")]
    [InlineData("one of several goes", "Services Definition Health Checks State")]
    [InlineData("tags change", "Services Definition Health Checks State")]
    [InlineData("meta changes", "Services Definition Health Checks")]
    [InlineData("another service comes", "Services")]
    [InlineData("another service's check flips", "State")]
    [InlineData("key write", "Key KeyPrefix")]
    [InlineData("service maintenance", "Health Checks State")]
    [InlineData("node maintenance", "Health State")]
    [InlineData("last instance goes", "Services Definition Health Checks State")]
    public async Task A_change_wakes_exactly_whom_it_concerns(string what, string woken)
    {
        _catalog.Register("""{"ID":"x1","Name":"x","Tags":["a"],"Check":{"CheckID":"c1","TTL":"30s","Status":"passing"}}""");
        _catalog.Register("""{"Name":"y","Check":{"CheckID":"cy","TTL":"30s"}}""");
        if (what == "one of several goes")
        {
            _catalog.Register("""{"ID":"x2","Name":"x","Check":{"CheckID":"c2","TTL":"30s"}}""");
        }

        _catalog.Store.Heard("c1", CheckStatus.Passing, "out");
        using CancellationTokenSource stop = new();
        Dictionary<string, Task> watchers = [];
        foreach ((TopicKind kind, string name) in ((TopicKind, string)[])[
            (TopicKind.Services, ""), (TopicKind.Definition, "x"), (TopicKind.Health, "x"), (TopicKind.Checks, "x"), (TopicKind.State, ""),
            (TopicKind.Node, ""), (TopicKind.Key, "k/1"), (TopicKind.KeyPrefix, "k/")])
        {
            watchers[kind.ToString()] = _catalog.Store.WaitAsync(
                new Topic(kind, name), _catalog.Index(kind, name), TimeSpan.FromMinutes(5), stop.Token);
        }

        Task never = _catalog.Store.WaitAsync(
            new Topic(TopicKind.Health, "never"), _catalog.Index(TopicKind.Health, "never"), TimeSpan.FromMinutes(5), stop.Token);
        Assert.Equal(9, _catalog.Store.Watchers);

        switch (what)
        {
            case "check flips":
                _catalog.Store.Heard("c1", CheckStatus.Warning, "out");
                break;
            case "same heartbeat":
                _catalog.Store.Heard("c1", CheckStatus.Passing, "out");
                break;
            case "other output":
                _catalog.Store.Heard("c1", CheckStatus.Passing, "other");
                break;
            case "same registration":
                _catalog.Register("""{"ID":"x1","Name":"x","Tags":["a"],"Check":{"CheckID":"c1","TTL":"30s","Status":"passing"}}""");
                break;
            case "new instance":
                _catalog.Register("""{"ID":"x9","Name":"x","Check":{"TTL":"30s"}}""");
                break;
            case "new instance without checks":
                _catalog.Register("""{"ID":"x9","Name":"x"}""");
                break;
            case "one of several goes":
                _catalog.Store.Deregister("x2");
                break;
            case "tags change":
                _catalog.Register("""{"ID":"x1","Name":"x","Tags":["b"]}""");
                break;
            case "meta changes":
                _catalog.Register("""{"ID":"x1","Name":"x","Tags":["a"],"Meta":{"k":"v"}}""");
                break;
            case "another service comes":
                _catalog.Register("""{"Name":"z"}""");
                break;
            case "another service's check flips":
                _catalog.Store.Heard("cy", CheckStatus.Passing, "");
                break;
            case "key write":
                _catalog.Store.PutKey("k/1", [1], 0, null);
                break;
            case "service maintenance":
                _catalog.Store.SetMaintenance("x1", enable: true, "");
                break;
            case "node maintenance":
                _catalog.Store.SetMaintenance("", enable: true, "");
                break;
            case "last instance goes":
                _catalog.Store.Deregister("x1");
                break;
        }

        // Whoever was woken has left; whoever was woken for nothing has joined again, with the same count: so look at the
        // signals by giving the woken their time.
        foreach (string kind in woken.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            await watchers[kind].WaitAsync(TimeSpan.FromSeconds(30));
        }

        Assert.Equal(woken.Split(' ', StringSplitOptions.RemoveEmptyEntries), watchers.Where(w => w.Value.IsCompleted).Select(w => w.Key));
        Assert.False(never.IsCompleted);
        await stop.CancelAsync();
        await Task.WhenAll(watchers.Values.Append(never));
        Assert.Equal(0, _catalog.Store.Watchers);
    }

    [Fact]
    public async Task A_wait_ends_by_the_clock_and_an_index_never_given_does_not_wait()
    {
        ulong now = _catalog.Index(TopicKind.Services);
        Task waits = _catalog.Store.WaitAsync(new Topic(TopicKind.Services), now, TimeSpan.FromMinutes(5), CancellationToken.None);
        _catalog.Clock.Move(TimeSpan.FromMinutes(4));
        Assert.False(waits.IsCompleted);
        _catalog.Clock.Move(TimeSpan.FromMinutes(1));
        await waits.WaitAsync(TimeSpan.FromSeconds(30));

        await _catalog.Store.WaitAsync(new Topic(TopicKind.Services), 0, TimeSpan.FromMinutes(5), CancellationToken.None)
            .WaitAsync(TimeSpan.FromSeconds(30));
        await _catalog.Store.WaitAsync(new Topic(TopicKind.Services), ulong.MaxValue, TimeSpan.FromMinutes(5), CancellationToken.None)
            .WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(0, _catalog.Store.Watchers);
    }

    [Fact]
    public void Indexes_rise_with_every_change_and_over_restarts()
    {
        ulong last = 0;
        for (int i = 0; i < 20; i++)
        {
            _catalog.Register($$"""{"Name":"s{{i % 3}}","Port":{{i}}}""");
            ulong now = _catalog.Index(TopicKind.Services);
            Assert.True(now > last);
            last = now;
            if (i % 5 == 0)
            {
                _catalog.Reopen();
                Assert.Equal(now, _catalog.Index(TopicKind.Services));
            }
        }
    }

    [Fact]
    public void A_ttl_check_expires_by_the_clock_also_over_a_restart()
    {
        _catalog.Register("""{"Name":"x","Check":{"CheckID":"c","TTL":"30s","Status":"passing"}}""");
        using CheckRunner first = Run();
        _catalog.Clock.Move(TimeSpan.FromSeconds(20));
        _catalog.Store.Heard("c", CheckStatus.Passing, "fine");
        _catalog.Clock.Move(TimeSpan.FromSeconds(20));
        Assert.Equal(CheckStatus.Passing, _catalog.Check("c").Status);
        first.Dispose();

        // 10 s of the 30 are left, whoever counts them.
        _catalog.Reopen();
        using CheckRunner second = Run();
        _catalog.Clock.Move(TimeSpan.FromSeconds(9));
        Assert.Equal(CheckStatus.Passing, _catalog.Check("c").Status);
        _catalog.Clock.Move(TimeSpan.FromSeconds(1));
        Assert.Equal(CheckStatus.Critical, _catalog.Check("c").Status);
        Assert.Equal("TTL expired", _catalog.Check("c").Output);

        _catalog.Store.Heard("c", CheckStatus.Passing, "back");
        Assert.Equal(CheckStatus.Passing, _catalog.Check("c").Status);
        _catalog.Clock.Move(TimeSpan.FromSeconds(31));
        Assert.Equal("TTL expired (last output before timeout follows): back", _catalog.Check("c").Output);
    }

    [Fact]
    public void A_service_that_stays_critical_is_deregistered_not_before_a_minute()
    {
        _catalog.Register("""{"Name":"x","Check":{"CheckID":"c","TTL":"10s","Status":"passing","DeregisterCriticalServiceAfter":"1s"}}""");
        _catalog.Register("""{"Name":"stays","Check":{"TTL":"10s"}}""");
        using CheckRunner runner = Run();
        _catalog.Clock.Move(TimeSpan.FromSeconds(60));
        Assert.NotNull(_catalog.Store.Read(s => s.FindService("x")));
        _catalog.Clock.Move(TimeSpan.FromSeconds(50));
        Assert.Null(_catalog.Store.Read(s => s.FindService("x")));
        Assert.NotNull(_catalog.Store.Read(s => s.FindService("stays")));
    }

    [Fact]
    public void Ten_thousand_heartbeats_of_one_check_queue_one_deadline()
    {
        _catalog.Register("""{"Name":"x","Check":{"CheckID":"c","TTL":"30s","Status":"passing"}}""");
        using CheckRunner runner = Run();
        for (int i = 0; i < 10_000; i++)
        {
            _catalog.Clock.Move(TimeSpan.FromSeconds(1));
            _catalog.Store.Heard("c", CheckStatus.Passing, "");
        }

        Assert.Equal(CheckStatus.Passing, _catalog.Check("c").Status);
        _catalog.Clock.Move(TimeSpan.FromSeconds(30));
        Assert.Equal(CheckStatus.Critical, _catalog.Check("c").Status);
    }

    [Fact]
    public void A_service_that_changes_its_name_leaves_the_old_one()
    {
        _catalog.Register("""{"ID":"i","Name":"old"}""");
        ulong old = _catalog.Index(TopicKind.Health, "old");
        _catalog.Register("""{"ID":"i","Name":"new"}""");
        Assert.Equal(["new"], _catalog.Store.Read(s => s.ServiceNames.ToArray()));
        Assert.True(_catalog.Index(TopicKind.Health, "old") > old);
    }

    [Fact]
    public void Names_that_come_and_go_for_years_are_forgotten_without_an_index_going_back()
    {
        ulong last = 0;
        for (int i = 0; i < 10_000; i++)
        {
            _catalog.Register($$"""{"Name":"s{{i}}"}""");
            _catalog.Store.Deregister($"s{i}");
            ulong now = _catalog.Index(TopicKind.Health, $"s{i}");
            Assert.True(now > last);
            last = now;
        }

        Assert.True(_catalog.Index(TopicKind.Health, "s0") > 2, "an extinct name's index is a later one, never an earlier one");
        Assert.True(_catalog.Store.Read(s => s.ToChange()).Indexes!.ByService.Length < 5000);
    }

    private CheckRunner Run()
    {
        CheckRunner runner = new(_catalog.Store, _catalog.Clock, _ => { });
        _catalog.Store.CheckChanged = runner.Look;
        runner.Start();
        return runner;
    }
}
