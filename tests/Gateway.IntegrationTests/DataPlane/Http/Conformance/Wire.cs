using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text;

namespace Gateway.IntegrationTests.DataPlane.Http.Conformance;

/// <summary>A message with its framing undone: what both sides must agree on, however it was cut and chunked.</summary>
internal sealed record Message(string Head, string Body, string Trailers = "")
{
    /// <summary>Request line or status line.</summary>
    public string Line => Head[..Head.IndexOf("\r\n", StringComparison.Ordinal)];

    public int Status => RawConnection.Status(Head);

    public bool Closes => string.Equals(Header("Connection"), "close", StringComparison.OrdinalIgnoreCase);

    public string? Header(string name) => RawConnection.Header(Head, name);

    /// <summary>All values of a name as one list: whether they come in one line or in several is not promised.</summary>
    public string List(string name) => string.Join(", ", RawConnection.Headers(Head, name));
}

/// <summary>Messages on a <see cref="RawConnection"/>.</summary>
internal static class Wire
{
    /// <summary>The next message by its framing; without any, to the end of the connection where <paramref name="response"/> is set.</summary>
    public static async Task<Message> ReadAsync(RawConnection from, bool response = false, bool bodyless = false)
    {
        string head = await from.ReadHeadAsync();
        if (bodyless || (response && RawConnection.Status(head) is < 200 or 204 or 304))
        {
            return new Message(head, "");
        }

        if (RawConnection.Header(head, "Transfer-Encoding") is not null)
        {
            return await ReadChunksAsync(from, head);
        }

        return RawConnection.Header(head, "Content-Length") is { } length
            ? new Message(head, await from.ReadAsync(int.Parse(length, CultureInfo.InvariantCulture)))
            : new Message(head, response ? await from.ReadToEndAsync() : "");
    }

    /// <summary>The next response; interim ones are passed over.</summary>
    public static async Task<Message> ReadFinalAsync(RawConnection from, bool bodyless = false)
    {
        while (true)
        {
            Message message = await ReadAsync(from, response: true, bodyless);
            if (message.Status >= 200)
            {
                return message;
            }
        }
    }

    /// <summary>Each byte in a write, and mostly a segment, of its own.</summary>
    public static async Task SendBytewiseAsync(RawConnection to, string text)
    {
        foreach (char one in text)
        {
            await to.SendAsync(one.ToString());
        }
    }

    public static Task SendAsync(RawConnection to, string text, bool bytewise) => bytewise ? SendBytewiseAsync(to, text) : to.SendAsync(text);

    /// <summary>Whether the other side closes, with a FIN or a reset, without another byte.</summary>
    public static async Task<bool> EndsAsync(RawConnection connection)
    {
        try
        {
            return (await connection.ReadToEndAsync()).Length == 0;
        }
        catch (System.Net.Sockets.SocketException)
        {
            return true;
        }
    }

    private static async Task<Message> ReadChunksAsync(RawConnection from, string head)
    {
        StringBuilder body = new();
        while (true)
        {
            string size = await from.ReadUntilAsync("\r\n");
            int bytes = int.Parse(size.Split(';')[0].Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            if (bytes == 0)
            {
                break;
            }

            body.Append(await from.ReadAsync(bytes));
            Assert.Equal("\r\n", await from.ReadAsync(2));
        }

        StringBuilder trailers = new();
        string line;
        while ((line = await from.ReadUntilAsync("\r\n")).Length > 2)
        {
            trailers.Append(line);
        }

        return new Message(head, body.ToString(), trailers.ToString());
    }
}

/// <summary>An instance that records what it is asked and answers each request by a rule.</summary>
internal sealed class RecordingInstance : IAsyncDisposable
{
    private readonly RawInstance _instance;

    public RecordingInstance(Func<Message, string>? answer = null, bool bytewise = false)
    {
        _instance = new RawInstance(async connection =>
        {
            while (true)
            {
                Message request = await Wire.ReadAsync(connection);
                Requests.Enqueue(request);
                await Wire.SendAsync(connection, answer?.Invoke(request) ?? Ok(request), bytewise);
            }
        });
    }

    public IPEndPoint EndPoint => _instance.EndPoint;

    public int Accepted => _instance.Accepted;

    /// <summary>What came, in order.</summary>
    public ConcurrentQueue<Message> Requests { get; } = [];

    /// <summary>An answer that names the request's line, so that nobody can get another's unseen.</summary>
    public static string Ok(Message request)
    {
        bool head = request.Line.StartsWith("HEAD ", StringComparison.Ordinal);
        string body = $"{request.Line}|{request.Body}";
        return $"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{(head ? "" : body)}";
    }

    public ValueTask DisposeAsync() => _instance.DisposeAsync();
}
