using System.Net;
using Gateway.DataPlane.Http;

namespace Gateway.Tests.DataPlane.Http;

public sealed class HeaderRulesTests
{
    [Theory]
    [InlineData("Connection")]
    [InlineData("connection")]
    [InlineData("Keep-Alive")]
    [InlineData("Proxy-Connection")]
    [InlineData("Transfer-Encoding")]
    [InlineData("TE")]
    [InlineData("Upgrade")]
    [InlineData("Proxy-Authenticate")]
    [InlineData("Proxy-Authorization")]
    [InlineData("HTTP2-Settings")]
    public void Hop_by_hop_headers_end_here(string name) => Assert.True(HeaderRules.EndsHere(name));

    [Theory]
    [InlineData("Host")]
    [InlineData("Trailer")]
    [InlineData("Expect")]
    [InlineData("Cookie")]
    [InlineData("X-Connection")]
    [InlineData("Authorization")]
    public void Other_headers_go_on(string name) => Assert.False(HeaderRules.EndsHere(name));

    [Theory]
    [InlineData("close, X-Secret", "X-Secret", true)]
    [InlineData("x-secret", "X-Secret", true)]
    [InlineData(",, X-Other ,\tX-Secret", "X-Secret", true)]
    [InlineData("X-Secrets", "X-Secret", false)]
    [InlineData("keep-alive", "X-Secret", false)]
    [InlineData("X-Forwarded-For", "X-Forwarded-For", false)]
    [InlineData("CDN-Loop", "CDN-Loop", false)]
    [InlineData("Content-Length, Host", "Content-Length", false)]
    [InlineData("Content-Length, Host", "Host", false)]
    [InlineData("X-Gateway-Reason", "x-gateway-reason", false)]
    public void Connection_names_headers_that_end_here_but_never_ours(string connection, string name, bool named) =>
        Assert.Equal(named, HeaderRules.IsNamedBy(connection, name));

    [Theory]
    [InlineData("", 0)]
    [InlineData("gw1", 1)]
    [InlineData("GW1; v=1, other, gw1", 2)]
    [InlineData("gw1x, xgw1, gw 1", 0)]
    [InlineData("gw1;a=b", 1)]
    public void Our_id_is_counted_as_a_whole(string value, int count) => Assert.Equal(count, HeaderRules.CountOwnId(value, "gw1"));

    [Fact]
    public void The_clients_address_is_plain()
    {
        Assert.Equal("10.0.0.1", HeaderRules.ClientAddress(new IPEndPoint(IPAddress.Parse("::ffff:10.0.0.1"), 5)));
        Assert.Equal("2001:db8::1", HeaderRules.ClientAddress(new IPEndPoint(IPAddress.Parse("2001:db8::1"), 5)));
        Assert.Null(HeaderRules.ClientAddress(null));
    }
}
