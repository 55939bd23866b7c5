using Gateway.Configuration;

namespace Gateway.Tests.Configuration;

public sealed class NearestNameTests
{
    [Theory]
    [InlineData("grace", "grace", 0)]
    [InlineData("garce", "grace", 1)]
    [InlineData("grac", "grace", 1)]
    [InlineData("graace", "grace", 1)]
    [InlineData("", "abc", 3)]
    [InlineData("kitten", "sitting", 3)]
    public void Edits_are_counted(string a, string b, int edits)
    {
        Assert.Equal(edits, NearestName.Distance(a, b));
        Assert.Equal(edits, NearestName.Distance(b, a));
    }

    [Fact]
    public void Names_are_compared_without_case_and_the_first_of_equals_wins()
    {
        Assert.Equal("tokenFile", NearestName.Of("tokenfile", ["address", "tokenFile"]));
        Assert.Equal("ab", NearestName.Of("aa", ["ab", "ac"]));
        Assert.Null(NearestName.Of("x", []));
    }
}
