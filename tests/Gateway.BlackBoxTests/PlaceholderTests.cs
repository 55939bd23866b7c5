namespace Gateway.BlackBoxTests;

public sealed class PlaceholderTests
{
    [Fact]
    public void Builds()
    {
    }
}
