using Gateway.BlackBoxTests.Edge;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Pains;

/// <summary>
/// P4, a route disappears with its last healthy instance and another service answers. Goal: the route stays and answers 503 with a
/// reason, however its instances were lost; the broader route beside it, or the service that lost the contest for the port, never
/// steps in. Method: an exact host within a wildcard, a path within a host, a contested port; instances fail their check, turn
/// critical in Consul, or die.
/// </summary>
[Trait("Needs", "consul")]
public sealed class P04NobodyHealthyTests(EdgePlatform edge) : IClassFixture<EdgePlatform>
{
    [ConsulTheory]
    [InlineData("fails its check")]
    [InlineData("is critical in Consul")]
    [InlineData("is in maintenance")]
    [InlineData("is dead")]
    public async Task Route_without_a_usable_instance_is_503_and_the_broader_one_never_answers(string how)
    {
        string unique = Guid.NewGuid().ToString("N")[..6];
        string host = $"shop.{unique}.domain.com";
        await edge.Serve($"wide-{unique}", "wide", "production", $"external-host-*.{unique}.domain.com");
        await edge.Serve($"root-{unique}", "root", "production", $"external-host-site.{unique}.domain.com");
        string name = $"shop-{unique}";
        NodeServer exact = await NodeServer.Start("exact");
        Registration registration = exact.AsService(
            name, "production", $"external-host-{host}", $"external-host-site.{unique}.domain.com/api", "gateway-check.interval=300ms") with
        {
            Check = new { CheckID = $"{name}-ttl", TTL = "10m", Status = "passing" },
        };
        try
        {
            await edge.Consul.Register(registration);
            await edge.Serves(host, "exact");
            await edge.Serves($"site.{unique}.domain.com", "exact", "/api");
            await edge.Serves($"other.{unique}.domain.com", "wide");
            await edge.Serves($"site.{unique}.domain.com", "root");

            // 1. Lost: from the first moment on, it is the exact one or 503, never somebody else.
            switch (how)
            {
                case "fails its check": await exact.Ask("/fail"); break;
                case "is critical in Consul": await edge.Consul.UpdateCheck($"{name}-ttl", "critical"); break;
                case "is in maintenance": await edge.Consul.ServiceMaintenance(registration.Id, on: true); break;
                default: exact.Kill(); break;
            }

            await Eventually.True(async () => await Ask(host, "/") == 503 && await Ask($"site.{unique}.domain.com", "/api") == 503, "both routes answer 503");
            await Eventually.Stays(
                async () => await Ask(host, "/") == 503 && await Ask($"site.{unique}.domain.com", "/api/v1") == 503, "they stay", seconds: 1);
            Assert.Equal("wide", (await edge.Get(tls: false, $"other.{unique}.domain.com")).Answer.ServedBy);
            Assert.Equal("root", (await edge.Get(tls: false, $"site.{unique}.domain.com", "/apiary")).Answer.ServedBy);

            // 2. Back.
            switch (how)
            {
                case "fails its check": await exact.Ask("/restore"); break;
                case "is critical in Consul": await edge.Consul.UpdateCheck($"{name}-ttl", "passing"); break;
                case "is in maintenance": await edge.Consul.ServiceMaintenance(registration.Id, on: false); break;
                default: exact = await NodeServer.Start("exact", port: exact.Port); break;
            }

            await edge.Serves(host, "exact");
        }
        finally
        {
            exact.Dispose();
        }
    }

    [ConsulFact]
    public async Task Loser_of_a_contested_port_never_answers_for_the_owner_that_has_nobody()
    {
        int port = Ports.Production();
        string unique = Guid.NewGuid().ToString("N")[..6];
        NodeServer owner = await edge.Serve($"owner-{unique}", "owner", "production", $"internal-listen-http-{port}", "gateway-check.interval=300ms");
        await Platform.Serves(port, "owner");
        await edge.Serve($"a-loser-{unique}", "loser", "production", $"internal-listen-http-{port}");
        await edge.Gateway.Problem("port-taken", $"a-loser-{unique}");

        await owner.Ask("/fail");
        await Platform.Answers(port, 503);
        await Eventually.Stays(async () => (await Wire.Get(port)) is { Status: 503, Reason: "no-instance" }, "it is the owner's 503", seconds: 1);
        await owner.Ask("/restore");
        await Platform.Serves(port, "owner");
    }

    // The status; fails when anybody but the exact one answers 200.
    private async Task<int> Ask(string host, string path)
    {
        WireAnswer answer = (await edge.Get(tls: false, host, path)).Answer;
        Assert.True(answer.Status == 503 || answer.ServedBy == "exact", $"{host}{path}: {answer.Status} {answer.Reason} from {answer.ServedBy}");
        return answer.Status;
    }
}
