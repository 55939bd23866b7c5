using Microsoft.AspNetCore.Http.Features;

namespace Gateway.DataPlane.Http.KestrelLane;

/// <summary>
/// The client's side of an upgraded connection, which can be told that the gateway goes away: at a frame boundary it sends the
/// WebSocket close frame 1001 (RFC 6455 §7.4.1), and the client says goodbye to the instance itself. A client that is told
/// reconnects at once; one whose connection just breaks finds out when it next sends.
/// </summary>
#pragma warning disable CA1001 // the stream belongs to whoever upgraded, and ends with the request
internal sealed class PoliteTunnel(IHttpUpgradeFeature inner, LaneConnection connection) : IHttpUpgradeFeature
#pragma warning restore CA1001
{
    // FIN and opcode 8 (close), two bytes of payload, 1001 in network order; a server does not mask.
    private static readonly byte[] s_goingAway = [0x88, 0x02, 0x03, 0xE9];

    private ClientSide? _client;

    /// <inheritdoc/>
    public bool IsUpgradableRequest => inner.IsUpgradableRequest;

    /// <inheritdoc/>
    public async Task<Stream> UpgradeAsync()
    {
        _client = new ClientSide(await inner.UpgradeAsync());
        connection.Tunnel = this;
        return _client;
    }

    /// <summary>Says goodbye if no frame is half sent; false when that was not possible, or was done before.</summary>
    public bool SayGoodbye() => _client?.SayGoodbye() ?? false;

    /// <summary>Passes bytes in both directions and knows where frames to the client end.</summary>
    private sealed class ClientSide(Stream stream) : BodyStream
    {
        private readonly SemaphoreSlim _writing = new(1, 1);
        private readonly WebSocketFrames _frames = new();
        private bool _closed;

        public override bool CanRead => true;

        public override bool CanWrite => true;

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            stream.ReadAsync(buffer, cancellationToken);

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            await _writing.WaitAsync(cancellationToken);
            try
            {
                // RFC 6455 §5.5.1: nothing follows a close frame.
                if (!_closed)
                {
                    _frames.Advance(buffer.Span);
                    await stream.WriteAsync(buffer, cancellationToken);
                }
            }
            finally
            {
                _writing.Release();
            }
        }

        public override Task FlushAsync(CancellationToken cancellationToken) => stream.FlushAsync(cancellationToken);

        public bool SayGoodbye()
        {
            // A write under way belongs to a slow client: it is not waited for.
            if (!_writing.Wait(0))
            {
                return false;
            }

            if (_closed || !_frames.AtBoundary)
            {
                _writing.Release();
                return false;
            }

            _closed = true;
            _ = SendAsync();
            return true;
        }

        private async Task SendAsync()
        {
            try
            {
                await stream.WriteAsync(s_goingAway);
            }
            catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
            {
                // It left first.
            }
            finally
            {
                _writing.Release();
            }
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                stream.Dispose();
            }

            base.Dispose(disposing);
        }
    }
}
