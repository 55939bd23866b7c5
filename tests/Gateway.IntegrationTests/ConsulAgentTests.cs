namespace Gateway.IntegrationTests;

[Trait("Needs", "consul")]
public sealed class ConsulAgentTests
{
    [Fact]
    public async Task Agent_keeps_its_registrations_over_a_kill()
    {
        await using ConsulAgent consul = await ConsulAgent.StartAsync();
        await consul.RegisterAsync(new { Name = "web", Port = 80 });
        Uri address = consul.Address;

        await consul.KillAsync();
        await Assert.ThrowsAnyAsync<HttpRequestException>(() => consul.Http.GetStringAsync(address));
        await consul.StartAgainAsync();

        Assert.Contains("web", await consul.Http.GetStringAsync(new Uri(consul.Address, "/v1/agent/services")));
    }
}
