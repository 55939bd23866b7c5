using System.Net.Sockets;

namespace Gateway.IntegrationTests.DataPlane.Http.Conformance;

/// <summary>What breaks the rules, from clients and from instances: nobody else ever sees it, and the connection ends.</summary>
public abstract class RefusalConformanceTests(Engine engine) : LaneTests(engine)
{
    private const string Chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

    private static readonly Dictionary<string, string> Requests = new(StringComparer.Ordinal)
    {
        ["length and coding"] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ["coding and length"] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        ["coding identity"] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        ["coding gzip"] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        ["coding chunked twice"] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        ["coding chunked and a comma"] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n",
        ["coding chunked, then identity"] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        ["coding xchunked"] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        ["coding with a parameter"] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n",
        ["coding in quotes"] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        ["coding behind a vertical tab"] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u000bchunked\r\n\r\n0\r\n\r\n",
        ["coding empty"] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n",
        ["coding before a colon with space"] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        ["coding in HTTP/1.0"] = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ["length with plus"] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nhi",
        ["length below zero"] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nhi",
        ["length in hex"] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x2\r\n\r\nhi",
        ["length as a list"] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\nhi",
        ["length with a space inside"] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 2\r\n\r\nhi",
        ["length empty"] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhi",
        ["length of words"] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: two\r\n\r\nhi",
        ["length with a point"] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2.0\r\n\r\nhi",
        ["length too long for us"] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nhi",
        ["length before a colon with space"] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 2\r\n\r\nhi",
        ["length twice"] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        ["a line folded"] = "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n 2\r\n\r\n",
        ["a first line folded"] = "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        ["a line without colon"] = "GET / HTTP/1.1\r\nHost: a\r\nX-A\r\n\r\n",
        ["a line without name"] = "GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n",
        ["a name with a space"] = "GET / HTTP/1.1\r\nHost: a\r\nX A: 1\r\n\r\n",
        ["a name with a quote"] = "GET / HTTP/1.1\r\nHost: a\r\nX\"A: 1\r\n\r\n",
        ["a name with a byte over 127"] = "GET / HTTP/1.1\r\nHost: a\r\nX\u00e4: 1\r\n\r\n",
        ["NUL in a value"] = "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\u00002\r\n\r\n",
        ["CR in a value"] = "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r2\r\n\r\n",
        ["CR before CRLF"] = "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\r\n\r\n",
        ["two spaces behind the method"] = "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        ["two spaces behind the target"] = "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        ["a space inside the target"] = "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        ["a tab behind the method"] = "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ["a space before the method"] = " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ["a method with a slash"] = "GE/T / HTTP/1.1\r\nHost: a\r\n\r\n",
        ["no target"] = "GET HTTP/1.1\r\nHost: a\r\n\r\n",
        ["no version"] = "GET /\r\nHost: a\r\n\r\n",
        ["HTTP/1.2"] = "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        ["HTTP/2.0"] = "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        ["HTTP/0.9"] = "GET / HTTP/0.9\r\nHost: a\r\n\r\n",
        ["version in lower case"] = "GET / http/1.1\r\nHost: a\r\n\r\n",
        ["version of three parts"] = "GET / HTTP/1.1.1\r\nHost: a\r\n\r\n",
        ["a target without slash"] = "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
        ["an asterisk for GET"] = "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        ["NUL in the target"] = "GET /\u0000 HTTP/1.1\r\nHost: a\r\n\r\n",
        ["bytes over 127 in the target"] = "GET /\u00e4 HTTP/1.1\r\nHost: a\r\n\r\n",
        ["an absolute target with userinfo"] = "GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ["an absolute target without host"] = "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
        ["an absolute target of another host"] = "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n",
        ["no Host"] = "GET / HTTP/1.1\r\nX-A: 1\r\n\r\n",
        ["Host twice"] = "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        ["Host with a space"] = "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        ["Host with a path"] = "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        ["Host with userinfo"] = "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        ["Host as a list"] = "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        ["CONNECT"] = "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        ["CONNECT of a path"] = "CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n",
        ["TLS"] = "\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003\r\n\r\n",
        ["chunk size with a sign"] = $"{Chunked}+2\r\nhi\r\n0\r\n\r\n",
        ["chunk size below zero"] = $"{Chunked}-2\r\nhi\r\n0\r\n\r\n",
        ["chunk size with 0x"] = $"{Chunked}0x2\r\nhi\r\n0\r\n\r\n",
        ["chunk size with an underscore"] = $"{Chunked}1_0\r\n0123456789012345\r\n0\r\n\r\n",
        ["chunk size over every number"] = $"{Chunked}10000000000000000\r\nhi\r\n0\r\n\r\n",
        ["chunk size below zero by its top bit"] = $"{Chunked}FFFFFFFFFFFFFFFE\r\nhi\r\n0\r\n\r\n",
        ["no chunk size"] = $"{Chunked}\r\nhi\r\n0\r\n\r\n",
        ["chunk size ends with LF"] = $"{Chunked}2\nhi\r\n0\r\n\r\n",
        ["chunk extension ends with LF"] = $"{Chunked}2;a\nhi\r\n0\r\n\r\n",
        ["chunk extension with CR"] = $"{Chunked}2;a\rb\r\nhi\r\n0\r\n\r\n",
        ["chunk longer than its size"] = $"{Chunked}2\r\nhiX\r\n0\r\n\r\n",
        ["chunk ends with LF"] = $"{Chunked}2\r\nhi\n0\r\n\r\n",
        ["chunk ends with CR alone"] = $"{Chunked}2\r\nhi\rX0\r\n\r\n",
    };

    // What the instance says before the connection may count as an answer: nothing of it reaches the client.
    private static readonly Dictionary<string, string> Responses = new(StringComparer.Ordinal)
    {
        ["no HTTP"] = "+OK ready\r\n\r\n",
        ["HTTP/2.0"] = "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        ["HTTP of no version"] = "HTTP 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        ["a status of two digits"] = "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nhi",
        ["a status of four digits"] = "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nhi",
        ["a status of letters"] = "HTTP/1.1 2xx OK\r\nContent-Length: 2\r\n\r\nhi",
        ["length twice"] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nhi",
        ["length with plus"] = "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi",
        ["length below zero"] = "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi",
        ["length of words"] = "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nhi",
        ["length and coding"] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        ["coding gzip"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhi",
        ["coding chunked and a comma"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked,\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        ["coding identity"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi",
        ["NUL in a value"] = "HTTP/1.1 200 OK\r\nX-A: 1\u00002\r\nContent-Length: 2\r\n\r\nhi",
        ["CR in a value"] = "HTTP/1.1 200 OK\r\nX-A: 1\r2\r\nContent-Length: 2\r\n\r\nhi",
        ["a line without colon"] = "HTTP/1.1 200 OK\r\nX-A\r\nContent-Length: 2\r\n\r\nhi",
        ["a name with a space"] = "HTTP/1.1 200 OK\r\nX A: 1\r\nContent-Length: 2\r\n\r\nhi",
        ["101 that nobody asked for"] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ["a head without end"] = $"HTTP/1.1 200 OK\r\nX-A: {new string('x', 70_000)}\r\nContent-Length: 2\r\n\r\nhi",
        ["eleven hundred lines"] = $"HTTP/1.1 200 OK\r\n{string.Concat(Enumerable.Repeat("X-A: 1\r\n", 1100))}Content-Length: 2\r\n\r\nhi",
    };

    // Behind a good head: the client must not take what it got for whole.
    private static readonly Dictionary<string, string> Bodies = new(StringComparer.Ordinal)
    {
        ["shorter than its length"] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
        ["chunks without an end"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        ["half a chunk"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi",
        ["half an end"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n",
        ["chunk size of letters"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n",
        ["chunk size below zero"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n-2\r\nhi\r\n0\r\n\r\n",
        ["chunk longer than its size"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhiX\r\n0\r\n\r\n",
    };

    // Framed well and understood, only not to be had: the connection may live.
    private static readonly HashSet<string> Refused = new(StringComparer.Ordinal) { "an asterisk for GET", "an absolute target with userinfo" };

    // What Kestrel and .NET's client take although they should not. Framing is written anew on both sides, so that what they made of it is
    // what the other side gets: a number, the one coding that ends here, a value without the byte, a name left out.
    private static readonly HashSet<string> RequestsKestrelTakes = new(StringComparer.Ordinal)
    {
        "length with plus", "a name with a quote", "two spaces behind the target",
    };

    private static readonly HashSet<string> ResponsesKestrelTakes = new(StringComparer.Ordinal)
    {
        "eleven hundred lines", "CR in a value", "NUL in a value", "length and coding", "coding identity", "coding chunked and a comma",
    };

    public static TheoryData<string> RequestNames => [.. Requests.Keys];

    public static TheoryData<string> ResponseNames => [.. Responses.Keys];

    public static TheoryData<string> BodyNames => [.. Bodies.Keys];

    [Theory]
    [MemberData(nameof(RequestNames))]
    public async Task A_request_against_the_rules_is_refused_and_what_follows_it_is_nobodys_request(string name)
    {
        await using RecordingInstance instance = new();
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        foreach (bool bytewise in new[] { false, true })
        {
            using RawConnection client = await lane.ConnectAsync();
            string second = Refused.Contains(name) ? "" : "GET /second HTTP/1.1\r\nHost: a\r\n\r\n";
            await SendAllAsync(client, Requests[name] + second, bytewise);
            Message answer = await Wire.ReadAsync(client, response: true);
            if (Engine == Engine.Kestrel && RequestsKestrelTakes.Contains(name))
            {
                await ExpectCleanAsync(client, answer, instance);
                continue;
            }

            Assert.Equal(400, answer.Status);
            Assert.Equal("bad-request", answer.Header("X-Gateway-Reason"));
            Assert.NotNull(answer.Header("X-Request-Id"));
            Assert.True(second.Length == 0 || await Wire.EndsAsync(client));
            Assert.Empty(instance.Requests);
        }
    }

    [Theory]
    [MemberData(nameof(ResponseNames))]
    public async Task An_answer_against_the_rules_is_502(string name)
    {
        await using RawInstance instance = RawInstance.Answering(Responses[name]);
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\n\r\n");

        Message answer = await Wire.ReadAsync(client, response: true);
        if (Engine == Engine.Kestrel && ResponsesKestrelTakes.Contains(name))
        {
            Assert.Equal((200, "hi"), (answer.Status, answer.Body));
            Assert.DoesNotContain(answer.Head.Replace("\r\n", "", StringComparison.Ordinal), c => c < ' ');
            return;
        }

        Assert.Equal(502, answer.Status);
        Assert.Equal("bad-response", answer.Header("X-Gateway-Reason"));

        // Nothing of it is left for whoever comes next.
        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\n\r\n");
        Assert.Equal(502, (await Wire.ReadAsync(client, response: true)).Status);
        Assert.Equal(Engine == Engine.Kestrel && name == "length twice" ? 1 : 2, instance.Accepted);
    }

    [Theory]
    [MemberData(nameof(BodyNames))]
    public async Task An_answer_that_breaks_off_is_never_whole_for_the_client(string name)
    {
        await using RawInstance instance = new(async connection =>
        {
            await connection.ReadMessageAsync();
            await connection.SendAsync(Bodies[name]);
            connection.Socket.Shutdown(SocketShutdown.Send);
            await connection.ReadToEndAsync();
        });
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        using RawConnection client = await lane.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");

        try
        {
            // Where nothing had been sent yet it is a failure like any other; otherwise the end comes too early.
            string head = await client.ReadHeadAsync();
            if (RawConnection.Status(head) != 502)
            {
                Assert.DoesNotContain("0\r\n\r\n", await client.ReadToEndAsync(), StringComparison.Ordinal);
            }
        }
        catch (SocketException)
        {
            // A reset says it too.
        }

        Observability.AccessRecord record = await lane.RecordAsync();
        Assert.Contains(record.Reason, new[] { "instance-reset", "bad-response" });
    }

    // Each of the two requests was seen once, with a head that no longer has what was wrong.
    private static async Task ExpectCleanAsync(RawConnection client, Message first, RecordingInstance instance)
    {
        Assert.Equal(200, first.Status);
        Assert.Equal(200, (await Wire.ReadAsync(client, response: true)).Status);
        Assert.Equal(2, instance.Requests.Count);
        Assert.Equal("GET /second HTTP/1.1", instance.Requests.Last().Line);
        Assert.Contains(instance.Requests.First().Line.Split(' ').Length, new[] { 3 });
        Assert.DoesNotContain("\"A", instance.Requests.First().Head, StringComparison.Ordinal);
        instance.Requests.Clear();
    }

    // The gateway may hang up before the last byte is out.
    private static async Task SendAllAsync(RawConnection client, string text, bool bytewise)
    {
        try
        {
            await Wire.SendAsync(client, text, bytewise);
        }
        catch (SocketException)
        {
            // Its answer is here already.
        }
    }
}

/// <inheritdoc/>
public sealed class RefusalConformanceOnKestrelTests() : RefusalConformanceTests(Engine.Kestrel);

/// <inheritdoc/>
public sealed class RefusalConformanceOnLoopsTests() : RefusalConformanceTests(Engine.Loops);
