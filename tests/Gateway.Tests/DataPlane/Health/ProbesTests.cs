using Gateway.DataPlane.Health;
using Gateway.Planning;

namespace Gateway.Tests.DataPlane.Health;

public sealed class ProbesTests
{
    // SPEC §5: check: auto takes 2xx, 3xx and other 4xx as up, 5xx as down; 404, 405 and 501 mean a connect until it has
    // answered 2xx or 3xx.
    [Theory]
    [InlineData("Auto", 200, false, true)]
    [InlineData("Auto", 204, true, true)]
    [InlineData("Auto", 301, false, true)]
    [InlineData("Auto", 400, true, true)]
    [InlineData("Auto", 401, false, true)]
    [InlineData("Auto", 429, true, true)]
    [InlineData("Auto", 404, false, true)]
    [InlineData("Auto", 404, true, false)]
    [InlineData("Auto", 405, false, true)]
    [InlineData("Auto", 405, true, false)]
    [InlineData("Auto", 501, false, true)]
    [InlineData("Auto", 501, true, false)]
    [InlineData("Auto", 500, false, false)]
    [InlineData("Auto", 503, true, false)]
    [InlineData("Auto", 101, true, false)]
    [InlineData("Http", 200, false, true)]
    [InlineData("Http", 399, false, true)]
    [InlineData("Http", 401, false, false)]
    [InlineData("Http", 404, false, false)]
    [InlineData("Http", 503, false, false)]
    public void A_status_means(string kind, int status, bool answered, bool up)
    {
        ProbeResult result = Probes.Judge(Enum.Parse<CheckKind>(kind), status, answered, "2 ms");

        Assert.Equal(up, result.Success);
        Assert.StartsWith($"HTTP {status} in 2 ms", result.Evidence, StringComparison.Ordinal);
        Assert.Equal(status is >= 200 and < 400, result.Answered);
    }
}
