namespace Gateway.IntegrationTests;

public sealed class PlaceholderTests
{
    [Fact]
    public void Builds()
    {
    }
}
