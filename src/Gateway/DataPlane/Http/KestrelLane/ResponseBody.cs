using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text;

namespace Gateway.DataPlane.Http.KestrelLane;

/// <summary>
/// A response's body on its way destination → client, and after an upgrade the tunnel in both directions. YARP copies from it. It
/// sends the head when the body is not there yet, counts, and writes trailers to HTTP/1.1 clients.
/// </summary>
/// <param name="response">The response whose content it takes over.</param>
/// <param name="exchange">The request it answers.</param>
/// <param name="frameForTrailers">The client gets chunks and trailers from here, because Kestrel sends none on HTTP/1.1.</param>
internal sealed class ResponseBody(HttpResponseMessage response, Exchange exchange, bool frameForTrailers) : HttpContent
{
    private readonly HttpContent _inner = response.Content;

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => throw new NotSupportedException();

    protected override Task<Stream> CreateContentReadStreamAsync() => CreateContentReadStreamAsync(CancellationToken.None);

    protected override async Task<Stream> CreateContentReadStreamAsync(CancellationToken cancellationToken)
    {
        Stream inner = await _inner.ReadAsStreamAsync(cancellationToken);
        return new Pass(inner, response, exchange, frameForTrailers);
    }

    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _inner.Dispose();
        }

        base.Dispose(disposing);
    }

    private sealed class Pass(Stream inner, HttpResponseMessage response, Exchange exchange, bool frame) : BodyStream
    {
        // Room for the size of a chunk in front of its bytes, and for the line end behind them.
        private const int FrameHead = 10;
        private const int FrameTail = 2;

        private readonly bool _tunnel = exchange.IsTunnel;
        private bool _headSent;
        private byte[]? _end;
        private int _endSent;

        public override bool CanRead => true;

        public override bool CanWrite => inner.CanWrite;

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            frame ? ReadFramedAsync(buffer, cancellationToken) : ReadPlainAsync(buffer, cancellationToken);

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            exchange.CountIn(buffer.Length);
            await inner.WriteAsync(buffer, cancellationToken);
        }

        public override Task FlushAsync(CancellationToken cancellationToken) => inner.FlushAsync(cancellationToken);

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                inner.Dispose();
                exchange.RequestBody?.AnswerRead();
            }

            base.Dispose(disposing);
        }

        private ValueTask<int> ReadPlainAsync(Memory<byte> buffer, CancellationToken cancel)
        {
            ValueTask<int> read = inner.ReadAsync(buffer, cancel);
            if (read.IsCompletedSuccessfully)
            {
                int count = read.Result;
                exchange.CountOut(count);
                return ValueTask.FromResult(count);
            }

            return Slow(read);

            async ValueTask<int> Slow(ValueTask<int> pending)
            {
                // The instance has sent its head and is thinking (server-sent events, long downloads): the client gets the head
                // now. Where head and body came together they leave together, in one packet.
                if (!_headSent && !_tunnel)
                {
                    _headSent = true;
                    await exchange.FlushHeadAsync(cancel);
                }

                exchange.AwaitBytes(begins: true);
                try
                {
                    int count = await pending;
                    exchange.CountOut(count);
                    return count;
                }
                catch when (exchange.ReadFailed())
                {
                    throw;
                }
                finally
                {
                    exchange.AwaitBytes(begins: false);
                }
            }
        }

        private async ValueTask<int> ReadFramedAsync(Memory<byte> buffer, CancellationToken cancel)
        {
            // YARP waits for bytes with a read of none before it rents a buffer.
            if (buffer.IsEmpty)
            {
                return _end is null ? await ReadPlainAsync(buffer, cancel) : 0;
            }

            if (_end is null)
            {
                int read = await ReadPlainAsync(buffer[FrameHead..^FrameTail], cancel);
                if (read > 0)
                {
                    // RFC 9112 §7.1, leading zeros allowed: eight digits always fit.
                    Span<byte> head = buffer.Span;
                    read.TryFormat(head, out _, "X8", CultureInfo.InvariantCulture);
                    "\r\n"u8.CopyTo(head[8..]);
                    "\r\n"u8.CopyTo(head[(FrameHead + read)..]);
                    return FrameHead + read + FrameTail;
                }

                _end = RenderEnd(response.TrailingHeaders);
            }

            int now = Math.Min(buffer.Length, _end.Length - _endSent);
            _end.AsMemory(_endSent, now).CopyTo(buffer);
            _endSent += now;
            return now;
        }

        private static byte[] RenderEnd(HttpResponseHeaders trailers)
        {
            StringBuilder end = new("0\r\n");
            foreach ((string name, HeaderStringValues values) in trailers.NonValidated)
            {
                if (!HeaderRules.EndsHere(name))
                {
                    foreach (string value in values)
                    {
                        end.Append(name).Append(": ").Append(value).Append("\r\n");
                    }
                }
            }

            return Encoding.Latin1.GetBytes(end.Append("\r\n").ToString());
        }
    }
}
