using System.Globalization;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Gateway.DataPlane.Http;
using Gateway.DataPlane.Http.FastLane;

namespace Gateway.Tests.DataPlane.Http.FastLane;

/// <summary>What holds for every message, not only for those somebody thought of.</summary>
public sealed class MessageLawTests
{
    private const string TokenChars = "!#$%&'*+-.^_`|~09azAZ";

    private static readonly Config s_config = Config.QuickThrowOnFailure.WithMaxTest(500);

    private static readonly Gen<string> s_token = TextOf(TokenChars, 1, 20);

    // Field content: visible, blank and over 0x7F, trimmed as a reader trims it.
    private static readonly Gen<string> s_value = TextOf("aZ09 \t,;:=\"\\()<>@!\u0080\u00a0\u00ff", 0,
        30).Select(static v => v.Trim(' ', '\t'));

    private static readonly Gen<(string Name, string Value)> s_line =
        s_token.Where(static name => KnownHeaders.Of(name.AsSpan()) == KnownHeader.Other).SelectMany(
            static name => s_value.Select(value => (name, value)));

    [Fact]
    public void What_is_composed_is_read_back()
    {
        Gen<(string Method, string Path, (string Name, string Value)[] Lines, int Body)> requests =
            from method in s_token.Where(static m => m != "CONNECT")
            from path in TextOf("aZ09/.%?&=;:@!$'()*+,-_~[]{}|^`\"<>\\", 0, 30).Where(
                static p => !p.Contains("%00", StringComparison.Ordinal))
            from lines in s_line.ArrayOf()
            from body in Gen.Choose(-2, 1_000_000)
            select (method, path, lines, body);
        Check.One(s_config, Prop.ForAll(Arb.From(requests), static request =>
        {
            StringBuilder text = new();
            text.Append(request.Method).Append(" /").Append(request.Path).Append(" HTTP/1.1\r\nHost: a.example\r\n");
            foreach ((string name, string value) in request.Lines)
            {
                text.Append(name).Append(": ").Append(value).Append("\r\n");
            }

            string head = text.ToString();
            string framing = request.Body switch
            {
                -1 => "Transfer-Encoding: chunked\r\n",
                -2 => "",
                _ => string.Create(CultureInfo.InvariantCulture, $"Content-Length: {request.Body}\r\n"),
            };
            string whole = $"{head}{framing}\r\n";
            byte[] raw = Heads.Bytes(whole);
            RequestHead parsed = Heads.RequestHead;
            Assert.Equal(ParseStatus.Complete, parsed.Parse(raw));
            Assert.Equal((request.Method, "/" + request.Path), (Heads.Text(parsed.Method.Of(raw)),
                Heads.Text(parsed.PathAndQuery(raw))));
            List<(string, string)> read = [];
            foreach (HeaderLine line in parsed.Lines)
            {
                if (line.Known == KnownHeader.Other)
                {
                    read.Add((Heads.Text(line.Name.Of(raw)), Heads.Text(line.Value.Of(raw))));
                }
            }

            Assert.Equal(request.Lines, read);

            // Written without anything of ours it is what it was.
            Assert.Equal(whole, Heads.Write(parsed, whole, default));
        }));
    }

    [Fact]
    public void Any_bytes_give_a_verdict_that_portions_do_not_change()
    {
        Gen<byte[]> bytes = Gen.OneOf(
            Gen.Choose(0, 255).Select(static b => (byte)b).ArrayOf(),
            Gen.Elements("GET ", "/", " HTTP/1.1", "\r\n", "Host: a", "\n", "\r", ":", " ", "HTTP/1.1 200", "0", "5", ";", "\0",
                "x", "\r\n\r\n")
                .ArrayOf().Select(static parts => Heads.Bytes(string.Concat(parts))));
        Check.One(s_config, Prop.ForAll(Arb.From(bytes), Arb.From(Gen.Choose(1, 7)), static (raw, portion) =>
        {
            RequestHead request = Heads.RequestHead;
            string whole = Heads.Describe(request, request.Parse(raw), raw);
            Assert.Equal(whole, Heads.RequestInPortions(raw, () => portion));
            ResponseHead response = Heads.ResponseHead;
            whole = Heads.Describe(response, response.Parse(raw, 0, MethodKind.Get), raw);
            Assert.Equal(whole, Heads.ResponseInPortions(raw, () => portion, MethodKind.Get, webSocketOffered: false));
            foreach (BodyKind kind in Enum.GetValues<BodyKind>())
            {
                (string data, BodyStep end, _, string trailers) = Heads.Body(new BodyReader(kind, 10), raw, () => raw.Length);
                (string sameData, BodyStep sameEnd, _, string sameTrailers) = Heads.Body(new BodyReader(kind, 10), raw,
                    () => portion);
                Assert.Equal((data, end, trailers), (sameData, sameEnd, sameTrailers));
            }
        }));
    }

    [Fact]
    public void Chunks_that_are_written_are_read_back() => Check.One(
        s_config,
        Prop.ForAll(
            Arb.From(TextOf("x\r\n0;\0\u00ff", 1, 300).ArrayOf()), Arb.From(Gen.Choose(1, 50)), Arb.From(s_line.ArrayOf()),
            static (chunks, portion, trailers) =>
            {
                StringBuilder text = new();
                byte[] buffer = new byte[10_000];
                foreach (string chunk in chunks)
                {
                    text.Append(Heads.Text(buffer.AsSpan(0, ChunkWriter.WriteSize(chunk.Length,
                        buffer)))).Append(chunk).Append(Heads.Text(ChunkWriter.DataEnd));
                }

                string lines = string.Concat(trailers.Select(static line => $"{line.Name}: {line.Value}\r\n"));
                text.Append(Heads.Text(buffer.AsSpan(0, ChunkWriter.WriteEnd(Heads.Bytes(lines), buffer))));
                Assert.Equal(
                    (string.Concat(chunks), BodyStep.Done, text.Length, lines),
                    Heads.Body(new BodyReader(BodyKind.Chunked), Heads.Bytes(text.Append("GET /").ToString()), () => portion));
            }));

    [Fact]
    public void Names_mean_the_same_as_bytes_and_as_characters()
    {
        string[] words =
        [
            .. Enum.GetNames<KnownHeader>(), "TE", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
            "Transfer-Encoding",
            "HTTP2-Settings", "Content-Length", "CDN-Loop", "X-Forwarded-For", "X-Forwarded-Proto", "X_Forwarded_For",
            "X-Real-IP", "x_real_ip", "X-Request-Id",
            "X-Gateway-Reason", "X-Gateway-", "X-Forwarded-", "Content-Type", "Content-Encoding", "Content-Range", "Set-Cookie",
            "WWW-Authenticate",
            "Cache-Control", "Max-Forwards", "X", "", "Sec-Fetch-Dest", "User-Agent", "Xonnection", "Cookies", "hosx",
        ];
        Gen<string> names = Gen.OneOf(
            Gen.Elements(words), Gen.Elements(words).Select(static w => w.ToUpperInvariant()),
                Gen.Elements(words).Select(static w => w.ToLowerInvariant()), s_token);
        Check.One(s_config, Prop.ForAll(Arb.From(names), Arb.From(s_value), Arb.From(names), static (name, value, other) =>
        {
            byte[] bytes = Heads.Bytes(name);
            KnownHeader known = KnownHeaders.Of<byte>(bytes);
            Assert.Equal(KnownHeaders.Of(name.AsSpan()), known);
            Assert.Equal(HeaderRules.EndsHere(name), HeaderRules.EndsHere(bytes));
            Assert.Equal(Forwarding.Concerns(name), Forwarding.Concerns<byte>(bytes));
            Assert.Equal(Forwarding.Concerns(name), known is KnownHeader.Forwarding or KnownHeader.ForwardedFor);
            string list = $"{value}, {other} ,{name}";
            Assert.Equal(HeaderRules.IsNamedBy(list, name), HeaderRules.IsNamedBy(Heads.Bytes(list), bytes, known));
            Assert.Equal(HeaderRules.CountOwnId(list, name), HeaderRules.CountOwnId<byte>(Heads.Bytes(list), bytes));
            Assert.False(HeaderRules.EndsHere(known) && HeaderRules.MayTrail(known));
        }));
    }

    private static Gen<string> TextOf(string characters, int shortest, int longest) =>
        Gen.Choose(shortest, longest).SelectMany(length =>
            Gen.Elements(characters.ToCharArray()).ArrayOf(length).Select(static chars => new string(chars)));
}
