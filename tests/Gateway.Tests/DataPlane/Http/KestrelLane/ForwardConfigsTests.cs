using Gateway.Catalog;
using Gateway.DataPlane.Http.KestrelLane;
using Gateway.Planning;

namespace Gateway.Tests.DataPlane.Http.KestrelLane;

/// <summary>What the file says of timeouts reaches the forwarder; a test that waits for it would take the time itself.</summary>
public sealed class ForwardConfigsTests
{
    [Theory]
    [InlineData("15m")]
    [InlineData("24h")]
    public void A_long_response_timeout_of_the_file_reaches_the_forwarder(string text)
    {
        Assert.True(Units.TryDuration(text, out TimeSpan wanted));
        GatewayOptions options = Gateway.Tests.Configuration.ConfigurationTesting.Options(
            $$"""
            static:
              consul: { port: 18500, servers: ["127.0.0.1:8500"], check: none, forwardedFor: off, timeouts: { response: {{text}} } }
            """);
        ClusterPlan cluster = Assert.Single(new Planner().Plan(new PlanInput { Catalogs = [], Options = options.Planning }).Clusters);
        Assert.Equal(wanted, cluster.Timeouts.Response);
        Assert.False(cluster.ForwardedFor);
        Assert.Equal(CheckKind.None, cluster.Check.Kind);
        Assert.Equal(wanted, ForwardConfigs.Of(cluster).Plain.ActivityTimeout);
        Assert.Equal(wanted, ForwardConfigs.Of(cluster).Grpc.ActivityTimeout);
    }
}
