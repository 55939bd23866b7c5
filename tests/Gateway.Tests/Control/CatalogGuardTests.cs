using Gateway.Catalog;
using Gateway.Control;

namespace Gateway.Tests.Control;

/// <summary>SPEC §3, guard: who goes at once, who is asked, who is kept, and until when.</summary>
public sealed class CatalogGuardTests
{
    private readonly FakeClock _clock = new();
    private readonly CatalogGuard _guard;
    private GuardOptions _options = new();

    public CatalogGuardTests() => _guard = new CatalogGuard(_clock);

    // had, then what is left after each second; held: how many are kept in the end.
    [Theory]
    [InlineData("single of 5", 5, new[] { 4 }, 0)]
    [InlineData("two of 3 are a majority but no mass", 3, new[] { 1 }, 0)]
    [InlineData("three of 3", 3, new[] { 0 }, 3)]
    [InlineData("half of 10 is not above half", 10, new[] { 5 }, 0)]
    [InlineData("six of 10", 10, new[] { 4 }, 6)]
    [InlineData("six of 10, one after another", 10, new[] { 9, 8, 7, 6, 5, 4 }, 6)]
    [InlineData("all of 1", 1, new[] { 0 }, 0)]
    public void A_mass_is_more_than_the_share_and_at_least_the_minimum(string what, int had, int[] left, int held)
    {
        Take(Of("web", had), Of("other", 1000));
        foreach (int now in left)
        {
            _clock.Advance(TimeSpan.FromSeconds(1));
            Take(Of("web", now), Of("other", 1000));
        }

        Assert.True(held == _guard.Held.Count, $"{what}: {_guard.Held.Count} held");
    }

    [Fact]
    public void Who_trickles_away_slower_than_the_window_just_goes()
    {
        Take(Of("web", 10));
        for (int left = 9; left >= 0; left--)
        {
            _clock.Advance(TimeSpan.FromSeconds(6));
            Take(Of("web", left));
            Assert.Equal(left, Count("web"));
        }

        Assert.Empty(_guard.Held);
    }

    [Fact]
    public void Many_services_that_lose_their_only_instance_are_a_mass()
    {
        Take([.. Enumerable.Range(0, 10).Select(i => Of($"s{i}", 1))]);
        Take(Of("s0", 1));

        Assert.Equal(9, _guard.Held.Count);
        Assert.Equal(10, _guard.Effective!.Services.Count);
        Assert.All(_guard.Held, h => Assert.Equal("9 of 10 services gone within 10 s", h.Why));
    }

    [Fact]
    public void A_large_service_hides_neither_small_ones_nor_itself()
    {
        Take([Of("large", 1000), .. Enumerable.Range(0, 9).Select(i => Of($"s{i}", 1))]);
        Take(Of("large", 1000), Of("s0", 1), Of("s1", 1), Of("s2", 1));
        Assert.Equal(6, _guard.Held.Count);

        _clock.Advance(TimeSpan.FromSeconds(11));
        Take([Of("large", 1), .. Enumerable.Range(0, 9).Select(i => Of($"s{i}", 1))]);
        Assert.Equal(999, _guard.Held.Count);
    }

    [Fact]
    public void A_little_of_every_service_can_be_a_mass_too()
    {
        Take([.. Enumerable.Range(0, 9).Select(i => Of($"s{i}", 3))]);
        Take([.. Enumerable.Range(0, 9).Select(i => Of($"s{i}", 1))]);

        Assert.All(_guard.Held, h => Assert.Equal("18 of 27 instances of all services gone within 10 s", h.Why));
        Assert.Equal(18, _guard.Held.Count);
    }

    [Fact]
    public void Those_kept_stay_in_the_catalog_while_they_are_asked_and_go_when_a_probe_fails()
    {
        Take(Of("web", 10));
        Take(Of("web", 2));
        Assert.Equal(10, Count("web"));

        HeldRemoval[] held = [.. _guard.Held];
        _guard.Observe(held[0], reached: true, "connected");
        foreach (HeldRemoval dead in held.Skip(1))
        {
            _guard.Observe(dead, reached: false, "connect refused");
        }

        _guard.Compose();
        Assert.Equal(3, Count("web"));
        Assert.Same(held[0], Assert.Single(_guard.Held));

        _guard.Observe(held[0], reached: false, "connect refused");
        _guard.Compose();
        Assert.Equal(2, Count("web"));
        Assert.Empty(_guard.Held);
    }

    [Fact]
    public void Those_kept_never_leave_the_catalog_although_time_goes_on_while_it_is_judged()
    {
        // A clock of nanoseconds never shows the same time twice; one that stands still hides what depends on that.
        CatalogGuard guard = new(new RunningClock());
        guard.Take(Catalog(Of("web", 10)), _options, _ => true);
        guard.Compose();
        guard.Take(Catalog(Of("web", 2)), _options, _ => true);
        guard.Compose();

        Assert.Equal((8, 10), (guard.Held.Count, guard.Effective!.Services["web"].Instances.Count));
    }

    [Fact]
    public void A_catalog_that_is_rebuilt_and_filled_service_by_service_loses_no_address_on_the_way()
    {
        string[] names = ["a", "b", "c", "d"];
        Take([.. names.Select(n => Of(n, 3))]);
        string[] addresses = Addresses();
        Take();
        Assert.Equal((12, 12), (_guard.Held.Count, Addresses().Length));
        for (int i = 1; i <= names.Length; i++)
        {
            // Under the ids of before, and under new ones, which only the addresses tell.
            _clock.Advance(TimeSpan.FromSeconds(4));
            Service[] back = [.. names[..i].Select(n => n is "a" or "c" ? Of(n, 3) : Renamed(n))];
            _guard.Take(Catalog(back), _options, _ => true);
            _guard.LetGoOfClaimed(_guard.Reported!.Services.Values.SelectMany(s => s.Instances.AsEnumerable()).Select(x => x.EndPoint).ToHashSet());
            _guard.Compose();
            Assert.Equal(addresses, Addresses());
            Assert.Equal(12 - (3 * i), _guard.Held.Count);
        }

        string[] Addresses() => [.. _guard.Effective!.Services.Values.SelectMany(s => s.Instances.AsEnumerable()).Select(i => i.EndPoint).Order(StringComparer.Ordinal)];

        Service Renamed(string name) => new(name, Of(name, 3).Instances.AsEnumerable().Select(i => i with { Node = "n2" }).ToEquatableArray());
    }

    [Theory]
    [InlineData(10.0, 3)]
    [InlineData(10.1, 0)]
    public void Drops_count_together_for_ten_seconds_and_no_longer(double seconds, int held)
    {
        Take(Of("web", 5), Of("other", 1000));
        Take(Of("web", 4), Of("other", 1000));
        Take(Of("web", 3), Of("other", 1000));
        _clock.Advance(TimeSpan.FromSeconds(seconds));
        Take(Of("web", 2), Of("other", 1000));

        Assert.Equal(held, _guard.Held.Count);
    }

    [Fact]
    public void Who_went_before_the_drop_became_a_mass_returns_only_when_a_probe_reaches_it()
    {
        Take(Of("web", 4));
        _clock.Advance(TimeSpan.FromSeconds(1));
        Take(Of("web", 3));
        Assert.Equal(3, Count("web"));
        _clock.Advance(TimeSpan.FromSeconds(1));
        Take(Of("web", 1));

        Assert.Equal(3, Count("web"));
        HeldRemoval early = Assert.Single(_guard.Held, h => !h.Shown);
        _guard.Observe(early, reached: true, "connected");
        _guard.Compose();
        Assert.Equal(4, Count("web"));
    }

    [Fact]
    public void Who_failed_its_probe_does_not_come_back_because_a_neighbor_goes()
    {
        Take(Of("web", 5));
        Take(Of("web", 1));
        foreach (HeldRemoval held in _guard.Held.ToArray())
        {
            _guard.Observe(held, reached: false, "connect refused");
        }

        _clock.Advance(TimeSpan.FromSeconds(1));
        Take(Of("web", 0));

        Assert.Single(_guard.Held);
    }

    [Fact]
    public void Who_is_reported_again_is_held_no_more()
    {
        Take(Of("web", 5));
        Take();
        Assert.Equal(5, _guard.Held.Count);

        Take(Of("web", 2));

        Assert.Equal(3, _guard.Held.Count);
        Assert.Equal(5, Count("web"));
        Take(Of("web", 5));
        Assert.Empty(_guard.Held);
        Assert.Same(_guard.Reported, _guard.Effective);
    }

    [Fact]
    public void An_address_that_somebody_else_claims_is_not_held()
    {
        Take(Of("web", 4));
        Take(Of("new", [Make("new", 100) with { Address = Make("web", 2).Address }]));
        _guard.LetGoOfClaimed(_guard.Reported!.Services.Values.SelectMany(s => s.Instances.AsEnumerable()).Select(i => i.EndPoint).ToHashSet());
        _guard.Compose();

        Assert.DoesNotContain(_guard.Held, h => h.Instance.Address == Make("web", 2).Address);
        Assert.Equal(3, Count("web"));
    }

    [Fact]
    public void Who_is_no_destination_is_not_held()
    {
        Take(Of("web", 5));
        _guard.Take(Catalog(), _options, _ => false);
        _guard.Compose();

        Assert.Empty(_guard.Held);
        Assert.Empty(_guard.Effective!.Services);
    }

    [Fact]
    public void New_instances_do_not_hide_that_the_old_ones_went()
    {
        Take(Of("web", 4));
        Take(Of("web", [.. Enumerable.Range(10, 20).Select(i => Make("web", i))]));

        Assert.Equal(4, _guard.Held.Count);
    }

    [Fact]
    public void A_changed_address_is_no_removal()
    {
        Take(Of("web", 4));
        Take(Of("web", [.. Enumerable.Range(1, 4).Select(i => Make("web", i) with { Port = 8080 })]));

        Assert.Empty(_guard.Held);
        Assert.All(_guard.Effective!.Services["web"].Instances.AsEnumerable(), i => Assert.Equal(8080, i.Port));
    }

    [Fact]
    public void Last_known_good_counts_as_the_state_before()
    {
        _guard.Restore(Catalog(Of("web", 6)), _clock.GetUtcNow(), []);
        Assert.NotNull(_guard.RestoredFrom);
        Take();

        Assert.Null(_guard.RestoredFrom);
        Assert.Equal(6, _guard.Held.Count);
        Assert.Equal(6, Count("web"));
    }

    [Fact]
    public void Held_ones_of_the_last_known_good_stay_held_since_then()
    {
        DateTimeOffset since = _clock.GetUtcNow() - TimeSpan.FromMinutes(4);
        _guard.Restore(Catalog(Of("web", 3)), _clock.GetUtcNow(), [new("web", Make("web", 3).Key, since, "long ago")]);
        Take(Of("web", 2));

        HeldRemoval held = Assert.Single(_guard.Held);
        Assert.Equal((since, TimeSpan.FromMinutes(4)), (held.Since, _clock.GetElapsedTime(held.Began)));
        Assert.Equal(3, Count("web"));
    }

    [Fact]
    public void What_could_not_be_read_yet_stands_and_is_judged_when_it_is_read()
    {
        _guard.Restore(Catalog(Of("api", 2), Of("web", 5)), _clock.GetUtcNow(), []);
        _guard.Take(Catalog(Of("api", 2)) with { Unread = ["web"] }, _options, _ => true);
        _guard.Compose();
        Assert.Equal((5, 0), (Count("web"), _guard.Held.Count));

        Take(Of("api", 2), Of("web", 4));
        Assert.Equal((4, 0), (Count("web"), _guard.Held.Count));
    }

    [Fact]
    public void Switched_off_everything_goes_at_once()
    {
        Take(Of("web", 5));
        _options = _options with { AbovePercent = 100 };
        Take();

        Assert.Empty(_guard.Held);
        Assert.Empty(_guard.Effective!.Services);
    }

    [Fact]
    public void Unchanged_services_and_holds_keep_their_objects()
    {
        Take(Of("api", 3), Of("web", 5));
        Take(Of("api", 3));
        Service web = _guard.Effective!.Services["web"];
        Take(Of("api", 4));

        Assert.Same(web, _guard.Effective!.Services["web"]);
    }

    private sealed class RunningClock : TimeProvider
    {
        private long _now;

        public override long GetTimestamp() => ++_now;
    }

    private int Count(string service) => _guard.Effective!.Services.GetValueOrDefault(service)?.Instances.Count ?? 0;

    private void Take(params Service[] services)
    {
        _guard.Take(Catalog(services), _options, _ => true);
        _guard.Compose();
    }

    private static CatalogSnapshot Catalog(params Service[] services) =>
        new() { Services = CatalogSnapshot.EmptyServices.AddRange(services.Where(s => s.Instances.Count > 0).Select(s => KeyValuePair.Create(s.Name, s))) };

    private static Service Of(string name, int instances) => Of(name, [.. Enumerable.Range(1, instances).Select(i => Make(name, i))]);

    private static Service Of(string name, Instance[] instances) => new(name, instances.OrderBy(i => i.Key).ToEquatableArray());

    private static Instance Make(string service, int number) => new()
    {
        Service = service,
        Node = "n1",
        ServiceId = $"{service}-{number:00000}",
        Address = $"10.0.{service[0] % 100}.{number}",
        Port = 80,
    };
}
