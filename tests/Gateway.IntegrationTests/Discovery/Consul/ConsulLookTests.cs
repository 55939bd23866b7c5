using Gateway.Catalog;
using Gateway.Discovery.Consul;

namespace Gateway.IntegrationTests.Discovery.Consul;

/// <summary>What a look at a Consul shows, whatever it does: values, soon, and never an exception.</summary>
public sealed class ConsulLookTests
{
    // Long, because a loaded machine is slow; short only for one that never answers.
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan s_shortPatience = TimeSpan.FromMilliseconds(500);

    [Theory]
    [InlineData(200, "\"10.0.0.1:8300\"", "10.0.0.1:8300", null)]
    [InlineData(200, "\"\"", "", null)]
    [InlineData(500, "No cluster leader", "", null)]
    [InlineData(500, "rpc error", null, ConsulFailureKind.Status)]
    [InlineData(403, "Permission denied", null, ConsulFailureKind.Forbidden)]
    [InlineData(200, "<html>", null, ConsulFailureKind.BadAnswer)]
    internal async Task The_leader_or_why_there_is_none(int status, string body, string? leader, ConsulFailureKind? failure)
    {
        await using FakeConsul consul = new() { Script = _ => FakeReply.Text(status, body) };
        ConsulSight sight = await LookAsync(consul.Address);
        Assert.Equal((leader, failure), (sight.Leader, sight.Failure?.Kind));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-90)]
    [InlineData(3600)]
    public async Task Its_clock_is_compared_with_ours_to_a_second(int ahead)
    {
        await using FakeConsul consul = new()
        {
            Script = _ => FakeReply.Text(200, "\"x\"") with { Headers = $"Date: {DateTimeOffset.UtcNow.AddSeconds(ahead):R}\r\n" },
        };
        TimeSpan skew = Assert.NotNull((await LookAsync(consul.Address)).Skew);
        Assert.InRange(skew.TotalSeconds, ahead - 30, ahead + 1);
    }

    [Fact]
    public async Task One_that_hangs_is_given_up_and_one_that_is_not_there_is_unreachable()
    {
        await using (FakeConsul consul = new() { Script = _ => new FakeReply { Hangs = true } })
        {
            Assert.Equal(ConsulFailureKind.Silent, (await LookAsync(consul.Address, s_shortPatience)).Failure?.Kind);
        }

        Assert.Equal(ConsulFailureKind.Unreachable, (await LookAsync(new Uri("http://127.0.0.1:1"))).Failure?.Kind);
    }

    [Fact]
    public async Task Checks_that_keep_an_instance_out_are_told_in_their_own_words_and_others_are_not()
    {
        const string Answer = """
            [
              { "Node": { "Node": "n1" }, "Service": { "ID": "w1", "Service": "web" }, "Checks": [
                { "CheckID": "serfHealth", "Name": "Serf", "Status": "passing", "ServiceID": "" },
                { "CheckID": "alive", "Name": "web alive", "Status": "critical", "Output": "dial tcp:\nrefused", "ServiceID": "w1" },
                { "CheckID": "other", "Name": "not its own", "Status": "critical", "ServiceID": "w9" } ] },
              { "Node": { "Node": "n2" }, "Service": { "ID": "w2", "Service": "web" }, "Checks": [
                { "CheckID": "_service_maintenance:w2", "Name": "m", "Status": "critical", "Notes": "new disk", "ServiceID": "w2" } ] },
              { "Node": { "Node": "n3" }, "Service": { "ID": "w3", "Service": "web" }, "Checks": [
                { "CheckID": "a", "Status": "passing" } ] }
            ]
            """;
        await using FakeConsul consul = new() { Script = r => FakeReply.Text(200, r.Path == "/v1/health/service/web" ? Answer : "[]") };
        using ConsulClient client = new(new ConsulOptions { Address = consul.Address }, TimeProvider.System);
        IReadOnlyDictionary<InstanceKey, string> why = await ConsulLook.WhyOutAsync(
            client, ["web", "api"], TimeProvider.System, s_patience, TestContext.Current.CancellationToken);
        Assert.Equal(2, why.Count);
        Assert.Equal("Consul check 'web alive' is critical: dial tcp: refused", why[new InstanceKey("n1", "w1")]);
        Assert.Equal("it is in maintenance: new disk", why[new InstanceKey("n2", "w2")]);
    }

    private static async Task<ConsulSight> LookAsync(Uri address, TimeSpan? patience = null)
    {
        using ConsulClient client = new(new ConsulOptions { Address = address }, TimeProvider.System);
        return await ConsulLook.AtAsync(client, TimeProvider.System, patience ?? s_patience, TestContext.Current.CancellationToken);
    }
}
