namespace Gateway.IntegrationTests.DataPlane.Http.Conformance;

/// <summary>Valid requests, as the instance gets them: sent whole, and a byte at a time.</summary>
public abstract class RequestConformanceTests(Engine engine) : LaneTests(engine)
{
    private static readonly Dictionary<string, Case> Cases = new(StringComparer.Ordinal)
    {
        ["origin form"] = new("GET /x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x HTTP/1.1"),
        ["query alone"] = new("GET /?a=b&c HTTP/1.1\r\nHost: a\r\n\r\n", "GET /?a=b&c HTTP/1.1"),
        ["question mark at the end"] = new("GET /x? HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x? HTTP/1.1"),
        ["dot segments"] = new("GET /a/./b/../c HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a/./b/../c HTTP/1.1"),
        ["two slashes"] = new("GET //a//b HTTP/1.1\r\nHost: a\r\n\r\n", "GET //a//b HTTP/1.1"),
        ["escaped slash and bytes"] = new("GET /%2F%2f%FF%e4 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%2F%2f%FF%e4 HTTP/1.1"),
        ["URI inside a query"] = new("GET /?u=http://b/?x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /?u=http://b/?x HTTP/1.1"),
        ["long target"] = new($"GET /{new string('x', 8000)} HTTP/1.1\r\nHost: a\r\n\r\n", $"GET /{new string('x', 8000)} HTTP/1.1"),
        ["absolute form"] = new("GET http://a/x?q HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x?q HTTP/1.1", Has: ["Host: a"]),
        ["absolute form without path"] = new("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1", Has: ["Host: a"]),
        ["absolute form of another scheme"] = new("GET https://a/x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x HTTP/1.1", Has: ["Host: a"]),
        ["HEAD"] = new("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD /x HTTP/1.1"),
        ["OPTIONS of a path"] = new("OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS /x HTTP/1.1"),
        ["DELETE"] = new("DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n", "DELETE /x HTTP/1.1"),
        ["TRACE"] = new("TRACE /x HTTP/1.1\r\nHost: a\r\n\r\n", "TRACE /x HTTP/1.1"),
        ["a method nobody knows"] = new("M-SEARCH /x HTTP/1.1\r\nHost: a\r\n\r\n", "M-SEARCH /x HTTP/1.1"),
        ["a method in lower case"] = new("get /x HTTP/1.1\r\nHost: a\r\n\r\n", "get /x HTTP/1.1"),
        ["a method of one letter"] = new("X /x HTTP/1.1\r\nHost: a\r\n\r\n", "X /x HTTP/1.1"),
        ["an empty line before"] = new("\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x HTTP/1.1"),

        ["Host with a port"] = new("GET / HTTP/1.1\r\nHost: a.example:8080\r\n\r\n", "GET / HTTP/1.1", Has: ["Host: a.example:8080"]),
        ["Host in capitals"] = new("GET / HTTP/1.1\r\nHost: A.Example\r\n\r\n", "GET / HTTP/1.1", Has: ["Host: A.Example"]),
        ["Host of IPv6"] = new("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET / HTTP/1.1", Has: ["Host: [::1]:80"]),
        ["name of Host in capitals"] = new("GET / HTTP/1.1\r\nHOST: a\r\n\r\n", "GET / HTTP/1.1", Has: ["Host: a"]),
        ["HTTP/1.0 with Host"] = new("GET /x HTTP/1.0\r\nHost: a\r\n\r\n", "GET /x HTTP/1.1", Has: ["Host: a"]),
        ["HTTP/1.0 POST"] = new("POST /x HTTP/1.0\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", "POST /x HTTP/1.1", "hi", ["Content-Length: 2"]),

        ["no space behind a colon"] = new("GET / HTTP/1.1\r\nHost:a\r\nX-A:1\r\n\r\n", "GET / HTTP/1.1", Has: ["Host: a", "X-A: 1"]),
        ["white space around a value"] = new("GET / HTTP/1.1\r\nHost: a\r\nX-A: \t 1 2 \t\r\n\r\n", "GET / HTTP/1.1", Has: ["X-A: 1 2"]),
        ["a tab inside a value"] = new("GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\t2\r\n\r\n", "GET / HTTP/1.1", Has: ["X-A: 1\t2"]),
        ["colons inside a value"] = new("GET / HTTP/1.1\r\nHost: a\r\nX-A: ::b:\r\n\r\n", "GET / HTTP/1.1", Has: ["X-A: ::b:"]),
        ["bytes over 127"] = new("GET / HTTP/1.1\r\nHost: a\r\nX-A: \u00e4\u0080\u00ff\r\n\r\n", "GET / HTTP/1.1", Has: ["X-A: \u00e4\u0080\u00ff"]),
        ["a name of odd tokens"] = new("GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~: 1\r\n\r\n", "GET / HTTP/1.1", Has: ["!#$%&'*+-.^_`|~: 1"]),
        ["an underscore in a name"] = new("GET / HTTP/1.1\r\nHost: a\r\nx_a: 1\r\n\r\n", "GET / HTTP/1.1", Has: ["x_a: 1"]),
        ["equal names"] = new("GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nX-A: 1\r\n\r\n", "GET / HTTP/1.1", Has: ["X-A: 1, 2, 1"]),
        ["nine hundred lines"] = new(
            $"GET / HTTP/1.1\r\nHost: a\r\n{string.Concat(Enumerable.Range(0, 900).Select(i => $"X-{i}: {i}\r\n"))}\r\n", "GET / HTTP/1.1", Has: ["X-899: 899"]),
        ["a value of 50,000 bytes"] = new($"GET / HTTP/1.1\r\nHost: a\r\nX-A: {new string('y', 50_000)}\r\n\r\n", "GET / HTTP/1.1", Has: [$"X-A: {new string('y', 50_000)}"]),
        ["range and conditions"] = new(
            "GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nIf-None-Match: \"x\"\r\nIf-Range: \"x\"\r\n\r\n", "GET / HTTP/1.1",
            Has: ["Range: bytes=0-1", "If-None-Match: \"x\"", "If-Range: \"x\""]),
        ["authorization"] = new("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic eA==\r\n\r\n", "GET / HTTP/1.1", Has: ["Authorization: Basic eA=="]),

        ["Connection: close ends here"] = new("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET / HTTP/1.1", HasNot: ["Connection"]),
        ["Connection in two lines"] = new(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-A\r\nConnection: x-b, keep-alive\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n\r\n", "GET / HTTP/1.1",
            Has: ["X-C: 3"], HasNot: ["X-A", "X-B", "Connection"]),
        ["Connection cannot take the length away"] = new(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: 2\r\n\r\nhi", "POST / HTTP/1.1", "hi", ["Content-Length: 2"]),
        ["Connection cannot take the coding away"] = new(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "POST / HTTP/1.1", "hi",
            ["Transfer-Encoding: chunked"]),
        ["Keep-Alive and Proxy-Connection"] = new(
            "GET / HTTP/1.1\r\nHost: a\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\r\n", "GET / HTTP/1.1", HasNot: ["Keep-Alive", "Proxy-Connection"]),
        ["h2c upgrade"] = new(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", "GET / HTTP/1.1",
            HasNot: ["Upgrade", "HTTP2-Settings", "Connection"]),
        ["TE"] = new("GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers, gzip\r\n\r\n", "GET / HTTP/1.1", HasNot: ["TE", "Connection"]),

        ["length"] = new("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "POST / HTTP/1.1", "hello", ["Content-Length: 5"], ["Transfer-Encoding"]),
        ["length of nothing"] = new("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "POST / HTTP/1.1", Has: ["Content-Length: 0"]),
        ["neither length nor coding"] = new("POST / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1", HasNot: ["Transfer-Encoding"]),
        ["GET with a body"] = new("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", "GET / HTTP/1.1", "hi", ["Content-Length: 2"]),
        ["DELETE with chunks"] = new("DELETE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "DELETE / HTTP/1.1", "hi"),
        ["a body that looks like a request"] = new(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 34\r\n\r\nGET /evil HTTP/1.1\r\nHost: evil\r\n\r\n", "POST / HTTP/1.1", "GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n"),
        ["a body of every byte"] = new($"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 256\r\n\r\n{EveryByte}", "POST / HTTP/1.1", EveryByte),
        ["chunks"] = new(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n", "POST / HTTP/1.1", "hello world",
            ["Transfer-Encoding: chunked"], ["Content-Length"]),
        ["chunked in capitals"] = new("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "POST / HTTP/1.1", "hi", ["Transfer-Encoding: chunked"]),
        ["sizes in both cases"] = new(
            $"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "POST / HTTP/1.1", "01234567890123456789"),
        ["sizes with zeros before"] = new("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0002\r\nhi\r\n000\r\n\r\n", "POST / HTTP/1.1", "hi"),
        ["chunk extensions"] = new(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;a\r\nhi\r\n2;a=b;c=\"d;e\"\r\nho\r\n0;last\r\n\r\n", "POST / HTTP/1.1", "hiho"),
        ["no chunk but the last"] = new("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "POST / HTTP/1.1", "", ["Transfer-Encoding: chunked"]),
        ["chunks that hold framing"] = new(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n\r\n0\r\n\r\nGE\r\n0\r\n\r\n", "POST / HTTP/1.1", "\r\n0\r\n\r\nGE"),
        ["a chunk of 40,000 bytes"] = new(
            $"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9C40\r\n{new string('z', 40_000)}\r\n0\r\n\r\n", "POST / HTTP/1.1", new string('z', 40_000)),
    };

    private static string EveryByte => string.Concat(Enumerable.Range(0, 256).Select(b => (char)b));

    public static TheoryData<string> Names => [.. Cases.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Arrives_as_it_was_meant_and_once(string name)
    {
        Case one = Cases[name];
        await using RecordingInstance instance = new();
        await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
        foreach (bool bytewise in one.Request.Length < 3000 ? new[] { false, true } : [false])
        {
            using RawConnection client = await lane.ConnectAsync();
            await Wire.SendAsync(client, one.Request, bytewise);
            Message answer = await Wire.ReadAsync(client, response: true, bodyless: one.Line.StartsWith("HEAD", StringComparison.Ordinal));
            Assert.Equal(200, answer.Status);

            Message seen = Assert.Single(instance.Requests);

            // .NET's client sends the usual methods in capitals, whatever was asked for.
            Assert.Equal(one.Line, seen.Line, ignoreCase: Engine == Engine.Kestrel && name == "a method in lower case");
            Assert.Equal(one.Body, seen.Body);
            foreach (string has in one.Has ?? [])
            {
                string[] parts = has.Split(": ", 2);
                Assert.Equal(parts[1], seen.List(parts[0]));
            }

            foreach (string hasNot in one.HasNot ?? [])
            {
                Assert.True(seen.Header(hasNot) is null, $"{hasNot} in {seen.Head}");
            }

            Assert.Equal("127.0.0.1", seen.List("X-Forwarded-For"));
            Assert.Single(RawConnection.Headers(seen.Head, "Host"));
            instance.Requests.Clear();
        }
    }

    private sealed record Case(string Request, string Line, string Body = "", string[]? Has = null, string[]? HasNot = null);
}

/// <inheritdoc/>
public sealed class RequestConformanceOnKestrelTests() : RequestConformanceTests(Engine.Kestrel);

/// <inheritdoc/>
public sealed class RequestConformanceOnLoopsTests() : RequestConformanceTests(Engine.Loops);
