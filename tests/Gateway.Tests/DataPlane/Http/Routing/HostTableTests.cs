using System.Globalization;
using System.Text;
using Gateway.DataPlane.Http.Routing;

namespace Gateway.Tests.DataPlane.Http.Routing;

public sealed class HostTableTests
{
    private static readonly HostTable<string> Table = new(
    [
        ("a.example", "/", "a"),
        ("a.example", "/api", "a-api"),
        ("a.example", "/api/v2/", "a-api-2"),
        ("only-api.example", "/api", "only-api"),
        ("*.example", "/", "wild"),
        ("*.deep.example", "/x", "deep-x"),
        ("*", "/any", "any"),
        ("[::1]", "/", "v6"),
    ]);

    [Theory]
    [InlineData("a.example", "/", "a")]
    [InlineData("A.EXAMPLE", "/", "a")]
    [InlineData("a.example:80", "/", "a")]
    [InlineData("a.example.", "/", "a")]
    [InlineData("a.Example.:8080", "/", "a")]
    [InlineData("[::1]", "/", "v6")]
    [InlineData("[::1]:80", "/", "v6")]
    public void A_host_matches_whole_without_case_port_and_trailing_dot(string host, string path, string target) =>
        Assert.Equal(target, Find(host, path));

    [Theory]
    [InlineData("xa.example2")]
    [InlineData("a.exampl")]
    [InlineData("a.example.com")]
    [InlineData("example")]
    [InlineData(".example")]
    [InlineData("")]
    [InlineData(":80")]
    [InlineData("*")]
    [InlineData("*.example2")]
    public void Nothing_else_matches_it(string host) => Assert.Null(Find(host, "/"));

    [Theory]
    [InlineData("/api", "a-api")]
    [InlineData("/api/", "a-api")]
    [InlineData("/api/x", "a-api")]
    [InlineData("/api?q", "a-api")]
    [InlineData("/apix", "a")]
    [InlineData("/API", "a")]
    [InlineData("/api/v2", "a-api-2")]
    [InlineData("/api/v2/x", "a-api-2")]
    [InlineData("/api/v20", "a-api")]
    [InlineData("/%61pi", "a")]
    public void Longest_path_prefix_wins_on_segment_borders(string path, string target) =>
        Assert.Equal(target, Find("a.example", path));

    [Theory]
    [InlineData("b.example", "/", "wild")]
    [InlineData("b.c.example", "/", "wild")]
    [InlineData("q.deep.example", "/x/y", "deep-x")]
    [InlineData("q.deep.example", "/y", "wild")]
    [InlineData("deep.example", "/x", "wild")]
    [InlineData("only-api.example", "/api", "only-api")]
    [InlineData("only-api.example", "/", "wild")]
    [InlineData("other.test", "/any/x", "any")]
    public void The_more_specific_host_wins_and_what_it_does_not_answer_falls_through(string host, string path, string target) =>
        Assert.Equal(target, Find(host, path));

    [Fact]
    public void An_empty_table_finds_nothing() => Assert.Null(new HostTable<string>([]).Find("a", "/"));

    [Fact]
    public void Any_host_alone_answers_everything() =>
        Assert.Equal("all", new HostTable<string>([("*", "/", "all")]).Find("", "*"));

    [Fact]
    public void Ten_thousand_hosts_are_all_found_and_their_neighbours_are_not()
    {
        string[] hosts = [.. Enumerable.Range(0, 10_000).Select(i => string.Create(CultureInfo.InvariantCulture, $"s{i}.example.com"))];
        HostTable<string> table = new(hosts.Select(host => (host, "/", host)));
        foreach (string host in hosts)
        {
            Assert.Equal(host, table.Find(host.ToUpperInvariant() + ":443", "/x"));
            Assert.Null(table.Find("x" + host, "/x"));
        }
    }

    // Characters and bytes must decide alike: two engines read the same table.
    private static string? Find(string host, string path)
    {
        string? byChars = Table.Find(host, path);
        string? byBytes = Table.Find(Encoding.Latin1.GetBytes(host), Encoding.Latin1.GetBytes(path));
        Assert.Equal(byChars, byBytes);
        return byChars;
    }
}
