using Gateway.Catalog;
using Gateway.Discovery.Consul;

namespace Gateway.IntegrationTests.Discovery.Consul;

/// <summary>What a Consul that is asked outright confirms: only what its leader is certain of.</summary>
public sealed class ConfirmAbsentTests
{
    private static readonly WatchTiming Fast = new()
    {
        AnswerSlack = TimeSpan.FromMilliseconds(400),
        BackoffMin = TimeSpan.FromMilliseconds(20),
        BackoffMax = TimeSpan.FromMilliseconds(200),
        FirstReport = TimeSpan.FromMilliseconds(300),
    };

    [Fact]
    public async Task Only_those_that_the_leader_does_not_list_are_absent()
    {
        await using FakeConsul consul = new();
        consul.Set("web", "1", "2", "3");
        consul.Set("api", "4");
        consul.Set("untagged", "5");
        await using Watching watching = new(consul.Address, Fast);
        await watching.Until("all", () => watching.Names.Count == 3);
        Instance[] all = [.. watching.Now.Services.Values.SelectMany(s => s.Instances.AsEnumerable())];

        Assert.Empty(await ConfirmAsync(watching, all));
        consul.Set("web", "2");
        consul.Remove("api");
        consul.Set("untagged", [], "passing", "5");
        Assert.Equal(["1", "3", "4", "5"], await ConfirmAsync(watching, all));
        Assert.Contains(consul.Requests, r => r.OfLeader && r.Path == "/v1/health/service/web");
    }

    [Theory]
    [InlineData("refused", 403, "Permission denied", "")]
    [InlineData("no leader", 500, "No cluster leader", "")]
    [InlineData("no leader known", 200, "{\"consul\":[]}", "X-Consul-KnownLeader: false\r\n")]
    [InlineData("a token that sees nothing", 200, "{}", "")]
    [InlineData("a token that does not see all", 200, "{\"consul\":[]}", "X-Consul-Results-Filtered-By-ACLs: true\r\n")]
    [InlineData("a page", 200, "<html>", "")]
    public async Task P2_An_error_or_a_doubtful_answer_confirms_nothing(string what, int status, string body, string headers)
    {
        await using FakeConsul consul = new();
        consul.Set("web", "1", "2", "3");
        await using Watching watching = new(consul.Address, Fast);
        await watching.Until("all", () => watching.Instances("web").Count == 3);
        Instance[] all = [.. watching.Instances("web")];
        consul.Script = _ => FakeReply.Text(status, body) with { Index = "900", Headers = headers };

        Assert.True((await ConfirmAsync(watching, all)).Length == 0, what);
    }

    [Fact]
    public async Task P3_What_the_first_report_lacks_is_named_until_it_is_read()
    {
        await using FakeConsul consul = new();
        consul.Set("web", "1");
        consul.Set("api", "2");
        consul.Script = r => r.Path.EndsWith("/web", StringComparison.Ordinal) ? FakeReply.Text(500, "rpc error") : null;
        await using Watching watching = new(consul.Address, Fast);

        await watching.Until("the other one", () => watching.Names is ["api"]);
        Assert.Equal(["web"], watching.Now.Unread);

        consul.Script = _ => null;
        await watching.Until("both", () => watching.Names.Count == 2);
        Assert.Empty(watching.Now.Unread);
    }

    [Fact]
    public async Task What_the_first_report_lacks_and_is_listed_no_more_is_not_named_for_ever()
    {
        await using FakeConsul consul = new();
        consul.Set("web", "1");
        consul.Set("api", "2");
        consul.Script = r => r.Path.EndsWith("/web", StringComparison.Ordinal) ? FakeReply.Text(500, "rpc error") : null;
        await using Watching watching = new(consul.Address, Fast);
        await watching.Until("the other one", () => watching.Now.Unread is ["web"]);

        consul.Remove("web");
        await watching.Until("it is gone", () => watching.Now.Unread.Count == 0);
    }

    private static async Task<string[]> ConfirmAsync(Watching watching, Instance[] instances) =>
        [.. (await watching.Source.ConfirmAbsentAsync(instances, TestContext.Current.CancellationToken)).Select(k => k.ServiceId).Order(StringComparer.Ordinal)];
}
