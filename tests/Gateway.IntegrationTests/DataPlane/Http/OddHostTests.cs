namespace Gateway.IntegrationTests.DataPlane.Http;

/// <summary>
/// Hosts that Kestrel lets in and SocketsHttpHandler does not take for hosts: it would name the instance's address in a Host of
/// its own beside the client's, and what the service sees is anybody's guess (RFC 9112 §3.2 asks for exactly one).
/// </summary>
public sealed class OddHostTests
{
    [Theory]
    [InlineData("a.example:99999")]
    [InlineData("a..b")]
    [InlineData(".a")]
    [InlineData(".")]
    [InlineData("a!b")]
    [InlineData("a(b)")]
    [InlineData("a~b:80")]
    public async Task A_host_that_could_not_go_on_alone_is_refused(string host)
    {
        await using RawInstance instance = RawInstance.Echoing();
        await using LaneUnderTest lane = await LaneUnderTest.StartAsync(Engine.Kestrel, LaneUnderTest.Cluster(instance.EndPoint));
        using RawConnection client = await lane.ConnectAsync();

        await client.SendAsync($"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        (string head, string body) = await client.ReadMessageAsync();

        Assert.Equal(400, RawConnection.Status(head));
        Assert.Equal("bad-request", RawConnection.Header(head, "X-Gateway-Reason"));
        Assert.Contains("Host", body, StringComparison.Ordinal);
        Assert.Equal(0, instance.Accepted);
    }

    [Fact]
    public async Task A_name_longer_than_any_is_refused()
    {
        await using RawInstance instance = RawInstance.Echoing();
        await using LaneUnderTest lane = await LaneUnderTest.StartAsync(Engine.Kestrel, LaneUnderTest.Cluster(instance.EndPoint));
        using RawConnection client = await lane.ConnectAsync();

        await client.SendAsync($"GET / HTTP/1.1\r\nHost: {new string('a', 300)}\r\n\r\n");

        Assert.Equal(400, RawConnection.Status((await client.ReadMessageAsync()).Head));
    }

    [Theory]
    [InlineData("A.Example.:00080")]
    [InlineData("a_b")]
    [InlineData("-a-")]
    [InlineData("[::1]:3000")]
    [InlineData("[::ffff:1.2.3.4]")]
    [InlineData("999.1.1.1")]
    [InlineData("xn--a")]
    [InlineData("a:0")]
    [InlineData("0x7f.1:65535")]
    public async Task Any_other_arrives_alone_and_byte_for_byte(string host)
    {
        await using RawInstance instance = RawInstance.Echoing();
        await using LaneUnderTest lane = await LaneUnderTest.StartAsync(Engine.Kestrel, LaneUnderTest.Cluster(instance.EndPoint));
        using RawConnection client = await lane.ConnectAsync();

        await client.SendAsync($"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        (string head, string seen) = await client.ReadMessageAsync();

        Assert.Equal(200, RawConnection.Status(head));
        Assert.Equal([host], RawConnection.Headers(seen, "Host"));
    }
}
