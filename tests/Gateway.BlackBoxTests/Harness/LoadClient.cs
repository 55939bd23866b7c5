using System.Text;

namespace Gateway.BlackBoxTests.Harness;

/// <summary>
/// What a load came to. A renewal is a kept connection that the far side announced to close: no failure, but no constancy either.
/// Delayed is a request that took 200 ms or more (B26).
/// </summary>
internal sealed record LoadReport(
    long Requests, long Failures, long Renewals, long Delayed, IReadOnlyList<string> Samples, TimeSpan Slowest)
{
    public override string ToString() =>
        $"{Requests} requests, {Failures} failed, {Renewals} renewed, {Delayed} delayed, slowest {Slowest.TotalMilliseconds:0} ms{string.Concat(Samples.Select(static text => "\n  " + text))}";
}

/// <summary>
/// A steady load that counts every failure and retries none: some workers keep one connection alive, others take a new one for
/// each request, others keep or renew a raw TCP connection to an echo. A connection that the far side announced to close
/// (<c>Connection: close</c>) is replaced without being counted; one that just ends is a failed request.
/// </summary>
internal sealed class LoadClient
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(4);
    private static readonly TimeSpan Delay = TimeSpan.FromMilliseconds(200);
    private volatile bool stopping;
    private readonly List<Task> workers = [];
    private readonly List<string> samples = [];
    private long requests;
    private long failures;
    private long slowestTicks;
    private long renewals;
    private long delayed;

    public long Requests => Interlocked.Read(ref requests);

    public long Failures => Interlocked.Read(ref failures);

    /// <summary>Starts HTTP workers on a port.</summary>
    public LoadClient Http(int port, int keepAlive, int fresh, string path = "/load", string address = "127.0.0.1")
    {
        string host = Wire.Authority(address, port);
        string kept = Wire.Request("GET", path, host);
        string once = Wire.Request("GET", path, host, "Connection: close");
        for (int i = 0; i < keepAlive; i++)
        {
            workers.Add(Task.Run(() => KeepAlive(port, address, kept)));
        }

        for (int i = 0; i < fresh; i++)
        {
            workers.Add(Task.Run(() => Fresh(port, address, once)));
        }

        return this;
    }

    /// <summary>Starts TCP workers on the port of an echo.</summary>
    public LoadClient Tcp(int port, int kept, int fresh, string address = "127.0.0.1")
    {
        for (int i = 0; i < kept; i++)
        {
            workers.Add(Task.Run(() => TcpEcho(port, address, renew: false)));
        }

        for (int i = 0; i < fresh; i++)
        {
            workers.Add(Task.Run(() => TcpEcho(port, address, renew: true)));
        }

        return this;
    }

    /// <summary>Starts a worker of a caller's own: one request per call, a failure by exception.</summary>
    public LoadClient Own(string what, Func<CancellationToken, Task> request)
    {
        workers.Add(Task.Run(async () =>
        {
            while (!stopping)
            {
                await Count(what, async deadline =>
                {
                    await request(deadline);
                    return true;
                });
                await Task.Delay(Pause);
            }
        }));
        return this;
    }

    /// <summary>Lets every request in flight end, then reports.</summary>
    public async Task<LoadReport> Stop()
    {
        stopping = true;
        await Task.WhenAll(workers);
        lock (samples)
        {
            return new LoadReport(
                Requests,
                Failures,
                Interlocked.Read(ref renewals),
                Interlocked.Read(ref delayed),
                [.. samples],
                TimeSpan.FromTicks(Interlocked.Read(ref slowestTicks)));
        }
    }

    private async Task KeepAlive(int port, string address, string request)
    {
        Wire? wire = null;
        while (!stopping)
        {
            bool keep = await Count($"keep-alive :{port}", async deadline =>
            {
                wire ??= await Wire.Connect(port, address, deadline);
                WireAnswer answer = await wire.Exchange(request, deadline);
                Check(answer);
                if (!answer.Reusable)
                {
                    Interlocked.Increment(ref renewals);
                }

                return answer.Reusable;
            });
            if (!keep)
            {
                wire?.Dispose();
                wire = null;
            }

            await Task.Delay(Pause);
        }

        wire?.Dispose();
    }

    private async Task Fresh(int port, string address, string request)
    {
        while (!stopping)
        {
            await Count($"new connection :{port}", async deadline =>
            {
                using Wire wire = await Wire.Connect(port, address, deadline);
                Check(await wire.Exchange(request, deadline));
                return false;
            });
            await Task.Delay(Pause);
        }
    }

    private async Task TcpEcho(int port, string address, bool renew)
    {
        Wire? wire = null;
        byte[] said = Encoding.ASCII.GetBytes("0123456789abcdef");
        while (!stopping)
        {
            bool keep = await Count($"tcp :{port}", async deadline =>
            {
                wire ??= await Wire.Connect(port, address, deadline);
                await wire.Send(said, deadline);
                byte[] back = await wire.ReadBytes(said.Length, deadline);
                return back.AsSpan().SequenceEqual(said) ? !renew : throw new IOException("The echo differs.");
            });
            if (!keep)
            {
                wire?.Dispose();
                wire = null;
            }

            await Task.Delay(Pause);
        }

        wire?.Dispose();
    }

    private static void Check(WireAnswer answer)
    {
        if (answer.Status != 200)
        {
            throw new IOException($"{answer.Status} {answer.Reason} {answer.Text}");
        }
    }

    // Not cancelled by Stop: a request that has begun is allowed its end, so that stopping never looks like a failure.
    private async Task<bool> Count(string what, Func<CancellationToken, Task<bool>> attempt)
    {
        long start = System.Diagnostics.Stopwatch.GetTimestamp();
        using CancellationTokenSource deadline = new(Eventually.Seconds(15));
        try
        {
            return await attempt(deadline.Token);
        }
        catch (Exception failure)
        {
            Interlocked.Increment(ref failures);
            lock (samples)
            {
                if (samples.Count < 20)
                {
                    samples.Add($"{DateTime.UtcNow:HH:mm:ss.fff} {what}: {failure.GetType().Name}: {failure.Message}");
                }
            }

            return false;
        }
        finally
        {
            Interlocked.Increment(ref requests);
            long ticks = System.Diagnostics.Stopwatch.GetElapsedTime(start).Ticks;
            if (ticks >= Delay.Ticks)
            {
                Interlocked.Increment(ref delayed);
            }

            long seen = Interlocked.Read(ref slowestTicks);
            while (ticks > seen && Interlocked.CompareExchange(ref slowestTicks, ticks, seen) != seen)
            {
                seen = Interlocked.Read(ref slowestTicks);
            }
        }
    }
}
