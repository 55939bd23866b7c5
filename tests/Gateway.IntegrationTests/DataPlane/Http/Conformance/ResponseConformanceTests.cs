using System.Net.Sockets;

namespace Gateway.IntegrationTests.DataPlane.Http.Conformance;

/// <summary>Responses, as the client gets them: sent whole, and a byte at a time.</summary>
public abstract class ResponseConformanceTests(Engine engine) : LaneTests(engine)
{
    private static readonly Dictionary<string, Case> Cases = new(StringComparer.Ordinal)
    {
        ["length"] = new("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", Has: ["Content-Length: 5"]),
        ["length of nothing"] = new("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", Has: ["Content-Length: 0"]),
        ["no phrase"] = new("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi", 200, "hi"),
        ["no phrase and no space"] = new("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", 200, "hi"),
        ["a status nobody knows"] = new("HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nhi", 599, "hi"),
        ["a failure of the instance"] = new("HTTP/1.1 503 Busy\r\nContent-Length: 2\r\nRetry-After: 1\r\n\r\nhi", 503, "hi", Has: ["Retry-After: 1"]),
        ["a redirect"] = new("HTTP/1.1 302 Found\r\nLocation: /x?y#z\r\nContent-Length: 0\r\n\r\n", 302, "", Has: ["Location: /x?y#z"]),
        ["a range"] = new("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/5\r\nContent-Length: 2\r\n\r\nhi", 206, "hi", Has: ["Content-Range: bytes 0-1/5"]),
        ["reset content"] = new("HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", 205, ""),
        ["cookies apart"] = new("HTTP/1.1 200 OK\r\nSet-Cookie: a=1, b\r\nSet-Cookie: c=2\r\nContent-Length: 0\r\n\r\n", 200, "", Has: ["Set-Cookie: a=1, b, c=2"]),
        ["a body of every byte"] = new($"HTTP/1.1 200 OK\r\nContent-Length: 256\r\n\r\n{EveryByte}", 200, EveryByte),
        ["a body that looks like a response"] = new("HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ["a body of 200,000 bytes"] = new($"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n{new string('w', 200_000)}", 200, new string('w', 200_000)),
        ["chunks"] = new("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", 200, "hello world", Has: ["Transfer-Encoding: chunked"]),
        ["no chunk but the last"] = new("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, ""),
        ["chunk extensions"] = new("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=\"b\"\r\nhi\r\n0;x\r\n\r\n", 200, "hi"),
        ["padded sizes"] = new("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2  \r\nhi\r\n0\r\n\r\n", 200, "hi"),
        ["chunked in capitals"] = new("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, "hi"),
        ["trailers"] = new(
            "HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n", 200, "hi", Trailers: "X-T: 1\r\nX-U: 2\r\n"),
        ["chunks of 100,000 bytes"] = new(
            $"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186A0\r\n{new string('v', 100_000)}\r\n186A0\r\n{new string('u', 100_000)}\r\n0\r\n\r\n", 200,
            new string('v', 100_000) + new string('u', 100_000)),
        ["a thousand chunks of a byte"] = new(
            $"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{string.Concat(Enumerable.Repeat("1\r\nx\r\n", 1000))}0\r\n\r\n", 200, new string('x', 1000)),
        ["the end of the connection"] = new("HTTP/1.1 200 OK\r\n\r\nhello", 200, "hello", Ends: true),
        ["the end of the connection, nothing before"] = new("HTTP/1.1 200 OK\r\n\r\n", 200, "", Ends: true),
        ["HTTP/1.0 to its end"] = new("HTTP/1.0 200 OK\r\n\r\nhello", 200, "hello", Ends: true),
        ["HTTP/1.0 with a length"] = new("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", Ends: true),
        ["HTTP/1.0 that keeps alive"] = new("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"),
        ["an instance that closes"] = new("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", Ends: true),
        ["an instance that closes behind chunks"] = new("HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, "hi", Ends: true),
        ["HEAD with a length"] = new("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", 200, "", "HEAD", Has: ["Content-Length: 500"]),
        ["HEAD without any"] = new("HTTP/1.1 200 OK\r\n\r\n", 200, "", "HEAD"),
        ["HEAD with chunks"] = new("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, "", "HEAD"),
        ["HEAD and a failure"] = new("HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\n", 404, "", "HEAD"),
        ["204"] = new("HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        ["304"] = new("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", 304, "", Has: ["ETag: \"x\""]),
        ["304 with a length"] = new("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, ""),
        ["204 to DELETE"] = new("HTTP/1.1 204 No Content\r\n\r\n", 204, "", "DELETE"),
        ["100 before it"] = new("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi"),
        ["103 twice before it"] = new(
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi"),
        ["102 and 100 before it"] = new("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi"),
        ["hop-by-hop headers"] = new(
            "HTTP/1.1 200 OK\r\nConnection: X-A, keep-alive\r\nX-A: 1\r\nKeep-Alive: timeout=9\r\nProxy-Authenticate: x\r\nX-B: 2\r\nContent-Length: 0\r\n\r\n", 200, "",
            Has: ["X-B: 2"], HasNot: ["X-A", "Keep-Alive", "Connection"]),
        ["Connection cannot take the length away"] = new("HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", Has: ["Content-Length: 2"]),
        ["Upgrade that nobody asked for"] = new("HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", HasNot: ["Upgrade", "Connection"]),
        ["bytes over 127 in a value"] = new("HTTP/1.1 200 OK\r\nX-A: \u00e4\u0080\r\nContent-Length: 0\r\n\r\n", 200, "", Has: ["X-A: \u00e4\u0080"]),
        ["white space around a value"] = new("HTTP/1.1 200 OK\r\nX-A: \t b \t\r\nContent-Length: 0\r\n\r\n", 200, "", Has: ["X-A: b"]),
        ["a Date of its own"] = new("HTTP/1.1 200 OK\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Length: 0\r\n\r\n", 200, "", Has: ["Date: Tue, 15 Nov 1994 08:12:31 GMT"]),
        ["HTTP/1.0 client, length"] = new("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", Version: "1.0", Closes: true),
        ["HTTP/1.0 client, chunks"] = new("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, "hi", Version: "1.0", Closes: true, HasNot: ["Transfer-Encoding"]),
        ["HTTP/1.0 client, end of the connection"] = new("HTTP/1.1 200 OK\r\n\r\nhi", 200, "hi", Version: "1.0", Closes: true, Ends: true, HasNot: ["Transfer-Encoding"]),
        ["HTTP/1.0 client, 100 before it"] = new(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", Version: "1.0", Closes: true, Interim: false),
        ["HTTP/1.0 client that keeps alive"] = new(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", Version: "1.0", More: "Connection: keep-alive\r\n", Has: ["Connection: keep-alive"]),
        ["HTTP/1.0 client that keeps alive, chunks"] = new(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, "hi", Version: "1.0", More: "Connection: keep-alive\r\n", Closes: true,
            HasNot: ["Transfer-Encoding"]),
        ["a client that closes"] = new("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", More: "Connection: close\r\n", Closes: true, Has: ["Connection: close"]),
        ["a client that closes, chunks"] = new(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, "hi", More: "Connection: close\r\n", Closes: true, Has: ["Connection: close"]),
    };

    private static string EveryByte => string.Concat(Enumerable.Range(0, 256).Select(b => (char)b));

    public static TheoryData<string> Names => [.. Cases.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Comes_back_as_it_was_meant(string name)
    {
        Case one = Cases[name];
        foreach (bool bytewise in one.Response.Length < 10_000 ? new[] { false, true } : [false])
        {
            await using RawInstance instance = new(async connection =>
            {
                do
                {
                    await connection.ReadMessageAsync();
                    await Wire.SendAsync(connection, one.Response, bytewise);
                }
                while (!one.Ends);
                connection.Socket.Shutdown(SocketShutdown.Send);
                await connection.ReadToEndAsync();
            });
            await using LaneUnderTest lane = await StartAsync(instance.EndPoint);
            using RawConnection client = await lane.ConnectAsync();
            for (int i = 0; i < (one.Closes ? 1 : 3); i++)
            {
                await client.SendAsync($"{one.Method} / HTTP/{one.Version}\r\nHost: a\r\n{one.More}\r\n");
                Message answer = one.Interim
                    ? await Wire.ReadFinalAsync(client, one.Method == "HEAD")
                    : await Wire.ReadAsync(client, response: true);
                Assert.StartsWith("HTTP/1.1 ", answer.Line, StringComparison.Ordinal);
                Assert.Equal(one.Status, answer.Status);
                Assert.Equal(one.Body, answer.Body);
                Assert.Equal(one.Trailers, answer.Trailers);
                Assert.NotNull(answer.Header("Date"));
                Assert.Single(RawConnection.Headers(answer.Head, "Date"));
                foreach (string has in one.Has ?? [])
                {
                    string[] parts = has.Split(": ", 2);
                    Assert.Equal(parts[1], answer.List(parts[0]));
                }

                foreach (string hasNot in one.HasNot ?? [])
                {
                    Assert.True(answer.Header(hasNot) is null, $"{hasNot} in {answer.Head}");
                }

                Assert.True(one.Closes || !answer.Closes, answer.Head);
            }

            if (one.Closes)
            {
                Assert.True(await Wire.EndsAsync(client));
            }

            Assert.Equal(0, lane.Clusters.Find("web@production")!.Destinations[0].Failures);
        }
    }

    private sealed record Case(
        string Response, int Status, string Body, string Method = "GET", string Version = "1.1", string More = "", bool Ends = false, bool Closes = false,
        bool Interim = true, string Trailers = "", string[]? Has = null, string[]? HasNot = null);
}

/// <inheritdoc/>
public sealed class ResponseConformanceOnKestrelTests() : ResponseConformanceTests(Engine.Kestrel);

/// <inheritdoc/>
public sealed class ResponseConformanceOnLoopsTests() : ResponseConformanceTests(Engine.Loops);
