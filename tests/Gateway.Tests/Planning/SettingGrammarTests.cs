using Gateway.Planning;

namespace Gateway.Tests.Planning;

public sealed class SettingGrammarTests
{
    [Theory]
    [InlineData("balance", "roundrobin")]
    [InlineData("balance", "LeastConn")]
    [InlineData("BALANCE", "leastconn")]
    [InlineData("check", "auto")]
    [InlineData("check", "tcp")]
    [InlineData("check", "none")]
    [InlineData("check.http", "/healthcheck?full=1")]
    [InlineData("check.tcp", "on")]
    [InlineData("check.tcp", "false")]
    [InlineData("check.interval", "10s")]
    [InlineData("check.fastInterval", "1s")]
    [InlineData("check.timeout", "2s")]
    [InlineData("check.rise", "1")]
    [InlineData("check.fall", "3")]
    [InlineData("timeouts.connect", "5s")]
    [InlineData("timeouts.response", "15m")]
    [InlineData("timeouts.tunnel", "1h")]
    [InlineData("forwardedFor", "off")]
    [InlineData("protocol", "h2c")]
    [InlineData("weight", "0")]
    [InlineData("weight", "256")]
    public void What_is_built_is_taken(string key, string value) => Assert.Null(SettingGrammar.Check(key, value));

    [Theory]
    [InlineData("timeouts.request", "10s")]
    [InlineData("timeouts.request", "10000ms")]
    [InlineData("timeouts.queue", "5s")]
    [InlineData("timeouts.keepAlive", "60s")]
    [InlineData("timeouts.keepAlive", "1m")]
    [InlineData("backup", "false")]
    [InlineData("sticky", "off")]
    [InlineData("sticky", "null")]
    [InlineData("sticky", "")]
    [InlineData("maxConnections", "0")]
    [InlineData("slowStart", "0")]
    [InlineData("panicThreshold", "0%")]
    [InlineData("check.grpc", "off")]
    public void What_changes_nothing_is_taken_before_it_is_built(string key, string value) =>
        Assert.Null(SettingGrammar.Check(key, value));

    [Theory]
    [InlineData("balance", "random", "roundrobin, leastconn")]
    [InlineData("balance", "random(2)", "roundrobin, leastconn")]
    [InlineData("balance", "hdr(x-user)", "roundrobin, leastconn")]
    [InlineData("balance", "url_param userid", "roundrobin, leastconn")]
    [InlineData("check", "grpc", "auto, tcp, none")]
    [InlineData("protocol", "https", "auto, http1, h2c")]
    [InlineData("protocol", "h2", "auto, http1, h2c")]
    [InlineData("timeouts.queue", "1s", "5s")]
    [InlineData("sticky", "cookie", "off")]
    [InlineData("maxConnections", "100", "0")]
    [InlineData("panicThreshold", "50%", "0%")]
    public void What_is_not_built_is_refused_as_such_with_what_is_allowed(string key, string value, string allowed)
    {
        string? message = SettingGrammar.Check(key, value);
        Assert.Contains("not built yet", message, StringComparison.Ordinal);
        Assert.Contains(allowed, message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("balance", "fastest")]
    [InlineData("check", "http")]
    [InlineData("check.http", "healthcheck")]
    [InlineData("check.http", "/a b")]
    [InlineData("check.http", "/a#b")]
    [InlineData("check.http", "/ä")]
    [InlineData("check.http", "/a\r\nHost: x")]
    [InlineData("check.tcp", "5432")]
    [InlineData("check.interval", "10")]
    [InlineData("check.interval", "0")]
    [InlineData("check.interval", "1ms")]
    [InlineData("check.rise", "0")]
    [InlineData("check.fall", "-1")]
    [InlineData("timeouts.connect", "0s")]
    [InlineData("timeouts.queue", "soon")]
    [InlineData("forwardedFor", "")]
    [InlineData("weight", "257")]
    [InlineData("weight", "1.5")]
    [InlineData("weight", "")]
    public void What_is_wrong_is_refused_with_what_is_allowed(string key, string value)
    {
        string? message = SettingGrammar.Check(key, value);
        Assert.Contains("is not allowed; allowed is", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("balanse", "the nearest is 'balance'")]
    [InlineData("chekc.http", "the nearest is 'check.http'")]
    [InlineData("timeout.response", "the nearest is 'timeouts.response'")]
    [InlineData("check.fast_interval", "the nearest is 'check.fastInterval'")]
    [InlineData("xyzzy", "known are balance, check,")]
    [InlineData("", "known are balance, check,")]
    public void An_unknown_key_comes_with_the_nearest_one(string key, string hint) =>
        Assert.Contains(hint, SettingGrammar.Check(key, "1"), StringComparison.Ordinal);

    [Theory]
    [InlineData("check_http", "check.http")]
    [InlineData("CHECK-HTTP", "check.http")]
    [InlineData("check_fast-interval", "check.fastInterval")]
    [InlineData("timeouts_keep_alive", "timeouts.keepAlive")]
    [InlineData("forwarded-for", "forwardedFor")]
    public void Meta_keys_compare_without_case_dash_and_underscore(string meta, string key) =>
        Assert.Equal(key, SettingGrammar.FindMeta(meta)?.Name);

    [Fact]
    public void Every_default_is_a_value_its_key_takes_and_says_nothing_new()
    {
        foreach (SettingSlot slot in Enum.GetValues<SettingSlot>().Where(s => s != SettingSlot.Weight))
        {
            SettingKey key = SettingGrammar.Find(ClusterSettings.NameOf(slot))!;
            Assert.Equal(slot, key.Slot);
            Assert.Equal(new SettingReading(ClusterSettings.DefaultOf(slot)), key.Read(ClusterSettings.DefaultOf(slot)));

            string?[] slots = new string?[ClusterSettings.Slots];
            slots[(int)slot] = ClusterSettings.DefaultOf(slot);
            Assert.Equal(ClusterSettings.Default, ClusterSettings.From(slots));
        }

        Assert.Equal("weight", ClusterSettings.NameOf(SettingSlot.Weight));
    }
}
