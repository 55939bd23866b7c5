using Gateway.DataPlane.Http;
using Gateway.DataPlane.Http.FastLane;

namespace Gateway.Tests.DataPlane.Http.FastLane;

/// <summary>What an instance may answer. It may be broken or hostile; what follows its head must never be another
/// answer.</summary>
public sealed class ResponseHeadTests
{
    /// <summary>Head and fault, as an answer to GET.</summary>
    public static TheoryData<string, string> Bad { get; } = Build();

    private static TheoryData<string, string> Build()
    {
        TheoryData<string, string> data = [];
        foreach (string head in (string[])
        [
            "HTTP/1.1 200 OK\n\n", "HTTP/1.1 200 OK\r\nX: 1\n\r\n", "HTTP/1.1 200 OK\r\nX: 1\r2\r\n\r\n",
            "HTTP/1.1 200 O\0K\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: \u0001\r\n\r\n", "\0", "HTTP/1.1 200 OK\rContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 \u007f\r\n\r\n",
        ])
        {
            data.Add(head, nameof(HeadFault.ControlByte));
        }

        foreach (string line in (string[])["", "HTP/1.1 200 OK", "http/1.1 200 OK", " HTTP/1.1 200 OK", "200 OK", "ICY 200 OK",
            "<html>", "SSH-2.0-x"])
        {
            data.Add($"{line}\r\n\r\n", nameof(HeadFault.StartLine));
        }

        foreach (string line in (string[])
            ["HTTP/2 200 OK", "HTTP/2.0 200 OK", "HTTP/1 200 OK", "HTTP/1.10 200 O", "HTTP/1.x 200 OK", "HTTP/1.1", "HTTP/1.1 20",
            "HTTP/1.1\t200 OK"])
        {
            data.Add($"{line}\r\n\r\n", nameof(HeadFault.Version));
        }

        foreach (string line in (string[])
        [
            "HTTP/1.1 099 x", "HTTP/1.1 000 x", "HTTP/1.1 600 x", "HTTP/1.1 999 x", "HTTP/1.1 2000 x", "HTTP/1.1 200OK",
            "HTTP/1.1  200 OK",
            "HTTP/1.1 +20 OK", "HTTP/1.1 20x OK", "HTTP/1.1 200\tOK", "HTTP/1.1 -200",
        ])
        {
            data.Add($"{line}\r\n\r\n", nameof(HeadFault.Status));
        }

        foreach (string line in (string[])["X : 1", " X: 1", "X", ": 1", "X: 1\r\n folded", "Transfer-Encoding : chunked",
            "HTTP/1.1 200 OK"])
        {
            data.Add($"HTTP/1.1 200 OK\r\n{line}\r\n\r\n", nameof(HeadFault.Line));
        }

        foreach (string line in (string[])
            ["Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5, 5", "Content-Length: -1", "Content-Length: +1",
            "Content-Length:", "Content-Length: 99999999999999999999"])
        {
            data.Add($"HTTP/1.1 200 OK\r\n{line}\r\n\r\n", nameof(HeadFault.ContentLength));
        }

        foreach (string line in (string[])
        [
            "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: identity", "Transfer-Encoding: chunked,",
            "Transfer-Encoding:",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked;x",
        ])
        {
            data.Add($"HTTP/1.1 200 OK\r\n{line}\r\n\r\n", nameof(HeadFault.TransferEncoding));
        }

        data.Add("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", nameof(HeadFault.BothFramings));
        data.Add("HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", nameof(HeadFault.BothFramings));
        data.Add("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", nameof(HeadFault.Upgrade));
        data.Add($"HTTP/1.1 200 OK\r\nX: {new string('x', MessageHead.BytesMax)}\r\n\r\n", nameof(HeadFault.TooLarge));
        data.Add($"HTTP/1.1 200 OK\r\n{string.Concat(Enumerable.Repeat("X:\r\n", 1001))}\r\n", nameof(HeadFault.TooManyLines));
        return data;
    }

    [Theory]
    [MemberData(nameof(Bad))]
    public void Bad_head_is_refused_however_it_arrives(string text, string fault)
    {
        (ResponseHead head, ParseStatus status) = Heads.Response(text);
        Assert.Equal((ParseStatus.Refused, fault), (status, head.Fault.ToString()));
        Assert.Same(Reason.BadResponse, head.Refusal);
        Assert.False(head.KeepAlive);
        AssertSameInPortions(text, MethodKind.Get, offered: false);
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.Length), 5, true)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.Length), 0, true)]
    [InlineData("HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.Length), 5, true)]
    [InlineData("HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.Length), 5, true)]
    [InlineData("HTTP/1.1 200 Tr\u00e8s bien \t!\r\nTransfer-Encoding: Chunked\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.Chunked), -1, true)]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.Chunked), -1, false)]
    [InlineData("HTTP/1.1 200 OK\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.UntilClose), -1, false)]
    [InlineData("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.UntilClose), -1, false)]
    [InlineData("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.Length), 5, false)]
    [InlineData("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.Length), 5, true)]
    [InlineData("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.Chunked), -1, false)]
    [InlineData("HTTP/1.9 200 OK\r\nContent-Length: 5\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.Length), 5, true)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", nameof(MethodKind.Head), nameof(BodyKind.None), 5, true)]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", nameof(MethodKind.Head), nameof(BodyKind.None), -1, true)]
    [InlineData("HTTP/1.1 200 OK\r\n\r\n", nameof(MethodKind.Head), nameof(BodyKind.None), -1, true)]
    [InlineData("HTTP/1.1 204 No Content\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.None), -1, true)]
    [InlineData("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.None), 0, true)]
    [InlineData("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.None), 5, false)]
    [InlineData("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.None), -1, false)]
    [InlineData("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.None), 5, true)]
    [InlineData("HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n", nameof(MethodKind.Post), nameof(BodyKind.Length), 0, true)]
    [InlineData("HTTP/1.1 100 Continue\r\n\r\n", nameof(MethodKind.Post), nameof(BodyKind.None), -1, true)]
    [InlineData("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.None), -1, true)]
    [InlineData("HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n", nameof(MethodKind.Get), nameof(BodyKind.None), 5, false)]
    public void Framing_depends_on_method_status_and_head(string text, string methodName, string body, long length,
        bool keepAlive)
    {
        MethodKind method = Enum.Parse<MethodKind>(methodName);
        (ResponseHead head, ParseStatus status) = Heads.Response(text, method);
        Assert.Equal((ParseStatus.Complete, body, length, keepAlive), (status, head.Body.ToString(), head.ContentLength,
            head.KeepAlive));
        Assert.Null(head.Refusal);
        AssertSameInPortions(text, method, offered: false);
        AssertSameInPortions(text + "HTTP/1.1 200 OK\n", method, offered: false);
    }

    [Theory]
    [InlineData("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", true)]
    [InlineData("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\nContent-Length: 0\r\n\r\n", true)]
    [InlineData("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", false)]
    [InlineData("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", false)]
    [InlineData("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n", false)]
    public void Tunnel_begins_only_as_it_was_offered(string text, bool begins)
    {
        (ResponseHead head, ParseStatus status) = Heads.Response(text, webSocketOffered: true);
        Assert.Equal(begins ? ParseStatus.Complete : ParseStatus.Refused, status);
        Assert.Equal(begins, status == ParseStatus.Complete && head.IsTunnel && !head.KeepAlive);
        Assert.Equal(ParseStatus.Refused, Heads.Response(text).Status);
        AssertSameInPortions(text, MethodKind.Get, offered: true);
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\n\r\n", 1, nameof(BodyKind.Chunked))]
    [InlineData("HTTP/1.1 200 OK\r\n\r\n", 0, nameof(BodyKind.UntilClose))]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 1, nameof(BodyKind.Chunked))]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, nameof(BodyKind.UntilClose))]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 1, nameof(BodyKind.Length))]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 0, nameof(BodyKind.Length))]
    [InlineData("HTTP/1.1 304 OK\r\n\r\n", 0, nameof(BodyKind.None))]
    public void Body_goes_on_in_the_framing_that_the_client_knows(string text, int clientMinor, string expected) =>
        Assert.Equal(expected, Heads.Response(text).Head.BodyFor(clientMinor).ToString());

    private static void AssertSameInPortions(string text, MethodKind method, bool offered)
    {
        byte[] raw = Heads.Bytes(text);
        ResponseHead head = new();
        string whole = Heads.Describe(head, head.Parse(raw, 0, method, offered), raw);
        if (raw.Length > 2000)
        {
            Assert.Equal(whole, Heads.ResponseInPortions(raw, static () => 777, method, offered));
            return;
        }

        Assert.Equal(whole, Heads.ResponseInPortions(raw, static () => 1, method, offered));
        for (int split = 1; split < raw.Length; split++)
        {
            int next = split;
            Assert.Equal(whole, Heads.ResponseInPortions(raw, () => Interlocked.Exchange(ref next, raw.Length), method, offered));
        }
    }
}
