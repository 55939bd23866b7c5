using System.Text;
using Gateway.Catalog;
using Gateway.Control;
using Gateway.Discovery.Consul;

namespace Gateway.Tests.Control;

/// <summary>The article's <c>service/haproxy/maxconn</c>: which number is in force, and when the key is a problem.</summary>
public sealed class ConnectionLimitTests
{
    private readonly ConnectionLimit _limit = new();

    public ConnectionLimitTests() => Configure("g.yaml:3:5");

    [Fact]
    public void A_key_that_never_existed_means_the_files_value_and_is_no_problem()
    {
        _limit.Take(ConsulKey.Absent);
        Assert.Equal((1000, "g.yaml:3:5"), _limit.Wanted);
        Assert.Null(_limit.Problem);
    }

    [Theory]
    [InlineData("200", 200)]
    [InlineData("200\n", 200)]
    [InlineData(" 200 \r\n", 200)]
    [InlineData("1", 1)]
    [InlineData("10000000", 10_000_000)]
    public void A_number_in_the_key_is_in_force(string text, int value)
    {
        _limit.Take(Held(text));
        Assert.Equal((value, "key limits/x"), _limit.Wanted);
        Assert.Null(_limit.Problem);
    }

    [Theory]
    [InlineData("")]
    [InlineData("abc")]
    [InlineData("0")]
    [InlineData("-5")]
    [InlineData("+5")]
    [InlineData("12.5")]
    [InlineData("1e3")]
    [InlineData("10000001")]
    [InlineData("99999999999999999999")]
    [InlineData("\u0000\u0001")]
    public void Garbage_keeps_the_last_good_value_and_is_a_problem(string text)
    {
        _limit.Take(Held(text));
        Assert.Equal((1000, "g.yaml:3:5"), _limit.Wanted);
        Assert.Contains("1000", Problem().Now, StringComparison.Ordinal);

        _limit.Take(Held("200"));
        Assert.Null(_limit.Problem);
        _limit.Take(Held(text));
        Assert.Equal(200, _limit.Wanted.Value);
        Assert.Equal(("limit-invalid", "http://c/v1/kv/limits/x", text), (Problem().Code, Problem().Place, Problem().Value));
        Assert.Contains("200", Problem().Now, StringComparison.Ordinal);
    }

    [Fact]
    public void A_key_that_disappears_keeps_the_last_good_value_and_is_a_problem_until_it_is_back()
    {
        _limit.Take(Held("200"));
        _limit.Take(ConsulKey.Absent);
        Assert.Equal(200, _limit.Wanted.Value);
        Assert.Equal("the key is gone", Problem().Value);
        _limit.Take(Held("300"));
        Assert.Equal(300, _limit.Wanted.Value);
        Assert.Null(_limit.Problem);
    }

    [Fact]
    public void A_variable_wins_over_the_key()
    {
        _limit.Take(Held("200"));
        Configure("GATEWAY__LIMITS__MAXCONNECTIONS");
        Assert.Equal((1000, "GATEWAY__LIMITS__MAXCONNECTIONS"), _limit.Wanted);
    }

    [Fact]
    public void Another_key_starts_without_a_memory()
    {
        _limit.Take(Held("200"));
        Configure("g.yaml:3:5");
        Assert.Equal(200, _limit.Wanted.Value);
        Configure("g.yaml:3:5", "limits/y");
        Assert.Equal(1000, _limit.Wanted.Value);
        Configure("g.yaml:3:5", null);
        Assert.Equal(1000, _limit.Wanted.Value);
    }

    private static ConsulKey Held(string text) => new(true, Encoding.UTF8.GetBytes(text));

    private Problem Problem() => Assert.IsType<Problem>(_limit.Problem);

    private void Configure(string place, string? key = "limits/x") => _limit.Configure(1000, place, key, "http://c/v1/kv/" + key);
}
