using System.Text;

namespace Gateway.Tests.DataPlane.Http.FastLane;

/// <summary>
/// Makes messages that are nearly right: whole ones from pieces that smuggling attempts are made of, then spoiled in a few bytes.
/// Random bytes alone would never get past the request line.
/// </summary>
internal sealed class MessageGrammar(Random random)
{
    private static readonly string[] s_ends = ["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n",
        "\r\n", "\n", "\r", "\r\r\n", "\n\r"];
    private static readonly string[] s_methods = ["GET", "GET", "POST", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "TRACE",
        "PATCH", "XYZ", "get", "G\tT"];
    private static readonly string[] s_targets =
        ["/", "/a?b", "/a", "*", "http://b/", "http://b:80?x", "https://[::1]/", "http://u@b/", "//x", "/ HTTP/1.1\r\nX: ", "/#",
        "/\u00e4", "a:80", "/\0"];
    private static readonly string[] s_versions = ["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.0",
        "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.1 "];
    private static readonly string[] s_lines =
    [
        "Content-Length: 5", "Content-Length: 0", "Content-Length: +5", "Content-Length: 5, 5", "content-length:5",
        "Content-Length : 5", "Content-Length:",
        "Content-Length: 00005", "Content-Length: 18446744073709551621", " Content-Length: 5", "Content_Length: 5",
        "Content-Length\0: 5",
        "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", "Transfer-Encoding: Chunked\t", "Transfer-Encoding: chunked,",
        "Transfer-Encoding: identity",
        "Transfer-Encoding : chunked", "Transfer-Encoding:\u000bchunked", "Transfer-Encoding: gzip, chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked", "X: y\rTransfer-Encoding: chunked",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked", "Transfer_Encoding: chunked",
        "Transfer-Encoding: \"chunked\"", "Transfer-Encoding: chun\u00ffked", "Transfer-Encoding\u00a0: chunked",
        "Connection: close", "Connection: keep-alive", "Connection: Transfer-Encoding", "Connection: Content-Length, Host",
        "Connection: X-A, upgrade",
        "Upgrade: websocket", "Upgrade: h2c", "Expect: 100-continue", "TE: trailers", "Trailer: X-T", "Host: b", "Host:",
        "Host: a@b", "X-A: 1", "X-B:", "Cookie: a=1",
        "X-Forwarded-For: 1.1.1.1", "Forwarded: for=x", "CDN-Loop: gw", "X-Obs: \u00e4\u0085\u00a0", "X: a\tb", "X: a\0b",
        "GET / HTTP/1.1", "Keep-Alive: 5", ": x", "X",
    ];

    private static readonly string[] s_statuses = ["200 OK", "200", "204 No Content", "304 Not Modified", "100 Continue",
        "101 Switching Protocols", "500 \u00e4", "999 x", "20 x", "2000", "099"];
    private static readonly string[] s_sizes = ["0", "1", "5", "a", "0005", "5;x", "5;x=\"y\"", "5 ", "0x5", "+5", "-1",
        "ffffffffffffffff", "7fffffffffffffff", "5;a\nb", "5;a\rb", "", "5,", "5\0"];

    /// <summary>A request with what follows it.</summary>
    public string Request()
    {
        StringBuilder text = new();
        text.Append(random.Next(12) == 0 ? "\r\n" : "")
            .Append(Of(s_methods)).Append(random.Next(30) == 0 ? "\t" : " ").Append(Of(s_targets)).Append(random.Next(30) == 0 ? "  " : " ")
            .Append(Of(s_versions)).Append(End());
        if (random.Next(10) != 0)
        {
            text.Append("Host: a").Append(End());
        }

        Lines(text);
        return Spoil(text.Append(Chunks()).ToString());
    }

    /// <summary>A response with what follows it.</summary>
    public string Response()
    {
        StringBuilder text = new();
        text.Append(Of(s_versions)).Append(' ').Append(Of(s_statuses)).Append(End());
        Lines(text);
        return Spoil(text.Append(Chunks()).ToString());
    }

    /// <summary>A chunked body with what follows it.</summary>
    public string Chunks()
    {
        StringBuilder text = new();
        for (int i = random.Next(4); i > 0; i--)
        {
            string size = random.Next(4) == 0 ? Of(s_sizes) : random.Next(1, 20).ToString("x",
                System.Globalization.CultureInfo.InvariantCulture);
            int length = int.TryParse(size, System.Globalization.NumberStyles.HexNumber, null,
                out int parsed) && parsed is > 0 and < 100 ? parsed : 5;
            text.Append(size).Append(End()).Append('x', random.Next(15) == 0 ? length + random.Next(-1,
                2) : length).Append(End());
        }

        text.Append('0').Append(End());
        if (random.Next(3) == 0)
        {
            text.Append(Of(s_lines)).Append(End());
        }

        return text.Append(End()).Append("GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n").ToString();
    }

    /// <summary>The same with some bytes changed, left out, doubled or put in; often untouched.</summary>
    public string Spoil(string text)
    {
        for (int i = random.Next(2) * random.Next(4); i > 0 && text.Length > 0; i--)
        {
            int at = random.Next(text.Length);
            char odd = random.Next(3) == 0 ? (char)random.Next(256) : "\r\n\t \0:,;\u000b\u000c\u007f\u0080\u0085"[random.Next(13)];
            text = random.Next(4) switch
            {
                0 => text.Remove(at, 1),
                1 => text.Insert(at, text[at].ToString()),
                2 => text.Insert(at, odd.ToString()),
                _ => text.Remove(at, 1).Insert(at, odd.ToString()),
            };
        }

        return text;
    }

    private void Lines(StringBuilder text)
    {
        for (int i = random.Next(5); i > 0; i--)
        {
            text.Append(Of(s_lines)).Append(End());
        }

        text.Append(End());
    }

    private string End() => random.Next(3) == 0 ? Of(s_ends) : "\r\n";

    private string Of(string[] choices) => choices[random.Next(choices.Length)];
}
