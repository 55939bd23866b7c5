using System.Diagnostics;
using Gateway.Catalog;
using Gateway.Discovery.Consul;

namespace Gateway.IntegrationTests.Discovery.Consul;

/// <summary>
/// A Consul that misbehaves in every way of zero-downtime §5: nothing is lost to an error, nobody is hammered, and the source is
/// back as soon as Consul is.
/// </summary>
public sealed class MisbehavingConsulTests
{
    /// <summary>Short deadlines and pauses, and a bucket that does not slow the tests down; others prove the real one.</summary>
    private static readonly WatchTiming Fast = new()
    {
        AnswerSlack = TimeSpan.FromMilliseconds(400),
        BackoffMin = TimeSpan.FromMilliseconds(20),
        BackoffMax = TimeSpan.FromMilliseconds(200),
        FirstReport = TimeSpan.FromMilliseconds(500),
        Burst = 20,
        RequestsPerSecond = 50,
    };

    private static readonly Dictionary<string, Func<FakeConsul, FakeRequest, FakeReply?>> Faults = new()
    {
        ["403"] = (_, _) => FakeReply.Text(403, "Permission denied"),
        ["429"] = (_, _) => FakeReply.Text(429, "Your IP is issuing too many concurrent connections"),
        ["500"] = (_, _) => FakeReply.Text(500, "No cluster leader"),
        ["HTML"] = (_, _) => FakeReply.Text(200, "<html><body>Welcome to nginx</body></html>") with { Index = "900" },
        ["redirect"] = (_, _) => FakeReply.Text(301, "") with { Headers = "Location: http://127.0.0.1:1/\r\n" },
        ["truncated JSON, length kept"] = (c, r) => c.Sane(r) with { Body = c.Sane(r).Body[..^3] },
        ["truncated JSON, length broken"] = (c, r) => c.Sane(r) with { Body = c.Sane(r).Body[..^3], Missing = 3 },
        ["empty body"] = (_, _) => FakeReply.Text(200, "") with { Index = "900" },
        ["null"] = (_, _) => FakeReply.Text(200, "null") with { Index = "900" },
        ["a string"] = (_, _) => FakeReply.Text(200, "\"none\"") with { Index = "900" },
        ["a list of nulls"] = (_, _) => FakeReply.Text(200, "[null]") with { Index = "900" },
        ["an error object"] = (_, _) => FakeReply.Text(200, "{\"error\":\"rpc\"}") with { Index = "900" },
        ["too long"] = (_, _) => FakeReply.Text(200, "[") with { Index = "900", Missing = 40 * 1024 * 1024 },
        ["reset"] = (_, _) => new FakeReply { Resets = true },
        ["silent hang"] = (_, _) => new FakeReply { Hangs = true },
        ["slow drip"] = (c, r) => c.Sane(r) with { Drips = true },
        ["another service's JSON"] = (c, r) => r.Path.Contains("web", StringComparison.Ordinal)
            ? c.Sane(r with { Path = "/v1/health/service/api" }) with { Index = "900" }
            : null,
        ["empty catalog of a server without leader"] = (_, r) =>
            FakeReply.Text(200, r.Path.Contains("catalog", StringComparison.Ordinal) ? "{}" : "[]") with
            {
                Index = "900",
                Headers = "X-Consul-KnownLeader: false\r\n",
            },
        ["catalog without services of a server left behind"] = (_, r) =>
            FakeReply.Text(200, r.Path.Contains("catalog", StringComparison.Ordinal) ? "{\"consul\":[]}" : "[]") with
            {
                Index = "900",
                Headers = "X-Consul-LastContact: 10001\r\n",
            },
        ["catalog of a token that sees nothing"] = (_, r) =>
            FakeReply.Text(200, r.Path.Contains("catalog", StringComparison.Ordinal) ? "{\"consul\":[]}" : "[]") with
            {
                Index = "900",
                Headers = "X-Consul-Results-Filtered-By-ACLs: true\r\n",
            },
        ["nothing of anything, which the leader confirms: a token without rights on Consul 1.8"] = (_, r) =>
            FakeReply.Text(200, r.Path.Contains("catalog", StringComparison.Ordinal) ? "{}" : "[]") with { Index = "900" },
        ["no instance of anything that the catalog lists: a token without rights on nodes"] = (c, r) =>
            r.Path.Contains("catalog", StringComparison.Ordinal) ? null : FakeReply.Text(200, "[]") with { Index = "900" },
        ["empty object for a catalog"] = (_, r) =>
            r.Path == "/v1/catalog/services" ? FakeReply.Text(200, "{}") with { Index = "900" } : null,
        ["empty lists that the leader does not confirm"] = (c, r) =>
            r.OfLeader ? c.Sane(r) : FakeReply.Text(200, r.Path.Contains("catalog", StringComparison.Ordinal) ? "{}" : "[]") with { Index = "9" },
    };

    public static TheoryData<string, bool> EveryFault()
    {
        TheoryData<string, bool> all = [];
        foreach (string fault in Faults.Keys)
        {
            all.Add(fault, false);
            all.Add(fault, true);
        }

        return all;
    }

    [Theory]
    [MemberData(nameof(EveryFault))]
    public async Task Nothing_is_lost_to_a_fault_and_the_end_of_it_is_noticed(string fault, bool byState)
    {
        await using FakeConsul consul = new();
        consul.Set("web", "web-1", "web-2");
        consul.Set("api", "api-1");
        WatchTiming timing = byState ? Fast with { ServiceWatchesMax = 1 } : Fast;
        await using Watching watching = new(consul.Address, timing, o => o with { Wait = TimeSpan.FromMilliseconds(700) });
        await watching.Until("the catalog", () => watching.Names.Count == 2);
        await watching.Until("the mode", () => watching.Status.Mode == (byState ? "state watch" : "2 service watches"));
        CatalogSnapshot good = watching.Now;

        // Every query that waits is answered with the fault, and so are those that follow.
        consul.Requests.Clear();
        consul.Script = r => Faults[fault](consul, r);
        await watching.Until("some requests", () => consul.Requests.Count >= 6);
        bool confirmable = fault.StartsWith("empty lists", StringComparison.Ordinal);
        bool unseen = byState && fault.StartsWith("another", StringComparison.Ordinal);
        if (!confirmable && !unseen)
        {
            await watching.Until("a problem", () => watching.Status.Problems.Count > 0);
        }

        Assert.Equal(good.Services, watching.Now.Services);
        Assert.Single(watching.Reports);

        // The end: a change during the fault and one after it are both seen.
        consul.Set("web", "web-1", "web-3");
        consul.Script = _ => null;
        await watching.Until("the change", () => watching.Instances("web").Select(i => i.ServiceId).SequenceEqual(["web-1", "web-3"]));
        consul.Set("more", "more-1");
        await watching.Until("a new service", () => watching.Names.Contains("more"));
        consul.Remove("api");
        await watching.Until("a service gone", () => !watching.Names.Contains("api"));
        await watching.Until("no problem", () => watching.Status.Problems.Count == 0);
    }

    [Theory]
    [InlineData("0")]
    [InlineData("11")]
    [InlineData("1")]
    [InlineData("backwards")]
    [InlineData("forwards")]
    [InlineData("none")]
    [InlineData("nonsense")]
    public async Task Index_that_does_not_make_us_wait_stays_within_the_bucket(string index)
    {
        await using FakeConsul consul = new();
        consul.Set("web", "web-1");
        ulong counter = 1_000_000;
        consul.Script = r => consul.Sane(r) with
        {
            Index = index switch
            {
                "backwards" => Interlocked.Decrement(ref counter).ToString(),
                "forwards" => Interlocked.Increment(ref counter).ToString(),
                "none" => null,
                _ => index,
            },
        };
        long started = Stopwatch.GetTimestamp();
        await using Watching watching = new(consul.Address);
        await watching.Until("the catalog", () => watching.Names.Count == 1);

        const string Path = "/v1/health/service/web";
        await watching.Until("requests", () => consul.CountOf(Path) >= 12 && consul.CountOf("/v1/catalog/services") >= 12);

        // Burst 5, then 5 per second: the twelfth request of a watch is not due before 1.4 s.
        double seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        Assert.True(seconds >= 1.3, $"12 requests in {seconds:0.00} s");
        Assert.InRange(consul.CountOf(Path), 12, 7 + (int)(seconds * 5));
        Assert.Single(watching.Reports);

        // News still arrives, by content.
        consul.Set("web", "web-1", "web-2");
        await watching.Until("the change", () => watching.Instances("web").Count == 2);
        Assert.Equal(2, watching.Reports.Count);
    }

    [Fact]
    public async Task Services_that_vanish_together_vanish_in_one_report_whichever_watch_hears_first()
    {
        await using FakeConsul consul = new();
        consul.Set("web", "web-1", "web-2");
        consul.Set("api", "api-1");
        consul.Set("other", "other-1");
        await using Watching watching = new(consul.Address, Fast);
        await watching.Until("the catalog", () => watching.Names.Count == 3);
        await watching.Until("the watches", () => watching.Status.Mode == "3 service watches");

        // Only the watch of one service hears of it: a guard must see the mass that it is.
        consul.Script = r => r.Index > 0 && !r.Path.EndsWith("web", StringComparison.Ordinal) ? new FakeReply { Hangs = true } : null;
        await watching.Until("they wait", () => consul.Requests.Any(r => r.Index > 0 && r.Path.EndsWith("web", StringComparison.Ordinal)));
        consul.Remove("api");
        consul.Remove("web");

        await watching.Until("both gone", () => watching.Names is ["other"]);
        Assert.DoesNotContain(watching.Reports, r => r.Services.Count == 2);
    }

    [Fact]
    public async Task Index_that_went_back_loses_no_news()
    {
        await using FakeConsul consul = new();
        consul.ResetIndex(5000);
        consul.Set("web", "web-1");
        await using Watching watching = new(consul.Address, null, o => o with { Wait = TimeSpan.FromSeconds(1) });
        await watching.Until("the catalog", () => watching.Names.Count == 1);

        // A rebuilt server counts anew. Waiting with the old index ends with its first answer, at the latest after the wait.
        consul.ResetIndex(7);
        await watching.Until("a new count", () => consul.Requests.Any(r => r.Index is > 0 and < 100 && r.Path.EndsWith("web", StringComparison.Ordinal)));
        consul.Set("web", "web-1", "web-2");
        await watching.Until("the change", () => watching.Instances("web").Count == 2);
    }

    [Fact]
    public async Task Index_of_the_future_is_left_behind_after_one_wait()
    {
        await using FakeConsul consul = new();
        consul.Set("web", "web-1");
        bool lied = false;
        consul.Script = r =>
        {
            bool lie = !lied && r.Path.EndsWith("web", StringComparison.Ordinal);
            lied |= lie;
            return lie ? consul.Sane(r) with { Index = "18446744073709551615" } : null;
        };
        await using Watching watching = new(consul.Address, null, o => o with { Wait = TimeSpan.FromSeconds(1) });
        await watching.Until("the catalog", () => watching.Names.Count == 1);

        consul.Set("web", "web-1", "web-2");

        await watching.Until("the change", () => watching.Instances("web").Count == 2);
    }

    [Fact]
    public async Task Errors_are_retried_with_growing_pauses()
    {
        await using FakeConsul consul = new() { Script = _ => FakeReply.Text(500, "No cluster leader") };
        WatchTiming timing = new() { BackoffMin = TimeSpan.FromMilliseconds(10), BackoffMax = TimeSpan.FromMilliseconds(50) };
        long started = Stopwatch.GetTimestamp();
        await using Watching watching = new(consul.Address, timing);

        await watching.Until("12 tries", () => consul.Requests.Count >= 12);

        Assert.True(Stopwatch.GetElapsedTime(started).TotalSeconds >= 1.3, "the bucket holds for errors too");
        Assert.Empty(watching.Reports);
        Problem problem = Assert.Single(watching.Status.Problems);
        Assert.Equal("consul-error", problem.Code);
        Assert.Contains("No cluster leader", problem.Value);
    }

    [Fact]
    public async Task Service_that_cannot_be_read_at_the_start_does_not_hold_back_the_others()
    {
        await using FakeConsul consul = new();
        consul.Set("web", "web-1");
        consul.Set("bad", "bad-1");
        consul.Script = r => r.Path.EndsWith("bad", StringComparison.Ordinal) ? new FakeReply { Hangs = true } : null;
        await using Watching watching = new(consul.Address, Fast);

        await watching.Until("the first report", () => watching.Reports.Count == 1);
        Assert.Equal(["web"], watching.Names);
        Assert.Contains(watching.Status.Problems, p => p.Service == "bad");

        consul.Script = _ => null;
        await watching.Until("the other", () => watching.Names.Count == 2);
        await watching.Until("no problem", () => watching.Status.Problems.Count == 0);
    }

    [Fact]
    public async Task New_service_is_no_problem_before_its_first_read()
    {
        await using FakeConsul consul = new();
        consul.Set("web", "w1");
        await using Watching watching = new(consul.Address, Fast with { FirstReport = TimeSpan.FromSeconds(20) });
        await watching.Until("first", () => watching.Names.Count == 1);

        consul.Script = r => r.Path.EndsWith("/api", StringComparison.Ordinal) ? new FakeReply { Hangs = true } : null;
        consul.Set("api", "a1");
        await watching.Until("asked", () => consul.CountOf("/v1/health/service/api") > 0);

        Assert.Empty(watching.Status.Problems);
    }

    [Fact]
    public async Task Service_that_only_lost_its_tags_is_followed_for_the_grace_of_its_port()
    {
        await using FakeConsul consul = new();
        consul.Set("web", "w1", "w2");
        consul.Set("api", "a1");
        await using Watching watching = new(consul.Address, Fast with { UntaggedKept = TimeSpan.FromSeconds(1) });
        await watching.Until("both", () => watching.Names.Count == 2);

        consul.Set("web", [], "passing", "w2");
        await watching.Until("untagged facts", () => watching.Instances("web") is [{ ServiceId: "w2", Tags.Count: 0 }]);

        // It is given up with the first news after its time.
        await watching.Until("given up", () =>
        {
            consul.Set("api", "a1");
            return watching.Names is ["api"];
        });

        // Back with its tags, it is followed again; gone, it is gone at once.
        consul.Set("web", "w1");
        await watching.Until("back", () => watching.Instances("web").Count == 1);
        consul.Set("web", [], "passing", "w1");
        await watching.Until("untagged again", () => watching.Instances("web") is [{ Tags.Count: 0 }]);
        consul.Remove("web");
        await watching.Until("gone", () => watching.Names is ["api"]);
    }

    [Fact]
    public async Task One_service_in_trouble_keeps_its_last_good_while_others_go_on()
    {
        await using FakeConsul consul = new();
        consul.Set("web", "web-1");
        consul.Set("bad", "bad-1");
        await using Watching watching = new(consul.Address, Fast);
        await watching.Until("both", () => watching.Names.Count == 2);

        consul.Script = r => r.Path.EndsWith("bad", StringComparison.Ordinal) ? FakeReply.Text(429, "") : null;
        consul.Set("web", "web-1", "web-2");

        await watching.Until("the change", () => watching.Instances("web").Count == 2);
        await watching.Until("the problem", () => watching.Status.Problems is [{ Service: "bad" }]);
        Assert.Equal(["bad", "web"], watching.Names);
        Assert.Equal("2 service watches", watching.Status.Mode);
    }

    [Fact]
    public async Task Connections_refused_beyond_a_number_lead_to_the_state_watch()
    {
        await using FakeConsul consul = new();
        for (int i = 0; i < 60; i++)
        {
            consul.Set($"s{i}", $"s{i}-1");
        }

        // Waiting queries beyond the fortieth are reset, as by http_max_conns_per_client.
        HashSet<FakeRequest> held = [];
        consul.Script = r =>
        {
            lock (held)
            {
                bool counts = r.Index != 0 && !r.Path.Contains("state", StringComparison.Ordinal) && held.Add(r);
                return counts && held.Count > 40 ? new FakeReply { Resets = true } : null;
            }
        };
        await using Watching watching = new(consul.Address, Fast);

        await watching.Until("all", () => watching.Names.Count == 60);
        await watching.Until("the state watch", () => watching.Status.Mode == "state watch");
        Assert.True(watching.HasProblem("consul-watch-limit"));
        consul.Set("s59", "s59-1", "s59-2");
        await watching.Until("a change", () => watching.Instances("s59").Count == 2);
    }

    [Fact]
    public async Task Doubtful_answer_adds_but_does_not_remove()
    {
        await using FakeConsul consul = new();
        consul.Set("web", "web-1", "web-2");
        consul.Set("api", "api-1");
        await using Watching watching = new(consul.Address, Fast);
        await watching.Until("the catalog", () => watching.Names.Count == 2);

        // No leader: stale answers come with the flag, the leader's do not come at all.
        consul.Script = r => r.OfLeader
            ? FakeReply.Text(500, "No cluster leader")
            : consul.Sane(r) with { Headers = "X-Consul-KnownLeader: false\r\n" };
        consul.Set("web", "web-2", "web-3");
        consul.Remove("api");
        consul.Set("more", "more-1");

        await watching.Until("additions", () => watching.Names.Count == 3 && watching.Instances("web").Count == 3);
        await watching.Until("the problem", () => watching.HasProblem("consul-doubtful"));
        Assert.Equal(["api", "more", "web"], watching.Names);

        consul.Script = _ => null;
        await watching.Until("removals", () => watching.Names.Count == 2 && watching.Instances("web").Count == 2);
        await watching.Until("no problem", () => watching.Status.Problems.Count == 0);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("{\"consul\":[]}")]
    public async Task First_answer_that_is_empty_and_doubtful_is_no_beginning(string body)
    {
        await using FakeConsul consul = new();
        consul.Set("web", "web-1");
        consul.Script = _ => FakeReply.Text(200, body) with { Index = "5", Headers = "X-Consul-KnownLeader: false\r\n" };
        await using Watching watching = new(consul.Address, Fast);
        await watching.Until("some requests", () => consul.Requests.Count >= 8);
        Assert.Empty(watching.Reports);
        Assert.True(watching.HasProblem("consul-doubtful"));

        consul.Script = _ => null;
        await watching.Until("the catalog", () => watching.Names.Count == 1);
        Assert.Single(watching.Reports);
    }

    [Fact]
    public async Task Bytes_that_are_not_UTF8_spoil_only_themselves()
    {
        await using FakeConsul consul = new();
        consul.Set("web", "web-1");
        consul.Set("odd", "odd-XX");
        consul.Script = r =>
        {
            FakeReply sane = consul.Sane(r);
            byte[] body = [.. sane.Body];
            for (int at; (at = body.AsSpan().IndexOf("-XX"u8)) >= 0;)
            {
                (body[at + 1], body[at + 2]) = (0xC3, 0x28);
            }

            return r.Index == 0 ? sane with { Body = body } : null;
        };
        await using Watching watching = new(consul.Address, Fast);

        await watching.Until("both", () => watching.Names.Count == 2);

        Assert.Equal("odd-\uFFFD(", Assert.Single(watching.Instances("odd")).ServiceId);
        await watching.Until("the problem", () => watching.HasProblem("consul-not-utf8"));
    }

    [Fact]
    public async Task Unchanged_answers_cause_no_report_and_requests_follow_changes_not_services()
    {
        await using FakeConsul consul = new();
        for (int i = 0; i < 100; i++)
        {
            consul.Set($"s{i}", $"s{i}-1");
        }

        await using Watching watching = new(consul.Address, new WatchTiming { ServiceWatchesMax = 10 });
        await watching.Until("all", () => watching.Names.Count == 100);
        await watching.Until("state", () => consul.Requests.Any(r => r.Path == "/v1/health/state/any" && r.Index > 0));
        await watching.Until("calm", () => consul.Requests.Count(r => r.Path.Contains("/service/", StringComparison.Ordinal)) >= 100);
        consul.Requests.Clear();

        consul.Set("s7", ["routed"], "critical", "s7-1");
        await watching.Until("critical", () => watching.Instances("s7") is [{ Health: ReportedHealth.Critical }]);

        Assert.InRange(consul.Requests.Count(r => r.Path.Contains("/health/service/", StringComparison.Ordinal)), 1, 3);
        Assert.Equal(2, watching.Reports.Count);
    }

    [Fact]
    public async Task Token_goes_in_a_header_and_is_read_again_when_its_file_changes()
    {
        string file = System.IO.Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(file, "first\n");
            await using FakeConsul consul = new();
            consul.Set("web", "web-1");
            await using Watching watching = new(consul.Address, Fast, o => o with { TokenFile = file, Datacenter = "dc 2" });
            await watching.Until("the catalog", () => watching.Names.Count == 1);
            Assert.All(consul.Requests, r => Assert.Equal("first", r.Headers["X-Consul-Token"]));
            Assert.All(consul.Requests, r => Assert.Equal("dc 2", r.Query["dc"]));
            Assert.All(consul.Requests, r => Assert.DoesNotContain("passing", r.Query.Keys));

            await File.WriteAllTextAsync(file, "second\n");
            consul.Set("web", "web-1", "web-2");
            await watching.Until("the new token", () => consul.Requests.Any(r => r.Headers["X-Consul-Token"] == "second"));

            File.Delete(file);
            consul.Set("web", "web-1");
            await watching.Until("the problem", () => watching.HasProblem("consul-token-unreadable"));
            await watching.Until("the change", () => watching.Instances("web").Count == 1);
            Assert.Equal("second", consul.Requests.Last().Headers["X-Consul-Token"]);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public async Task Nobody_there_is_a_problem_with_the_place_and_no_report()
    {
        Uri address;
        await using (FakeConsul gone = new())
        {
            address = gone.Address;
        }

        await using Watching watching = new(address, Fast);
        await watching.Until("the problem", () => watching.HasProblem("consul-unreachable"));

        Assert.Empty(watching.Reports);
        Assert.False(watching.Status.HasReported);
        Assert.Null(watching.Status.LastContact);
        Assert.StartsWith(address.ToString(), watching.Status.Problems[0].Place, StringComparison.Ordinal);
    }
}
