namespace Gateway.BlackBoxTests.Harness;

/// <summary>An endless stream of server-sent events from the test-server: a request that is in flight for as long as a test likes.</summary>
internal sealed class EventStream : IDisposable
{
    private readonly Wire wire;

    private EventStream(Wire wire, string servedBy)
    {
        this.wire = wire;
        ServedBy = servedBy;
    }

    public string ServedBy { get; }

    public static async Task<EventStream> Open(int port, CancellationToken cancel, int every = 50, int count = 1_000_000)
    {
        Wire opened = await Wire.Connect(port, cancel: cancel);
        try
        {
            await opened.Send(Wire.Request("GET", $"/sse?ms={every}&count={count}", "events"), cancel);
            (int status, List<KeyValuePair<string, string>> headers) = await opened.ReadHead(cancel);
            Assert.Equal(200, status);
            return new EventStream(
                opened, headers.Find(static pair => pair.Key.Equals("X-Served-By", StringComparison.OrdinalIgnoreCase)).Value);
        }
        catch
        {
            opened.Dispose();
            throw;
        }
    }

    /// <summary>The number of the next event; throws when the stream ends.</summary>
    public async Task<int> Next(CancellationToken cancel)
    {
        while (await wire.ReadLine(cancel) is { } line)
        {
            if (line.StartsWith("id: ", StringComparison.Ordinal))
            {
                return int.Parse(line[4..]);
            }
        }

        throw new IOException("The event stream ended.");
    }

    /// <summary>Reads on until the stream ends; true when it ended as HTTP ends an answer (last chunk), false when it was cut.</summary>
    public async Task<bool> EndsWell(CancellationToken cancel)
    {
        string? before = null;
        try
        {
            while (await wire.ReadLine(cancel) is { } line)
            {
                if (line.Length == 0 && before == "0")
                {
                    return true;
                }

                before = line;
            }
        }
        catch (System.Net.Sockets.SocketException)
        {
            return false;
        }

        return false;
    }

    public void Dispose() => wire.Dispose();
}
