using Gateway.DataPlane.Loops;

namespace Gateway.DataPlane.Http.FastLane;

/// <content>
/// The bytes: head and body client → instance, answers instance → client. Each direction sends what it reads at once, straight from the
/// loop's scratch buffer; what the receiver can't take is kept, and then nothing more is read on the other side.
/// </content>
internal sealed partial class FastExchange
{
    // One stream that never pauses lets others have their turn after so many reads.
    private const int ReadsPerTurn = 16;

    // Room before a chunk's data for its size line.
    private const int ChunkHeadBytes = 10;

    // Up to here a body goes behind its head by copying; a longer one as a second piece of the same write.
    private const int CopiedBodyMax = 4 * 1024;

    // Client → instance.
    private byte[]? _head;
    private int _headLength;
    private BodyReader _upload;
    private bool _uploadIsChunked;
    private bool _uploadBegan;
    private bool _uploadBroken;
    private Outbox _toInstance;

    // Instance → client.
    private BodyReader _download;
    private BodyKind _downloadKind;
    private int _scanned;
    private bool _headReceived;
    private bool _headSent;
    private bool _continueSent;
    private bool _answered;
    private bool _keepClient;
    private bool _keepInstance;
    private Outbox _toClient;
    private bool _advancing;

    // Connected: the request goes out.
    private void Start(InstanceConnection connection)
    {
        _instance = connection;
        _stage = Stage.Answering;
        (_headReceived, _scanned) = (false, 0);
        connection.SetTimer((long)_cluster!.Timeouts.Response.TotalMilliseconds);

        // Body bytes that are here follow at once; told so, the kernel puts both into one segment. Only where they certainly follow.
        bool more = !_uploadIsChunked && !_upload.IsDone && !_client.Inbox.IsEmpty;
        int sent = connection.CanWrite ? connection.Send(_head.AsSpan(0, _headLength), more) : 0;
        if (sent < 0)
        {
            InstanceBroke(unsent: true);
            return;
        }

        if (sent < _headLength)
        {
            _toInstance.Send(connection, _head.AsSpan(sent, _headLength - sent));
        }

        Advance();
    }

    private void Advance()
    {
        if (_advancing || _stage == Stage.Free)
        {
            return;
        }

        _advancing = true;
        int attempt = AttemptNumber;
        try
        {
            switch (_stage)
            {
                case Stage.Tunnel:
                    Tunnel();
                    break;
                case Stage.Answering:
                    if (!_upload.IsDone || !_toInstance.IsEmpty)
                    {
                        Upload();
                    }

                    if (_stage == Stage.Answering && AttemptNumber == attempt)
                    {
                        Download();
                    }

                    break;
                case Stage.Failing:
                    FlushFailure();
                    break;
            }
        }
        finally
        {
            _advancing = false;
        }
    }

    // Puts a chunk's size before data that stands at ChunkHeadBytes, CRLF behind it, and the end behind that.
    private ReadOnlySpan<byte> Framed(byte[] output, int length, bool isEnd, ReadOnlySpan<byte> trailers, out byte[]? own)
    {
        own = null;
        int start = ChunkHeadBytes;
        int end = ChunkHeadBytes;
        if (length > 0)
        {
            Span<byte> size = stackalloc byte[ChunkWriter.SizeLineBytesMax];
            int sizeLength = ChunkWriter.WriteSize(length, size);
            start -= sizeLength;
            size[..sizeLength].CopyTo(output.AsSpan(start));
            end += length;
            ChunkWriter.DataEnd.CopyTo(output.AsSpan(end));
            end += ChunkWriter.DataEnd.Length;
        }

        if (isEnd)
        {
            int written = ChunkWriter.WriteEnd(trailers, output.AsSpan(end));
            if (written < 0)
            {
                own = Loop.Buffers.Rent(end - start + trailers.Length + 16);
                output.AsSpan(start, end - start).CopyTo(own);
                int wrote = ChunkWriter.WriteEnd(trailers, own.AsSpan(end - start));
                return own.AsSpan(0, end - start + wrote);
            }

            end += written;
        }

        return output.AsSpan(start, end - start);
    }

    private void GiveBack(byte[]? own)
    {
        if (own is not null)
        {
            Loop.Buffers.Return(own);
        }
    }

    private void AnswerComplete()
    {
        // 1. The usual end: the request was all sent before its answer came.
        if (_upload.IsDone && _toInstance.IsEmpty)
        {
            End(linger: false);
            return;
        }

        // 2. An early answer. The client may read it only when it has sent its body, so the rest is taken off its hands - to the instance
        //    while that wants it, to nowhere afterwards - unless both know that the connection ends.
        if (!_keepClient)
        {
            End(linger: true);
            return;
        }

        if (!_keepInstance)
        {
            _uploadBroken = true;
            _toInstance.Clear(Loop.Buffers);
        }
    }

    private void End(bool linger)
    {
        bool keep = _keepClient && _upload.IsDone;
        bool reuse = _keepInstance && _upload.IsDone && !_uploadBroken;
        ClientConnection client = _client;
        Finish(reuse);
        client.ExchangeEnded(keep, linger);
    }

    private void FreeHead()
    {
        if (_head is not null)
        {
            Loop.Buffers.Return(_head);
            _head = null;
        }
    }

    private void ResetTransfer()
    {
        (_head, _headLength) = (null, 0);
        _upload = default;
        (_uploadIsChunked, _uploadBegan, _uploadBroken) = (false, false, false);
        _download = default;
        (_downloadKind, _scanned) = (BodyKind.None, 0);
        (_headReceived, _headSent, _continueSent, _answered) = (false, false, false, false);
        (_keepClient, _keepInstance, _advancing) = (false, false, false);
    }

    private void ClearTransfer()
    {
        FreeHead();
        _toInstance.Clear(Loop.Buffers);
        _toClient.Clear(Loop.Buffers);
        ClearTunnel();
        (_upload, _download) = (default, default);
    }
}
