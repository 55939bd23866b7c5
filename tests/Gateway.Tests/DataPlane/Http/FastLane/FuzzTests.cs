using System.Globalization;
using System.Text.RegularExpressions;
using Gateway.DataPlane.Http.FastLane;

namespace Gateway.Tests.DataPlane.Http.FastLane;

/// <summary>
/// Nearly right messages by the thousand, with a fixed seed and a new one that is printed. A failure names its message. What is
/// accepted is held against readings of the same bytes by the most lenient of parsers: where such a one would see another
/// message, we must have refused. <c>GATEWAY_FUZZ_ROUNDS</c> makes it longer.
/// </summary>
public sealed partial class FuzzTests(ITestOutputHelper output)
{
    // What a lenient reader may have ignored around a name: nothing that could belong to one.
    private const string NoToken = @"[^!#$%&'*+.^_`|~0-9A-Za-z\r\n:-]*";

    private const RegexOptions Options = RegexOptions.IgnoreCase | RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture;

    private const int TimeoutMs = 60_000;

    private const int FixedSeed = 20261122;

    // Tests of one class run one after the other.
    private static readonly RequestHead s_again = new();
    private static readonly ResponseHead s_answer = new();

    private static int Rounds => int.Parse(
        Environment.GetEnvironmentVariable("GATEWAY_FUZZ_ROUNDS") ?? "20000", CultureInfo.InvariantCulture);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Requests_are_read_in_one_way_only(bool isFixed) => Fuzz(isFixed, static (grammar, random) =>
    {
        string text = grammar.Request();
        return (text, AcceptsRequest(text, random));
    });

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Responses_are_read_in_one_way_only(bool isFixed) => Fuzz(isFixed, static (grammar, random) =>
    {
        string text = grammar.Response();
        return (text, AcceptsResponse(text, random));
    });

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Chunks_are_read_in_one_way_only(bool isFixed) => Fuzz(isFixed, static (grammar, random) =>
    {
        string text = grammar.Spoil(grammar.Chunks());
        return (text, AcceptsBody(text, random));
    });

    private void Fuzz(bool isFixed, Func<MessageGrammar, Random, (string Text, bool Accepted)> round)
    {
        int seed = isFixed ? FixedSeed : Environment.TickCount;
        output.WriteLine($"seed {seed}");
        int accepted = 0;
        for (int i = 0; i < Rounds; i++)
        {
            // Each round has a seed of its own, so that it can be had again alone.
            Random random = new(unchecked(seed + (i * 7919)));
            MessageGrammar grammar = new(random);
            string text = "";
            try
            {
                (text, bool good) = round(grammar, random);
                accepted += good ? 1 : 0;
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"seed {seed}, round {i}: {e.Message}", e);
            }
        }

        output.WriteLine($"{accepted} of {Rounds} accepted");

        // Neither all nor nothing: the grammar still says something.
        Assert.InRange(accepted, Rounds / 50, Rounds - (Rounds / 50));
    }

    private static bool AcceptsRequest(string text, Random random)
    {
        byte[] raw = Heads.Bytes(text);
        RequestHead head = Heads.RequestHead;
        ParseStatus status = head.Parse(raw);
        string whole = Heads.Describe(head, status, raw);
        Same(text, whole, Heads.RequestInPortions(raw, () => 1 + random.Next(1 + random.Next(40))));
        status = head.Parse(raw);
        if (status != ParseStatus.Complete)
        {
            return false;
        }

        // 1. The lenient reading.
        string line = Lenient(text, head.Length, head.Body, head.ContentLength);
        Check(text, HostLine().Count(line) <= 1, "a second Host");

        // 2. What is written reads as the same request, with one Host and one framing, and nothing that ends here.
        OutgoingRequest facts = new() { Client = "192.0.2.1"u8, LoopId = "gw"u8, FallbackHost = "b"u8, ForwardedFor = true };
        string written = Heads.Write(head, text, facts);
        RequestHead again = s_again;
        byte[] bytes = Heads.Bytes(written);
        Check(written, again.Parse(bytes) == ParseStatus.Complete && again.Length == written.Length,
            $"what is written is refused: {again.Fault}");
        string target = Heads.Text(again.Target.Of(bytes));
        Check(written, again.MinorVersion == 1 && again.HasHost && again.Form is TargetForm.Origin or TargetForm.Asterisk,
            "form");
        Check(written, head.Form == TargetForm.Asterisk || target.EndsWith(Heads.Text(head.PathAndQuery(raw)),
            StringComparison.Ordinal), "path");
        Check(written, (again.Body, again.ContentLength, again.MethodKind) == (head.Body, head.ContentLength, head.MethodKind),
            "framing");
        Check(written, again.WantsWebSocket == head.WantsWebSocket && !again.AcceptsTrailers && !again.ConnectionNames,
            "hop-by-hop");
        Lenient(written, written.Length, again.Body, again.ContentLength);

        // 3. Another hop changes nothing but what it adds.
        Same(written, written, Heads.Write(again, written, default));
        return true;
    }

    private static bool AcceptsResponse(string text, Random random)
    {
        byte[] raw = Heads.Bytes(text);
        MethodKind method = random.Next(4) == 0 ? MethodKind.Head : MethodKind.Get;
        bool offered = random.Next(2) == 0;
        ResponseHead head = Heads.ResponseHead;
        ParseStatus status = head.Parse(raw, 0, method, offered);
        string whole = Heads.Describe(head, status, raw);
        Same(text, whole, Heads.ResponseInPortions(raw, () => 1 + random.Next(1 + random.Next(40)), method, offered));
        status = head.Parse(raw, 0, method, offered);
        if (status != ParseStatus.Complete)
        {
            return false;
        }

        bool bodyless = method == MethodKind.Head || head.Status is < 200 or 204 or 304;
        Lenient(text, head.Length, head.Body, head.ContentLength, bodyless);
        Check(text, !bodyless || head.Body == BodyKind.None, "a body where none may be");
        Check(text, !head.IsTunnel || offered, "a tunnel that nobody asked for");
        for (int minor = 0; minor <= 1; minor++)
        {
            string written = Heads.Write(head, text, new OutgoingResponse { ClientMinorVersion = minor, KeepAlive = true });
            byte[] bytes = Heads.Bytes(written);
            ResponseHead again = s_answer;
            Check(written, again.Parse(bytes, 0, method, offered) == ParseStatus.Complete && again.Length == written.Length,
                "what is written is refused");
            Check(written, (again.Status, again.Body) == (head.Status, head.BodyFor(minor)), "framing");
            Lenient(written, written.Length, again.Body, again.ContentLength, bodyless);
        }

        return true;
    }

    private static bool AcceptsBody(string text, Random random)
    {
        byte[] raw = Heads.Bytes(text);
        bool ofResponse = random.Next(2) == 0;
        (string data, BodyStep end, int consumed, string trailers) = Heads.Body(new BodyReader(BodyKind.Chunked, 0, ofResponse),
            raw, () => raw.Length);
        (string Data, BodyStep End, int, string Trailers) portions =
            Heads.Body(new BodyReader(BodyKind.Chunked, 0, ofResponse), raw, () => 1 + random.Next(1 + random.Next(20)));
        Same(text, $"{data} {end} {trailers}", $"{portions.Data} {portions.End} {portions.Trailers}");

        // A second opinion, as slow and plain as can be.
        string? expected = Decode(text, ofResponse ? PaddedSize() : StrictSize(), out int at);
        bool done = end == BodyStep.Done;
        Check(text, done == (expected is not null), $"done {done}, by the other reading '{expected}' at {at}");
        if (done)
        {
            Same(text, $"{expected} {at}", $"{data} {consumed}");
            Check(text, !Forbidden().IsMatch(trailers), "forbidden trailers");
        }

        return done;
    }

    private static string? Decode(string text, Regex size, out int at)
    {
        string data = "";
        at = 0;
        while (size.Match(text, at) is { Success: true } line
            && long.TryParse(line.Groups["size"].ValueSpan, NumberStyles.HexNumber, CultureInfo.InvariantCulture,
                out long length) && length >= 0)
        {
            at += line.Length;
            if (length == 0)
            {
                Match end = Trailers().Match(text, at);
                at += end.Length;
                return end.Success ? data : null;
            }

            if (length > text.Length - at - 2 || text.AsSpan(at + (int)length, 2) is not "\r\n")
            {
                return null;
            }

            data += text.Substring(at, (int)length);
            at += (int)length + 2;
        }

        return null;
    }

    // Splits at anything that ever was taken for a line end, looks for names with anything that ever was ignored around them.
    private static string Lenient(string text, int length, BodyKind body, long contentLength, bool bodyless = false)
    {
        string begun = text.TrimStart('\r', '\n');
        int skipped = text.Length - begun.Length;
        int end = AnyEnd().Match(begun) is { Success: true } match ? skipped + match.Index + match.Length : -1;
        Check(text, end == length, $"the head ends at {length}, leniently at {end}");
        string head = text[skipped..length];
        int lengths = ContentLengthLine().Count(head);
        int encodings = TransferEncodingLine().Count(head);
        Check(text, lengths + encodings <= 1, "two framings");
        Check(text, bodyless || (lengths > 0) == (body == BodyKind.Length), "a length");
        Check(text, bodyless || (encodings > 0) == (body == BodyKind.Chunked), "chunks");
        Check(text, lengths == 0 || contentLength >= 0, "a length that is none");
        return head;
    }

    private static void Same(string text, string expected, string actual) =>
        Check(text, expected == actual, $"differ: {expected} | {actual}");

    private static void Check(string text, bool good, string what)
    {
        if (!good)
        {
            throw new InvalidOperationException($"{what}\n{Regex.Escape(text)}");
        }
    }

    [GeneratedRegex(@"\r?\n\r?\n|\r\r", Options, TimeoutMs)]
    private static partial Regex AnyEnd();

    [GeneratedRegex(@"(?<=[\r\n])" + NoToken + "content-length" + NoToken + ":", Options, TimeoutMs)]
    private static partial Regex ContentLengthLine();

    [GeneratedRegex(@"(?<=[\r\n])" + NoToken + "transfer-encoding" + NoToken + ":", Options, TimeoutMs)]
    private static partial Regex TransferEncodingLine();

    [GeneratedRegex(@"(?<=[\r\n])" + NoToken + "host" + NoToken + ":", Options, TimeoutMs)]
    private static partial Regex HostLine();

    [GeneratedRegex(@"\G(?<size>[0-9a-f]{1,16})(;[\t\x20-\x7e\x80-\xff]*)?\r\n", Options, TimeoutMs)]
    private static partial Regex StrictSize();

    [GeneratedRegex(@"\G(?<size>[0-9a-f]{1,16})[ \t]*(;[\t\x20-\x7e\x80-\xff]*)?\r\n", Options, TimeoutMs)]
    private static partial Regex PaddedSize();

    [GeneratedRegex(@"\G([!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n", Options, TimeoutMs)]
    private static partial Regex Trailers();

    [GeneratedRegex(
        @"^(content-length|transfer-encoding|host|connection|upgrade|te|cookie|expect|x-forwarded-[^:]+|forwarded|cdn-loop):",
        Options | RegexOptions.Multiline, TimeoutMs)]
    private static partial Regex Forbidden();
}
