using Gateway.DataPlane.Http;

namespace Gateway.Tests.DataPlane.Http;

public sealed class WebSocketFramesTests
{
    [Theory]
    [InlineData(0, false)]
    [InlineData(1, false)]
    [InlineData(125, false)]
    [InlineData(126, false)]
    [InlineData(65_535, false)]
    [InlineData(65_536, false)]
    [InlineData(5, true)]
    [InlineData(70_000, true)]
    public void A_boundary_is_exactly_behind_a_frame(int length, bool masked)
    {
        byte[] frame = Frame(length, masked);

        // Byte by byte, then in one piece, then two frames with the cut everywhere near the edges.
        WebSocketFrames one = new();
        for (int i = 0; i < frame.Length; i++)
        {
            one.Advance(frame.AsSpan(i, 1));
            Assert.Equal(i == frame.Length - 1, one.AtBoundary);
        }

        byte[] two = [.. frame, .. frame];
        foreach (int cut in (int[])[1, 2, 3, frame.Length - 1, frame.Length, frame.Length + 1])
        {
            if (cut >= two.Length)
            {
                continue;
            }

            WebSocketFrames frames = new();
            frames.Advance(two.AsSpan(0, cut));
            Assert.Equal(cut == frame.Length, frames.AtBoundary);
            frames.Advance(two.AsSpan(cut));
            Assert.True(frames.AtBoundary);
        }
    }

    [Fact]
    public void Nothing_sent_is_a_boundary() => Assert.True(new WebSocketFrames().AtBoundary);

    [Fact]
    public void A_forbidden_length_has_no_boundary_any_more()
    {
        WebSocketFrames frames = new();
        frames.Advance([0x82, 127, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        frames.Advance(new byte[100]);
        Assert.False(frames.AtBoundary);
    }

    // RFC 6455 §5.2, written out here so that the test does not share the code's idea of it.
    private static byte[] Frame(int length, bool masked)
    {
        List<byte> frame = [0x82];
        byte mask = masked ? (byte)0x80 : (byte)0;
        switch (length)
        {
            case < 126:
                frame.Add((byte)(mask | length));
                break;
            case <= 65_535:
                frame.AddRange([(byte)(mask | 126), (byte)(length >> 8), (byte)length]);
                break;
            default:
                frame.AddRange([(byte)(mask | 127), 0, 0, 0, 0, (byte)(length >> 24), (byte)(length >> 16), (byte)(length >> 8), (byte)length]);
                break;
        }

        frame.AddRange(new byte[masked ? 4 : 0]);
        frame.AddRange(new byte[length]);
        return [.. frame];
    }
}
