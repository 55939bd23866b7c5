using System.Text;
using Gateway.DataPlane.Http;
using Gateway.DataPlane.Http.FastLane;

namespace Gateway.Tests.DataPlane.Http.FastLane;

/// <summary>Feeds parsers the ways a network does, and says what came out as text.</summary>
internal static class Heads
{
    // As on a loop, one head serves all.
    [ThreadStatic]
    private static RequestHead? t_request;

    [ThreadStatic]
    private static ResponseHead? t_response;

    /// <summary>This thread's head.</summary>
    public static RequestHead RequestHead => t_request ??= new RequestHead();

    /// <summary>This thread's head.</summary>
    public static ResponseHead ResponseHead => t_response ??= new ResponseHead();

    /// <summary>Bytes of a text in Latin-1, where every character is the byte of its number.</summary>
    public static byte[] Bytes(string text) => Encoding.Latin1.GetBytes(text);

    /// <summary>Parses in one piece.</summary>
    public static (RequestHead Head, ParseStatus Status) Request(string text)
    {
        RequestHead head = new();
        return (head, head.Parse(Bytes(text)));
    }

    /// <summary>Parses in one piece.</summary>
    public static (ResponseHead Head, ParseStatus Status) Response(
        string text, MethodKind method = MethodKind.Get, bool webSocketOffered = false)
    {
        ResponseHead head = new();
        return (head, head.Parse(Bytes(text), 0, method, webSocketOffered));
    }

    /// <summary>All that is decided about a request, as text.</summary>
    public static string Describe(RequestHead head, ParseStatus status, ReadOnlySpan<byte> raw)
    {
        if (status != ParseStatus.Complete)
        {
            return $"{status} {head.Fault} {head.Refusal?.Status}";
        }

        StringBuilder text = new();
        text.Append($"{head.Length} {Text(head.Method.Of(raw))} {head.MethodKind} {Text(head.Target.Of(raw))} {head.Form} 1.{head.MinorVersion} ")
            .Append($"{Text(head.Host.Of(raw))} {Text(head.PathAndQuery(raw))} {head.Body} {head.ContentLength} {head.KeepAlive} ")
            .Append($"{head.ConnectionNames} {head.WantsWebSocket} {head.ExpectsContinue} {head.AcceptsTrailers} {head.AnnouncesTrailers}");
        foreach (HeaderLine line in head.Lines)
        {
            text.Append($"\n{Text(line.Name.Of(raw))}={Text(line.Value.Of(raw))} {line.Known} {line.Line}");
        }

        return text.ToString();
    }

    /// <summary>All that is decided about a response, as text.</summary>
    public static string Describe(ResponseHead head, ParseStatus status, ReadOnlySpan<byte> raw)
    {
        if (status != ParseStatus.Complete)
        {
            return $"{status} {head.Fault}";
        }

        StringBuilder text = new();
        text.Append($"{head.Length} 1.{head.MinorVersion} {head.Status} {Text(head.Phrase.Of(raw))} {head.Body} {head.ContentLength} {head.KeepAlive}");
        foreach (HeaderLine line in head.Lines)
        {
            text.Append($"\n{Text(line.Name.Of(raw))}={Text(line.Value.Of(raw))} {line.Known}");
        }

        return text.ToString();
    }

    /// <summary>Feeds growing prefixes, as a connection does: <paramref name="next"/> says how many bytes come next. The span
    /// ends with what has come, in an array of its own, so that a read behind it throws.</summary>
    public static string RequestInPortions(ReadOnlySpan<byte> all, Func<int> next)
    {
        RequestHead head = RequestHead;
        int have = 0;
        int scanned = 0;
        while (true)
        {
            have = Math.Min(all.Length, have + next());
            byte[] exact = all[..have].ToArray();
            ParseStatus status = head.Parse(exact, scanned);
            if (status != ParseStatus.Incomplete || have == all.Length)
            {
                return Describe(head, status, exact);
            }

            scanned = have;
        }
    }

    /// <summary>As <see cref="RequestInPortions"/>, for a response.</summary>
    public static string ResponseInPortions(ReadOnlySpan<byte> all, Func<int> next, MethodKind method, bool webSocketOffered)
    {
        ResponseHead head = ResponseHead;
        int have = 0;
        int scanned = 0;
        while (true)
        {
            have = Math.Min(all.Length, have + next());
            byte[] exact = all[..have].ToArray();
            ParseStatus status = head.Parse(exact, scanned, method, webSocketOffered);
            if (status != ParseStatus.Incomplete || have == all.Length)
            {
                return Describe(head, status, exact);
            }

            scanned = have;
        }
    }

    /// <summary>Writes, giving as much room as is needed.</summary>
    public static string Write(RequestHead head, string raw, in OutgoingRequest facts)
    {
        byte[] to = new byte[64];
        int written;
        while ((written = RequestHeadWriter.Write(head, Bytes(raw), facts, to)) < 0)
        {
            to = new byte[to.Length * 2];
        }

        return Text(to.AsSpan(0, written));
    }

    /// <summary>Writes, giving as much room as is needed.</summary>
    public static string Write(ResponseHead head, string raw, in OutgoingResponse facts)
    {
        byte[] to = new byte[64];
        int written;
        while ((written = ResponseHeadWriter.Write(head, Bytes(raw), facts, to)) < 0)
        {
            to = new byte[to.Length * 2];
        }

        return Text(to.AsSpan(0, written));
    }

    /// <summary>Reads a body in portions: its data, what became of it, and how much was consumed.</summary>
    public static (string Data, BodyStep End, int Consumed, string Trailers) Body(
        BodyReader reader, ReadOnlySpan<byte> all, Func<int> next)
    {
        StringBuilder data = new();
        int have = 0;
        int at = 0;
        while (true)
        {
            have = Math.Min(all.Length, have + next());
            BodyStep step;
            do
            {
                byte[] exact = all[at..have].ToArray();
                step = reader.Next(exact, out int consumed, out int start, out int length);
                Assert.InRange(consumed, 0, exact.Length);
                Assert.InRange(start + length, 0, consumed);
                Assert.Equal(step == BodyStep.Data, length > 0);
                Assert.True(step != BodyStep.NeedMore || consumed == exact.Length);
                data.Append(Text(exact.AsSpan(start, length)));
                at += consumed;
            }
            while (step == BodyStep.Data);

            if (step is BodyStep.Done or BodyStep.Broken || have == all.Length)
            {
                return (data.ToString(), step, at, Text(reader.Trailers));
            }
        }
    }

    /// <summary>Text of bytes.</summary>
    public static string Text(ReadOnlySpan<byte> bytes) => Encoding.Latin1.GetString(bytes);
}
