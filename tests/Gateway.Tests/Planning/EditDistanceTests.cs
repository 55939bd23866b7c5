using Gateway.Planning;

namespace Gateway.Tests.Planning;

public sealed class EditDistanceTests
{
    [Theory]
    [InlineData("staging", "staging", 0)]
    [InlineData("STAGING", "staging", 0)]
    [InlineData("stagging", "staging", 1)]
    [InlineData("satging", "staging", 1)]
    [InlineData("stging", "staging", 1)]
    [InlineData("prodcution", "production", 1)]
    [InlineData("prodution", "production", 1)]
    [InlineData("stage", "staging", 3)]
    [InlineData("", "ab", 2)]
    [InlineData("", "", 0)]
    public void Typing_errors_are_counted(string a, string b, int distance)
    {
        Assert.Equal(distance, EditDistance.Between(a, b, 5));
        Assert.Equal(distance, EditDistance.Between(b, a, 5));
        Assert.Equal(Math.Min(distance, 2), EditDistance.Between(a, b, 1));
    }

    [Fact]
    public void The_closest_is_found_without_case_and_the_first_of_equals_wins()
    {
        Assert.Equal("tokenFile", EditDistance.Closest("tokenfile", ["address", "tokenFile"]));
        Assert.Equal("ab", EditDistance.Closest("aa", ["ab", "ac"]));
        Assert.Equal("File", EditDistance.Closest("File", ["file", "File"]));
        Assert.Equal("b", EditDistance.Closest(new string('x', 100_000), ["b"]));
        Assert.Null(EditDistance.Closest("x", []));
    }

    [Fact]
    public void Very_long_words_are_far_from_everything() =>
        Assert.Equal(3, EditDistance.Between(new string('x', 100_000), new string('x', 100_000), 2));
}
