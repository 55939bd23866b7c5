using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.RegularExpressions;
using Gateway.Planning;

namespace Gateway.IntegrationTests.DataPlane.Http.Conformance;

/// <summary>
/// Random requests, random and malicious answers, cut at random, through the fast lane. Every request has a token of its own; whatever
/// comes back on a connection carries no token of another one, and at the end nothing is left. About ten seconds;
/// GATEWAY_FUZZ_SECONDS runs longer, GATEWAY_FUZZ_SEED repeats a run as far as the kernel's timing allows.
/// </summary>
public sealed partial class LiveFuzzTests(ITestOutputHelper output) : LaneTests(Engine.Loops)
{
    private const int Clients = 8;

    // What a request may have that is not quite right, or wrong.
    private static readonly string[] Oddities =
    [
        "", "", "", "", "X-A: 1\r\n", "Connection: close\r\n", "Connection: X-B\r\nX-B: 1\r\n", "Expect: 100-continue\r\n", "X-A : 1\r\n", "X-A: \u0001\r\n",
        "Content-Length: 3\r\n", "Transfer-Encoding: gzip\r\n", "Upgrade: h2c\r\n", " folded\r\n", "TE: trailers\r\n", "X-A: 1\n",
    ];

    private static double Seconds =>
        double.TryParse(Environment.GetEnvironmentVariable("GATEWAY_FUZZ_SECONDS"), CultureInfo.InvariantCulture, out double seconds) ? seconds : 10;

    [Fact]
    public async Task Nobody_gets_bytes_of_another_client_and_nothing_is_left_behind()
    {
        int seed = int.TryParse(Environment.GetEnvironmentVariable("GATEWAY_FUZZ_SEED"), CultureInfo.InvariantCulture, out int given)
            ? given : Environment.TickCount & 0xFFFFFF;
        output.WriteLine($"GATEWAY_FUZZ_SEED={seed}");
        int turn = 0;
        await using RawInstance instance = new(connection => BehaveAsync(connection, new Random(seed * 31 + Interlocked.Increment(ref turn))));
        ClusterPlan cluster = LaneUnderTest.Cluster(instance.EndPoint, instance.EndPoint) with
        {
            Timeouts = new TimeoutsPlan { Response = TimeSpan.FromMilliseconds(300) },
        };
        await using LaneUnderTest lane = await StartAsync(cluster);
        int before = Descriptors();
        int answered = 0;
        using CancellationTokenSource over = new(TimeSpan.FromSeconds(Seconds));
        await Task.WhenAll(Enumerable.Range(0, Clients).Select(i => Task.Run(async () =>
        {
            Random random = new(seed + i);
            for (int round = 0; !over.IsCancellationRequested; round++)
            {
                Interlocked.Add(ref answered, await ConverseAsync(lane, random, $"c{i}r{round}"));
            }
        })));
        output.WriteLine($"{answered} answers");

        // 1. It served all the while, and made no mistake that a loop had to survive.
        Assert.True(answered > 100, $"seed {seed}: {answered} answers only");
        Assert.True(lane.Log.Errors.IsEmpty, $"seed {seed}: {lane.Log.Errors.FirstOrDefault()}");

        // 2. It still serves, and nothing is left of what was. Tunnels may take their time.
        await EventuallyHttp.HoldsAsync(() => lane.Lane.Connections == 0 && lane.Lane.Requests == 0, $"seed {seed}: nothing is left");
        Assert.All(lane.Clusters.Find("web@production")!.Destinations, destination => Assert.Equal(0, destination.InFlight));
        await EventuallyHttp.HoldsAsync(() => Descriptors() < before + 40, $"seed {seed}: descriptors are given back");
        Assert.Equal(1, await ServesAsync(lane));
    }

    private static async Task<int> ServesAsync(LaneUnderTest lane)
    {
        // The instance is random: until it gives a good answer.
        for (int i = 0; i < 200; i++)
        {
            using RawConnection client = await lane.ConnectAsync();
            await client.SendAsync($"GET /t-last{i} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            try
            {
                if ((await client.ReadToEndAsync()).StartsWith("HTTP/1.1 200", StringComparison.Ordinal))
                {
                    return 1;
                }
            }
            catch (SocketException)
            {
                // A malicious answer; the next may be good.
            }
        }

        return 0;
    }

    // One connection with a few requests, pipelined or not; returns how many answers came.
    private static async Task<int> ConverseAsync(LaneUnderTest lane, Random random, string name)
    {
        using RawConnection client = await lane.ConnectAsync();
        client.Socket.ReceiveTimeout = 15_000;
        int count = random.Next(1, 6);
        StringBuilder all = new();
        List<string> tokens = [];
        for (int i = 0; i < count; i++)
        {
            string token = $"t-{name}n{i}e";
            tokens.Add(token);
            all.Append(Request(random, token));
        }

        try
        {
            Task sending = SendCutAsync(client, all.ToString(), random);
            StringBuilder seen = new();
            byte[] buffer = new byte[16 * 1024];
            using CancellationTokenSource patience = new(TimeSpan.FromMilliseconds(random.Next(5, 900)));
            try
            {
                int read;
                while ((read = await client.Socket.ReceiveAsync(buffer, patience.Token)) > 0)
                {
                    seen.Append(Encoding.Latin1.GetString(buffer, 0, read));
                }
            }
            catch (OperationCanceledException)
            {
                // It leaves in the middle of whatever it is.
            }
            catch (SocketException)
            {
                // A reset is an answer.
            }

            if (random.Next(3) == 0)
            {
                client.Socket.LingerState = new LingerOption(true, 0);
            }

            // A token may be cut by the size of a chunk.
            string text = ChunkSize().Replace(seen.ToString(), "");
            for (int at = 0; (at = text.IndexOf("t-c", at, StringComparison.Ordinal)) >= 0; at += 3)
            {
                int end = text.IndexOf('e', at);
                Assert.True(end < 0 || tokens.Contains(text[at..(end + 1)]), $"{name} got bytes of another: {text[at..Math.Min(text.Length, at + 30)]} in {text}");
            }

            client.Dispose();
            await sending;
            return text.Split("HTTP/1.1 ").Length - 1;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            return 0;
        }
    }

    private static string Request(Random random, string token)
    {
        string method = random.GetItems(["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS"], 1)[0];
        string odd = random.GetItems(Oddities, 1)[0];
        string version = random.Next(12) == 0 ? "1.0" : "1.1";
        string head = $"{method} /{token} HTTP/{version}\r\nHost: a\r\nX-Token: {token}\r\n{odd}";
        string body = new((char)('a' + random.Next(26)), random.Next(0, random.Next(8) == 0 ? 40_000 : 60));
        switch (random.Next(7))
        {
            case 0:
                return $"{head}Content-Length: {body.Length}\r\n\r\n{body}";
            case 1:
                StringBuilder chunks = new();
                for (int at = 0; at < body.Length;)
                {
                    int size = Math.Min(random.Next(1, 5000), body.Length - at);
                    chunks.Append(CultureInfo.InvariantCulture, $"{size:x}{(random.Next(4) == 0 ? ";x" : "")}\r\n{body.AsSpan(at, size)}\r\n");
                    at += size;
                }

                return $"{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n{(random.Next(4) == 0 ? "X-T: 1\r\n" : "")}\r\n";
            case 2 when random.Next(3) == 0:
                return $"{head}Transfer-Encoding: chunked\r\n\r\n{random.Next(9)}\r\nzz\r\nq";
            case 3 when random.Next(3) == 0:
                return $"GET /{token} HTTP/1.1\r\nHost: a\r\nX-Token: {token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nabc";
            default:
                return $"{head}\r\n";
        }
    }

    // An instance that keeps the framing of the requests and does to the answers what comes to its mind.
    private static async Task BehaveAsync(RawConnection connection, Random random)
    {
        while (true)
        {
            string head = await connection.ReadHeadAsync();
            string token = RawConnection.Header(head, "X-Token") ?? "t-none";
            int act = random.Next(24);
            if (act != 0)
            {
                // Act 0 answers before it has read the body.
                if (RawConnection.Header(head, "Expect") is not null)
                {
                    await connection.SendAsync("HTTP/1.1 100 Continue\r\n\r\n");
                }

                if (RawConnection.Header(head, "Content-Length") is { } length)
                {
                    await connection.ReadAsync(int.Parse(length, CultureInfo.InvariantCulture));
                }
                else if (RawConnection.Header(head, "Transfer-Encoding") is not null)
                {
                    await connection.ReadUntilAsync("0\r\n");
                    await connection.ReadUntilAsync("\r\n");
                }
            }

            string body = $"<{token}>{new string('.', random.Next(0, random.Next(8) == 0 ? 200_000 : 80))}";
            bool bodyless = head.StartsWith("HEAD", StringComparison.Ordinal);
            string known = $"HTTP/1.1 200 OK\r\nX-Is: {token}\r\nContent-Length: {body.Length}\r\n\r\n{(bodyless ? "" : body)}";
            string chunked = $"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{(bodyless ? "" : $"{body.Length:X}\r\n{body}\r\n0\r\n\r\n")}";
            bool ends = act is >= 12 or 0;
            string answer = act switch
            {
                < 6 => known,
                < 10 => chunked,
                10 => $"HTTP/1.1 103 Early Hints\r\nX-Is: {token}\r\n\r\n{known}",
                11 => "HTTP/1.1 204 No Content\r\n\r\n",
                12 => $"HTTP/1.1 200 OK\r\nX-Is: {token}\r\n\r\n{body}",
                13 => $"HTTP/1.1 200 OK\r\nContent-Length: {body.Length + 50}\r\n\r\n{body}",
                14 => $"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{body}",
                15 => $"{known}stray <{token}>",
                16 => $"{known}{known}",
                17 => "nonsense\r\n\r\n",
                18 => $"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n<{token}>",
                19 => $"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n{body}",
                20 => "",
                21 => $"HTTP/1.1 200 OK\r\nX-Big: {new string('y', 70_000)}\r\n\r\n",
                22 => known[..(known.Length / 2)],
                _ => known,
            };
            await SendCutAsync(connection, answer, random);
            if (ends)
            {
                if (random.Next(3) == 0)
                {
                    connection.Socket.LingerState = new LingerOption(true, 0);
                }

                return;
            }
        }
    }

    private static async Task SendCutAsync(RawConnection to, string text, Random random)
    {
        try
        {
            int most = random.Next(3) switch { 0 => 8, 1 => 300, _ => 70_000 };
            if (text.Length > 5_000)
            {
                most = Math.Max(most, 2_000);
            }

            for (int at = 0; at < text.Length;)
            {
                int count = Math.Min(random.Next(1, most), text.Length - at);
                await to.SendAsync(text.Substring(at, count));
                at += count;
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The other side has heard enough.
        }
    }

    [GeneratedRegex("\r\n[0-9A-Fa-f]+\r\n", RegexOptions.None, 1000)]
    private static partial Regex ChunkSize();

    private static int Descriptors() => Directory.EnumerateFileSystemEntries("/proc/self/fd").Count();
}
