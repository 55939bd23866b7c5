using System.Net;
using Gateway.DataPlane.Http;

namespace Gateway.Tests.DataPlane.Http;

public sealed class ForwardingTests
{
    private static readonly ForwardingFacts s_facts = new("203.0.113.7", "https", "Shop.example", 443);

    [Theory]
    [InlineData("X-Forwarded-For")]
    [InlineData("x-forwarded-proto")]
    [InlineData("X-Forwarded-Prefix")]
    [InlineData("X_Forwarded_For")]
    [InlineData("Forwarded")]
    [InlineData("X-Real-IP")]
    [InlineData("x_real_ip")]
    public void Headers_about_the_way_a_request_came_are_known(string name) => Assert.True(Forwarding.Concerns(name));

    [Theory]
    [InlineData("X-Forwarded")]
    [InlineData("X-Request-Id")]
    [InlineData("Forwardex")]
    [InlineData("Via")]
    [InlineData("CDN-Loop")]
    public void Others_are_left_alone(string name) => Assert.False(Forwarding.Concerns(name));

    [Fact]
    public void For_an_untrusted_peer_everything_is_said_anew() => Assert.Equal(
        [
            "X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: Shop.example", "X-Forwarded-Port: 443",
            "X-Real-IP: 203.0.113.7", "Forwarded: for=203.0.113.7;host=Shop.example;proto=https",
        ],
        Added(trusted: null, []));

    [Fact]
    public void Behind_a_trusted_proxy_lists_grow_and_single_values_stand() => Assert.Equal(
        ["X-Forwarded-For: 203.0.113.7", "X-Forwarded-Port: 443", "X-Real-IP: 198.51.100.9", "Forwarded: for=203.0.113.7;host=Shop.example;proto=https"],
        Added(new TrustedNetworks(["203.0.113.0/24", "10.0.0.0/8"]), new()
        {
            ["X-Forwarded-For"] = ["6.6.6.6, 198.51.100.9", "10.1.2.3"],
            ["X-Forwarded-Proto"] = ["http"],
            ["X-Forwarded-Host"] = ["first.example"],
        }));

    [Theory]
    [InlineData("2001:db8::1", "a.example:8443", "for=\"[2001:db8::1]\";host=\"a.example:8443\";proto=http")]
    [InlineData("192.0.2.1", "", "for=192.0.2.1;proto=http")]
    [InlineData("192.0.2.1", "[::1]:80", "for=192.0.2.1;host=\"[::1]:80\";proto=http")]
    public void Element_of_forwarded_is_quoted_where_rfc_7239_asks_for_it(string client, string host, string expected) =>
        Assert.Equal(expected, Forwarding.Element(new ForwardingFacts(client, "http", host, 80)));

    [Theory]
    [InlineData("10.1.2.3", true)]
    [InlineData("::ffff:10.1.2.3", true)]
    [InlineData("11.0.0.1", false)]
    [InlineData("192.0.2.1", true)]
    [InlineData("192.0.2.2", false)]
    [InlineData("fd00::5", true)]
    [InlineData("fe80::1", false)]
    public void Peers_are_trusted_by_address_or_network(string peer, bool trusted) =>
        Assert.Equal(trusted, new TrustedNetworks(["10.9.9.9/8", "192.0.2.1", "fd00::/8"]).Contains(IPAddress.Parse(peer)));

    [Theory]
    [InlineData("198.51.100.9", "1.1.1.1, 198.51.100.9, 10.0.0.2")]
    [InlineData("10.0.0.1", "10.0.0.1, 10.0.0.2")]
    [InlineData("10.0.0.3", "")]
    [InlineData("10.0.0.2", "1.1.1.1, garbage, 10.0.0.2")]
    [InlineData("198.51.100.9", "198.51.100.9:4711")]
    [InlineData("2001:db8::1", "[2001:db8::1]:4711")]
    public void Client_is_the_first_from_the_right_whom_nobody_vouches_for(string expected, string forwardedFor) =>
        Assert.Equal(expected, new TrustedNetworks(["10.0.0.0/8"]).ClientOf([forwardedFor], "10.0.0.3"));

    private static List<string> Added(TrustedNetworks? trusted, Dictionary<string, string[]> present)
    {
        List<string> lines = [];
        Forwarding.Add(s_facts, trusted, name => present.GetValueOrDefault(name) ?? [], (name, value) => lines.Add($"{name}: {value}"));
        return lines;
    }
}
