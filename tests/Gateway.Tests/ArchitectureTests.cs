namespace Gateway.Tests;

public sealed class ArchitectureTests
{
    [Fact]
    public void Library_loads() => Assert.NotNull(typeof(Gateway.Planning.Planner));
}
