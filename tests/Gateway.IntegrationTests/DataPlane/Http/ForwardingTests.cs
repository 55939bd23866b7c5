namespace Gateway.IntegrationTests.DataPlane.Http;

/// <summary>Heads and bodies on the wire, both ways.</summary>
public sealed class ForwardingTests
{
    [Theory]
    [InlineData("/a%2Fb//c/../d?x=%20&y=[]")]
    [InlineData("/%7e/%7E/./..//")]
    [InlineData("/%C3%A4%e2%82%ac?q=a+b&c=%2B#")]
    [InlineData("/?")]
    [InlineData("//evil.example/x")]
    [InlineData("/a;b=c,d/@:!$&'()*+=|\"<>^`{}\\")]
    [InlineData("/%zz/%")]
    public async Task Path_and_query_arrive_byte_for_byte(string target)
    {
        await using RawInstance instance = RawInstance.Echoing();
        await using LaneUnderTest lane = await LaneUnderTest.StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();

        await client.SendAsync($"GET {target} HTTP/1.1\r\nHost: a.example:3000\r\n\r\n");
        (_, string seen) = await client.ReadMessageAsync();

        Assert.StartsWith($"GET {target} HTTP/1.1\r\n", seen, StringComparison.Ordinal);
        Assert.Equal(["a.example:3000"], RawConnection.Headers(seen, "Host"));
    }
}
