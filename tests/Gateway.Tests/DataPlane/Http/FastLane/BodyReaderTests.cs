using Gateway.DataPlane.Http.FastLane;

namespace Gateway.Tests.DataPlane.Http.FastLane;

/// <summary>Where a body ends decides where the next request begins: nothing about it is guessed.</summary>
public sealed class BodyReaderTests
{
    /// <summary>Whole chunked bodies with what they carry, and trailers.</summary>
    public static TheoryData<string, string, string> Chunked { get; } = new()
    {
        { "0\r\n\r\n", "", "" },
        { "5\r\nhello\r\n0\r\n\r\n", "hello", "" },
        { "5;ext\r\nhello\r\n0;a=b;c=\"d;e\"\r\n\r\n", "hello", "" },
        { "5; \t x \r\nhello\r\n0\r\n\r\n", "hello", "" },
        { "00000005\r\nhello\r\n000\r\n\r\n", "hello", "" },
        { "A\r\n0123456789\r\na\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", "0123456789\r\n\r\n\r\n\r\n\r\n", "" },
        { "3\r\n0\r\n\r\n2\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n", "" },
        { "1\r\nx\r\n0\r\nX-Sum: 1\r\nx-other:\r\n\r\n", "x", "X-Sum: 1\r\nx-other:\r\n" },
        { "0\r\nContent-Length: 5\r\nX-A: 1\r\nTransfer-Encoding: x\r\nHost: b\r\nAuthorization: y\r\nX-Forwarded-For: 1\r\nX-B: 2\r\n\r\n", "", "X-A: 1\r\nX-B: 2\r\n" },
        { "0\r\nConnection: close\r\nCookie: a\r\nSet-Cookie: a\r\nContent-Type: a\r\nTrailer: a\r\nX-Gateway-Reason: a\r\nX_Forwarded_For: a\r\n\r\n", "", "" },
    };

    /// <summary>What is broken, and how many of its bytes had to be read to know.</summary>
    public static TheoryData<string> Bad { get; } =
    [
        "\r\n", "x\r\n", ";a\r\n", " 5\r\nhello\r\n0\r\n\r\n", "+5\r\n", "-1\r\n", "0x5\r\n", "5h\r\n", "5_0\r\n", "5,\r\n",
        "\"5\"\r\n", "5\0\r\n",
        "5\nhello\r\n", "5\r", "5\rhello", "5\r\rhello", "5\r\nhello\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhello\r0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n", "4\r\nhello\r\n0\r\n\r\n", "10000000000000000\r\n", "00000000000000000\r\n",
        "8000000000000000\r\n", "FFFFFFFFFFFFFFFF\r\n",
        "5;\n\r\nhello", "5;a\nb\r\nhello", "5;a\rb\r\nhello", "5;a\r\r\nhello", "5;\0\r\n", "5;\u007f\r\n",
        "5;a=\"\n\"\r\nhello",
        "0\r\n\n", "0\r\n\rX", "0\n\r\n", "0\r\n X: 1\r\n\r\n", "0\r\nX\r\n\r\n", "0\r\nX : 1\r\n\r\n", "0\r\n: 1\r\n\r\n",
        "0\r\nX: 1\n\r\n", "0\r\nX: 1\r\n\n",
        "0\r\nX: a\0\r\n\r\n", "0\r\nX: a\rb\r\n\r\n", "0\r\nX: 1\r\n folded\r\n\r\n", "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "0\r\nX: 1\r\n\r\r\n",
        "5;" + "a".PadLeft(BodyReader.SizeLineMax, 'a') + "\r\n",
    ];

    [Theory]
    [MemberData(nameof(Chunked))]
    public void Chunks_are_read_however_they_arrive(string text, string data, string trailers)
    {
        const string Next = "GET / HTTP/1.1\r\n";
        foreach (Func<int> portions in Portions(text.Length + Next.Length))
        {
            Assert.Equal(
                (data, BodyStep.Done, text.Length, trailers),
                Heads.Body(new BodyReader(BodyKind.Chunked), Heads.Bytes(text + Next), portions));
        }
    }

    [Theory]
    [MemberData(nameof(Bad))]
    public void Broken_chunks_are_refused_however_they_arrive(string text)
    {
        // Enough behind it that nothing is merely unfinished.
        byte[] raw = Heads.Bytes(text + "\u0001");
        (string data, BodyStep end, int _, string trailers) = Heads.Body(new BodyReader(BodyKind.Chunked), raw, () => raw.Length);
        Assert.Equal(BodyStep.Broken, end);
        foreach (Func<int> portions in Portions(raw.Length))
        {
            (string sameData, BodyStep sameEnd, _, string sameTrailers) = Heads.Body(new BodyReader(BodyKind.Chunked), raw,
                portions);
            Assert.Equal((data, end, trailers), (sameData, sameEnd, sameTrailers));
        }
    }

    [Theory]
    [InlineData("5  \r\nhello\r\n0 \t\r\n\r\n", true)]
    [InlineData("5 ;a\r\nhello\r\n0\r\n\r\n", true)]
    [InlineData("5 x\r\nhello\r\n0\r\n\r\n", false)]
    [InlineData("5 5\r\nhello\r\n0\r\n\r\n", false)]
    [InlineData("5 \nhello\r\n0\r\n\r\n", false)]
    [InlineData(" 5\r\nhello\r\n0\r\n\r\n", false)]
    public void Servers_may_pad_sizes_and_clients_may_not(string text, bool good)
    {
        foreach (Func<int> portions in Portions(text.Length))
        {
            Assert.Equal(
                good ? BodyStep.Done : BodyStep.Broken,
                Heads.Body(new BodyReader(BodyKind.Chunked, ofResponse: true), Heads.Bytes(text), portions).End);
            Assert.Equal(BodyStep.Broken, Heads.Body(new BodyReader(BodyKind.Chunked), Heads.Bytes(text), portions).End);
        }
    }

    [Fact]
    public void Size_line_is_bounded()
    {
        string Line(int bytes) => "5;" + new string('a', bytes - 2) + "\r\nhello\r\n0\r\n\r\n";
        string Padded(int bytes) => "5" + new string(' ', bytes - 1) + "\r\nhello\r\n0\r\n\r\n";
        foreach (int portion in (int[])[1, 100, 100_000])
        {
            Assert.Equal(BodyStep.Done, Read(Line(4000), portion));
            Assert.Equal(BodyStep.Broken, Read(Line(BodyReader.SizeLineMax + 2), portion));
            Assert.Equal(BodyStep.Broken, Read(Line(100_000), portion));
            Assert.Equal(BodyStep.Done, Read(Padded(4000), portion));
            Assert.Equal(BodyStep.Broken, Read(Padded(BodyReader.SizeLineMax + 2), portion));
        }

        static BodyStep Read(string text, int portion) =>
            Heads.Body(new BodyReader(BodyKind.Chunked, ofResponse: true), Heads.Bytes(text), () => portion).End;
    }

    [Fact]
    public void Largest_size_is_read_and_one_more_is_not()
    {
        BodyReader reader = new(BodyKind.Chunked);
        Assert.Equal(BodyStep.Data, reader.Next("7fffffffffffffff\r\nx"u8, out int consumed, out int start, out int length));
        Assert.Equal((19, 18, 1, long.MaxValue - 1), (consumed, start, length, reader.Left));
    }

    [Theory]
    [InlineData("X: {0}\r\n", 66_000, false)]
    [InlineData("Host: {0}\r\n", 66_000, false)]
    [InlineData("X: {0}\r\n", 60_000, true)]
    public void Trailers_are_bounded_in_bytes(string line, int bytes, bool good) => Assert.Equal(
        good ? BodyStep.Done : BodyStep.Broken,
        Heads.Body(
            new BodyReader(BodyKind.Chunked), Heads.Bytes("0\r\n" + line.Replace("{0}", new string('x', bytes)) + "\r\n"),
                static () => 5000).End);

    [Fact]
    public void Trailers_are_bounded_in_lines()
    {
        string Lines(int count) => "0\r\n" + string.Concat(Enumerable.Repeat("Host:\r\n", count)) + "\r\n";
        Assert.Equal(BodyStep.Done, Heads.Body(new BodyReader(BodyKind.Chunked), Heads.Bytes(Lines(1000)),
            static () => 5000).End);
        Assert.Equal(BodyStep.Broken, Heads.Body(new BodyReader(BodyKind.Chunked), Heads.Bytes(Lines(1001)),
            static () => 5000).End);
    }

    [Fact]
    public void Known_length_ends_where_it_was_announced()
    {
        foreach (Func<int> portions in Portions(9))
        {
            Assert.Equal(("hello", BodyStep.Done, 5, ""), Heads.Body(new BodyReader(BodyKind.Length, 5), "helloGET "u8,
                portions));
        }

        Assert.Equal(("hel", BodyStep.NeedMore, 3, ""), Heads.Body(new BodyReader(BodyKind.Length, 5), "hel"u8, static () => 9));
        Assert.Equal(("", BodyStep.Done, 0, ""), Heads.Body(new BodyReader(BodyKind.Length), "x"u8, static () => 9));
        Assert.Equal(("", BodyStep.Done, 0, ""), Heads.Body(new BodyReader(BodyKind.None), "x"u8, static () => 9));
        Assert.True(new BodyReader(BodyKind.None).IsDone);
        Assert.True(new BodyReader(BodyKind.Length, 0).IsDone);
        Assert.True(default(BodyReader).IsDone);
    }

    [Fact]
    public void Body_until_close_never_ends_by_itself()
    {
        BodyReader reader = new(BodyKind.UntilClose);
        Assert.True(reader.EndsWithConnection);
        Assert.Equal(BodyStep.Data, reader.Next("abc"u8, out int consumed, out int start, out int length));
        Assert.Equal((3, 0, 3), (consumed, start, length));
        Assert.Equal(BodyStep.NeedMore, reader.Next([], out consumed, out _, out _));
        Assert.False(new BodyReader(BodyKind.Chunked).EndsWithConnection);
        Assert.False(new BodyReader(BodyKind.Length, 1).EndsWithConnection);
    }

    [Fact]
    public void Done_and_broken_are_final()
    {
        BodyReader reader = new(BodyKind.Chunked);
        Assert.Equal(BodyStep.Broken, reader.Next("x"u8, out _, out _, out _));
        Assert.Equal(BodyStep.Broken, reader.Next("0\r\n\r\n"u8, out int consumed, out _, out _));
        Assert.Equal(0, consumed);
        reader = new BodyReader(BodyKind.Chunked);
        Assert.Equal(BodyStep.Done, reader.Next("0\r\n\r\nabc"u8, out consumed, out _, out _));
        Assert.Equal(5, consumed);
        Assert.Equal(BodyStep.Done, reader.Next("abc"u8, out consumed, out _, out _));
        Assert.Equal(0, consumed);
    }

    private static IEnumerable<Func<int>> Portions(int length)
    {
        yield return static () => 1;
        yield return static () => int.MaxValue / 2;
        for (int split = 1; split < Math.Min(length, 300); split++)
        {
            int next = split;
            yield return () => Interlocked.Exchange(ref next, length);
        }
    }
}
