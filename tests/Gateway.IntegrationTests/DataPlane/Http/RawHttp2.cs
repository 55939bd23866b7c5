using System.Text;

namespace Gateway.IntegrationTests.DataPlane.Http;

/// <summary>HTTP/2 by hand, for heads that no client library would send. Text is Latin-1: a byte is a character.</summary>
internal static class RawHttp2
{
    public const string Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// <summary>An empty SETTINGS frame.</summary>
    public static string Settings => Frame(4, 0, 0, "");

    /// <summary>A frame: type, flags, stream, payload.</summary>
    public static string Frame(int type, int flags, int stream, string payload) => string.Concat(
        Text(payload.Length >> 16, payload.Length >> 8, payload.Length, type, flags, stream >> 24, stream >> 16, stream >> 8, stream), payload);

    /// <summary>A HEADERS frame that ends the head; every field is a literal without indexing (RFC 7541 §6.2.2).</summary>
    public static string Headers(int stream, bool ends, params (string Name, string Value)[] fields)
    {
        StringBuilder block = new();
        foreach ((string name, string value) in fields)
        {
            block.Append(Text(0)).Append(Text(name.Length)).Append(name).Append(Text(value.Length)).Append(value);
        }

        return Frame(1, ends ? 5 : 4, stream, block.ToString());
    }

    /// <summary>The next frame that is neither SETTINGS, PING nor WINDOW_UPDATE.</summary>
    public static async Task<(int Type, int Flags, int Stream, string Payload)> ReadFrameAsync(RawConnection connection)
    {
        while (true)
        {
            string head = await connection.ReadAsync(9);
            string payload = await connection.ReadAsync((head[0] << 16) | (head[1] << 8) | head[2]);
            if (head[3] is not ('\u0004' or '\u0006' or '\u0008'))
            {
                return (head[3], head[4], (head[5] << 24) | (head[6] << 16) | (head[7] << 8) | head[8], payload);
            }
        }
    }

    private static string Text(params int[] bytes) => string.Concat(bytes.Select(b => (char)(b & 0xFF)));
}
