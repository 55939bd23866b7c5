using System.Net;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Traffic;

/// <summary>
/// Goal: a client that speaks HTTP/2 from the first byte (h2c) is served on an ordinary HTTP port, many requests at a time on
/// one connection, by instances that speak HTTP/1.1; a drain lets its requests end. Method: .NET's client, told to use HTTP/2 only.
/// </summary>
public sealed class Http2Tests
{
    [Fact]
    public async Task Many_requests_share_one_connection()
    {
        await using Scenario scenario = await Scenario.Start();
        using HttpClient client = Client(scenario.HttpPort);
        HttpResponseMessage[] answers = await Task.WhenAll(
            Enumerable.Range(0, 60).Select(i => client.GetAsync($"/slow?ms=300&n={i}")));
        Assert.All(answers, static answer =>
        {
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            Assert.Equal(HttpVersion.Version20, answer.Version);
        });
        string body = await answers[7].Content.ReadAsStringAsync();
        Assert.Contains("\"/slow?ms=300&n=7\"", body, StringComparison.Ordinal);
        Assert.Contains($"127.0.0.1:{scenario.HttpPort}", body, StringComparison.Ordinal);   // Host from :authority
    }

    [Fact]
    public async Task Upload_and_download_of_any_size_pass()
    {
        await using Scenario scenario = await Scenario.Start();
        using HttpClient client = Client(scenario.HttpPort);
        byte[] body = new byte[20 * 1024 * 1024];
        using ByteArrayContent content = new(body);
        using HttpResponseMessage up = await client.PostAsync("/upload", content);
        Assert.Contains($"\"length\":{body.Length}", await up.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        byte[] down = await client.GetByteArrayAsync($"/bytes?n={body.Length}");
        Assert.Equal(body.Length, down.Length);
    }

    [Fact]
    public async Task Requests_in_flight_end_in_a_drain()
    {
        await using Scenario scenario = await Scenario.Start("drain: { grace: 0s, idle: 200ms, timeout: 20s }");
        using HttpClient client = Client(scenario.HttpPort);
        Task<HttpResponseMessage> slow = client.GetAsync("/slow?ms=2500");
        await Eventually.True(async () => await scenario.Server.Seen("/slow") == 1, "the slow request is in flight");
        scenario.Gateway.Send(Signal.Terminate);
        using HttpResponseMessage answer = await slow;
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal(0, await scenario.Gateway.WaitForExit(10));
    }

    private static HttpClient Client(int port) => new()
    {
        BaseAddress = new Uri($"http://127.0.0.1:{port}"),
        DefaultRequestVersion = HttpVersion.Version20,
        DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
        Timeout = Eventually.Seconds(30),
    };
}
