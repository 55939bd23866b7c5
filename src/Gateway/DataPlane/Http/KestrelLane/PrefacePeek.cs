using System.Buffers;
using System.IO.Pipelines;
using Gateway.DataPlane.Listening;
using Microsoft.AspNetCore.Connections;

namespace Gateway.DataPlane.Http.KestrelLane;

/// <summary>
/// Looks at the first bytes of a connection without taking them, and hands it to the pipeline that speaks its protocol. In
/// plaintext there is no ALPN: RFC 9113 §3.3 (prior knowledge) is all there is, and Kestrel alone would answer it with an error.
/// </summary>
internal sealed class PrefacePeek(ConnectionTracker connections, TimeProvider clock)
{
    private static ReadOnlySpan<byte> Preface => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8;

    /// <summary>The rest of the HTTP/2 pipeline.</summary>
    public ConnectionDelegate? Http2 { get; set; }

    /// <summary>Runs one connection to its end.</summary>
    /// <param name="connection">The connection.</param>
    /// <param name="http1">The rest of the HTTP/1.1 pipeline.</param>
    public async Task RunAsync(ConnectionContext connection, ConnectionDelegate http1)
    {
        IListenerFeature feature = connection.Features.Get<IListenerFeature>()
            ?? throw new InvalidOperationException("a connection without a listener");
        LaneConnection tracked = new(connection, feature.Listener, clock.GetTimestamp());
        connection.Features.Set(tracked);
        connections.Add(tracked);
        try
        {
            if (await PeekAsync(connection.Transport.Input) is { } isHttp2)
            {
                tracked.IsHttp2 = isHttp2;
                tracked.Began = true;
                await (isHttp2 ? Http2! : http1)(connection);
            }
        }
        finally
        {
            connections.Remove(tracked);
        }
    }

    /// <summary>Whether a connection speaks HTTP/2; null when it ended before saying so, or was given up.</summary>
    internal static async ValueTask<bool?> PeekAsync(PipeReader input)
    {
        while (true)
        {
            ReadResult read;
            try
            {
                read = await input.ReadAsync();
            }
            catch (Exception e) when (e is IOException or ConnectionAbortedException)
            {
                // The client reset it before it said anything.
                return null;
            }

            ReadOnlySequence<byte> seen = read.Buffer;
            (bool possible, bool whole) = Match(seen);
            if (read.IsCanceled || (read.IsCompleted && seen.IsEmpty))
            {
                input.AdvanceTo(seen.Start);
                return null;
            }

            if (possible && !whole && !read.IsCompleted)
            {
                // Nothing is consumed; all of it is examined, so that the next read waits for more.
                input.AdvanceTo(seen.Start, seen.End);
                continue;
            }

            // Nothing examined: whoever reads next gets the same bytes at once.
            input.AdvanceTo(seen.Start, seen.Start);
            return whole;
        }
    }

    private static (bool Possible, bool Whole) Match(in ReadOnlySequence<byte> seen)
    {
        int at = 0;
        foreach (ReadOnlyMemory<byte> segment in seen)
        {
            int length = Math.Min(segment.Length, Preface.Length - at);
            if (!segment.Span[..length].SequenceEqual(Preface.Slice(at, length)))
            {
                return (false, false);
            }

            at += length;
            if (at == Preface.Length)
            {
                return (true, true);
            }
        }

        return (true, false);
    }
}
