using Gateway.DataPlane.Http.FastLane;

namespace Gateway.Tests.DataPlane.Http.FastLane;

/// <summary>Nothing is allocated per message: a loop that makes garbage stops for its collection with every connection it
/// has.</summary>
public sealed class AllocationTests
{
    [Fact]
    public void Messages_pass_without_allocating()
    {
        byte[] request = Heads.Bytes(
            "POST /a/b?c HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, X-A\r\nX-A: 1\r\nTE: trailers\r\nCDN-Loop: x, gw\r\nX-Forwarded-Proto: x\r\n"
            + "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
        byte[] bad = Heads.Bytes("GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
        byte[] response = Heads.Bytes("HTTP/1.1 200 OK\r\nServer: x\r\nConnection: X-B\r\nX-B: 1\r\nContent-Length: 5\r\n\r\n");
        byte[] body = Heads.Bytes("5;x\r\nhello\r\n0\r\n\r\n");
        byte[] to = new byte[4096];
        RequestHead head = new();
        ResponseHead answer = new();
        long sum = Round();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
        {
            sum += Round();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.True(sum > 0);

        long Round()
        {
            Assert.True(head.Parse(bad) == ParseStatus.Refused && head.Refusal!.Status == 400);
            Assert.True(head.Parse(request.AsSpan(0, 60)) == ParseStatus.Incomplete && head.Parse(request,
                60) == ParseStatus.Complete);
            OutgoingRequest facts = new()
            {
                Client = "192.0.2.1"u8,
                LoopId = "gw"u8,
                ForwardedFor = true,
                IsEdge = true,
                Port = 80,
                FallbackHost = "b"u8,
            };
            int written = RequestHeadWriter.Write(head, request, facts, to) + head.CountOwnId(request, "gw"u8);
            Assert.True(answer.Parse(response, 0, MethodKind.Get) == ParseStatus.Complete);
            written += ResponseHeadWriter.Write(answer, response, new OutgoingResponse
            {
                ClientMinorVersion = 1,
                KeepAlive = true
            }, to);
            BodyReader reader = new(BodyKind.Chunked);
            Assert.True(reader.Next(body, out int consumed, out _, out int length) == BodyStep.Data && length == 5);
            Assert.True(reader.Next(body.AsSpan(consumed), out _, out _, out _) == BodyStep.Done && reader.Trailers.IsEmpty);
            return written + ChunkWriter.WriteSize(length, to);
        }
    }
}
