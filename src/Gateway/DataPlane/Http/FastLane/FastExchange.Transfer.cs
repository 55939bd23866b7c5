using System.Text;
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

    private void WriteHead(RequestHead head, ReadOnlySpan<byte> raw)
    {
        bool edge = _listener.Key.IsEdge;
        TrustedNetworks? believed = edge && Lane.Believes(_policy, _client) ? _policy.Trusted : null;
        OutgoingRequest facts = new()
        {
            Client = _client.Address,
            LoopId = Lane.LoopId,
            FallbackHost = head.HasHost ? default : Encoding.ASCII.GetBytes(
                _cluster!.Destinations.Count > 0 ? _cluster.Destinations[0].EndPoint : _cluster.Service),
            ForwardedFor = _cluster!.ForwardedFor,
            IsEdge = edge,
            Port = _listener.Key.Port,
            Believed = believed,
        };
        for (int room = Math.Max(LoopBuffers.SmallBytes, raw.Length + 512); ; room *= 2)
        {
            byte[] to = Loop.Buffers.Rent(room);
            _headLength = RequestHeadWriter.Write(head, raw, facts, to);
            if (_headLength >= 0)
            {
                _head = to;
                return;
            }

            Loop.Buffers.Return(to);
        }
    }

    private void BeginUpload(RequestHead head)
    {
        _uploadIsChunked = head.Body == BodyKind.Chunked;
        _upload = new BodyReader(head.Body, Math.Max(0, head.ContentLength));
    }

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

    private void Upload()
    {
        InstanceConnection? instance = _instance;
        for (int reads = 0; ; reads++)
        {
            // 1. What waits goes first.
            if (!_toInstance.IsEmpty && !_uploadBroken)
            {
                if (!instance!.CanWrite)
                {
                    return;
                }

                int flushed = _toInstance.Flush(instance);
                if (flushed < 0)
                {
                    BreakUpload();
                }
                else if (!_toInstance.IsEmpty)
                {
                    return;
                }
            }

            if (_upload.IsDone)
            {
                return;
            }

            if (reads == ReadsPerTurn)
            {
                Loop.Defer(_client);
                return;
            }

            // 2. Bytes of the client.
            ReadOnlySpan<byte> bytes;
            bool kept = !_client.Inbox.IsEmpty;
            if (kept)
            {
                bytes = _client.Inbox.Bytes;
            }
            else
            {
                if (!_client.CanRead)
                {
                    WaitForClient();
                    return;
                }

                int count = _client.Receive(Loop.Buffers.Input);
                if (count <= 0)
                {
                    if (count == -Errno.Again)
                    {
                        WaitForClient();
                        return;
                    }

                    ClientLeft();
                    return;
                }

                bytes = Loop.Buffers.Input.AsSpan(0, count);
            }

            // 3. On they go.
            _uploadBegan = true;
            instance?.SetTimer((long)_cluster!.Timeouts.Response.TotalMilliseconds);
            int used = SendUpload(bytes, out bool valid);
            if (!valid)
            {
                UploadIsInvalid();
                return;
            }

            if (kept)
            {
                _client.Inbox.Take(Loop.Buffers, used);
            }
            else
            {
                _client.Inbox.Keep(Loop.Buffers, bytes[used..]);
            }
        }
    }

    // Passes on what belongs to the body; returns how much of the input was used.
    private int SendUpload(ReadOnlySpan<byte> bytes, out bool valid)
    {
        valid = true;
        int at = 0;
        int gathered = 0;
        byte[] output = Loop.Buffers.Output;
        while (true)
        {
            BodyStep step = _upload.Next(bytes[at..], out int consumed, out int start, out int length);
            if (step == BodyStep.Data)
            {
                _bytesIn += length;
                ReadOnlySpan<byte> data = bytes.Slice(at + start, length);
                if (_uploadIsChunked)
                {
                    // All of one read becomes one chunk. A scratch buffer's content fits.
                    data.CopyTo(output.AsSpan(ChunkHeadBytes + gathered));
                    gathered += length;
                }
                else if (!_uploadBroken && _toInstance.Send(_instance!, data) < 0)
                {
                    BreakUpload();
                }
            }

            at += consumed;
            if (step == BodyStep.Data)
            {
                continue;
            }

            valid = step != BodyStep.Broken;
            if (_uploadIsChunked && valid && !_uploadBroken)
            {
                ReadOnlySpan<byte> framed = Framed(output, gathered, step == BodyStep.Done, _upload.Trailers, out byte[]? own);
                if (!framed.IsEmpty && _toInstance.Send(_instance!, framed) < 0)
                {
                    BreakUpload();
                }

                GiveBack(own);
            }

            return at;
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

    // The instance takes no more; it may have said why before it closed, so its answer is read all the same.
    private void BreakUpload()
    {
        _uploadBroken = true;
        _keepInstance = false;
        _toInstance.Clear(Loop.Buffers);
    }

    // A client that does not go on with its body is given up as an instance that does not answer is.
    private void WaitForClient()
    {
        long patience = (long)(_cluster?.Timeouts ?? FastLane.DefaultTimeouts).Response.TotalMilliseconds;
        _clientDue = Loop.Now + patience;
        _client.SetTimer(patience);
    }

    private void UploadIsInvalid()
    {
        // The instance has half a request, so its connection is spent; it is not to blame.
        bool silent = _headSent;
        ReleaseInstance(reuse: false);
        if (silent)
        {
            ClientConnection client = _client;
            _reason = Refusals.Body;
            Finish(reuse: false);
            client.End(reset: true);
        }
        else
        {
            Fail(Refusals.Body);
        }
    }

    private void Download()
    {
        for (int reads = 0; ; reads++)
        {
            // 1. What waits goes first.
            if (!_toClient.IsEmpty)
            {
                if (!_client.CanWrite)
                {
                    WaitForClient();
                    return;
                }

                int flushed = _toClient.Flush(_client);
                if (flushed < 0)
                {
                    ClientLeft();
                    return;
                }

                if (!_toClient.IsEmpty)
                {
                    WaitForClient();
                    return;
                }
            }

            if (_answered)
            {
                AnswerComplete();
                return;
            }

            if (reads == ReadsPerTurn)
            {
                Loop.Defer(_instance!);
                return;
            }

            // 2. Bytes of the instance: those left behind an interim head, or what the kernel has.
            InstanceConnection instance = _instance!;
            ReadOnlySpan<byte> bytes;
            bool kept = !instance.Inbox.IsEmpty;
            if (kept && _scanned < instance.Inbox.Count)
            {
                bytes = instance.Inbox.Bytes;
            }
            else
            {
                if (!instance.CanRead)
                {
                    return;
                }

                int count = kept ? instance.Inbox.ReceiveMore(instance) : instance.Receive(Loop.Buffers.Input);
                if (count <= 0)
                {
                    if (count == -Errno.Again)
                    {
                        return;
                    }

                    if (!InstanceEnded(count))
                    {
                        return;
                    }

                    continue;
                }

                instance.SetTimer((long)_cluster!.Timeouts.Response.TotalMilliseconds);
                bytes = kept ? instance.Inbox.Bytes : Loop.Buffers.Input.AsSpan(0, count);
            }

            // 3. Head or body.
            if (!(_headReceived ? SendDownload(bytes, kept) : ReadHead(bytes, kept)))
            {
                return;
            }
        }
    }

    // False: the exchange has taken another way, or more bytes are needed and none are here.
    private bool ReadHead(ReadOnlySpan<byte> bytes, bool kept)
    {
        ResponseHead head = on.Response;
        InstanceConnection instance = _instance!;
        switch (head.Parse(bytes, kept ? _scanned : 0, _method, _wantsTunnel))
        {
            case ParseStatus.Incomplete:
                if (!kept)
                {
                    instance.Inbox.Keep(Loop.Buffers, bytes);
                }

                _scanned = instance.Inbox.Count;
                return true;
            case ParseStatus.Refused:
                InstanceFailed(Reason.BadResponse);
                return false;
        }

        // 1. The head as it goes on, with as much of the body behind it as is here.
        ReadOnlySpan<byte> raw = bytes[..head.Length];
        ReadOnlySpan<byte> rest = bytes[head.Length..];
        if (head.IsInterim)
        {
            SendInterim(head, raw);
            Use(kept, head.Length, rest);
            _scanned = 0;
            return _stage == Stage.Answering;
        }

        _headReceived = true;
        _headAt = Loop.Timestamp;
        _status = head.Status;
        _downloadKind = head.BodyFor(_minorVersion);
        _download = new BodyReader(head.Body, Math.Max(0, head.ContentLength), ofResponse: true);
        _keepInstance = head.KeepAlive && !_uploadBroken;

        // A client that was promised nothing by 100 Continue may send its body now or never: nobody can tell what comes next.
        _keepClient = _clientKeepsAlive && _downloadKind != BodyKind.UntilClose && !Lane.Draining && !_listener.Closing
            && !_listener.Plan.Lingering && !_wantsTunnel && !(_expectsContinue && !_continueSent && !_uploadBegan);
        if (head.IsTunnel)
        {
            BeginTunnel(head, raw, rest, kept);
            return false;
        }

        byte[] output = Loop.Buffers.Output;
        OutgoingResponse facts = new() { ClientMinorVersion = _minorVersion, KeepAlive = _keepClient, Date = on.Date };
        byte[]? large = null;
        int length = ResponseHeadWriter.Write(head, raw, facts, output);
        while (length < 0)
        {
            GiveBack(large);
            large = Loop.Buffers.Rent(Math.Max(output.Length, large?.Length ?? 0) * 2);
            length = ResponseHeadWriter.Write(head, raw, facts, large);
        }

        FreeHead();
        bool sent = SendFirst(large ?? output, length, rest, kept, head.Length);
        GiveBack(large);
        return sent;
    }

    private void Use(bool kept, int used, ReadOnlySpan<byte> rest)
    {
        if (kept)
        {
            _instance!.Inbox.Take(Loop.Buffers, used);
        }
        else
        {
            _instance!.Inbox.Keep(Loop.Buffers, rest);
        }
    }

    // The head and what came with it. The usual answer is whole by then and leaves in one write.
    private bool SendFirst(byte[] output, int length, ReadOnlySpan<byte> rest, bool kept, int headLength)
    {
        _headSent = true;
        if (_downloadKind == BodyKind.Length || _downloadKind == BodyKind.None)
        {
            BodyStep step = _download.Next(rest, out int consumed, out int start, out int count);
            ReadOnlySpan<byte> data = step == BodyStep.Data ? rest.Slice(start, count) : default;
            _bytesOut += data.Length;
            int sent;
            if (data.Length <= CopiedBodyMax && data.Length <= output.Length - length)
            {
                data.CopyTo(output.AsSpan(length));
                sent = _toClient.Send(_client, output.AsSpan(0, length + data.Length));
            }
            else
            {
                sent = _toClient.Send(_client, output.AsSpan(0, length), data);
            }

            if (sent < 0)
            {
                ClientLeft();
                return false;
            }

            // One byte behind the end, and the connection is never used again.
            _answered = _download.IsDone;
            _keepInstance &= rest.Length == consumed || !_answered;
            if (kept)
            {
                _instance!.Inbox.Clear(Loop.Buffers);
            }

            return true;
        }

        if (_toClient.Send(_client, output.AsSpan(0, length)) < 0)
        {
            ClientLeft();
            return false;
        }

        if (rest.IsEmpty)
        {
            if (kept)
            {
                _instance!.Inbox.Clear(Loop.Buffers);
            }

            return true;
        }

        // SendDownload takes the whole of what it is given.
        if (!kept)
        {
            return SendDownload(rest, kept: false);
        }

        _instance!.Inbox.Take(Loop.Buffers, headLength);
        _scanned = 0;
        return true;
    }

    // Passes on a portion of the answer's body; false: the exchange has taken another way.
    private bool SendDownload(ReadOnlySpan<byte> bytes, bool kept)
    {
        int at = 0;
        int gathered = 0;
        byte[] output = Loop.Buffers.Output;
        while (true)
        {
            BodyStep step = _download.Next(bytes[at..], out int consumed, out int start, out int length);
            if (step == BodyStep.Data)
            {
                _bytesOut += length;
                ReadOnlySpan<byte> data = bytes.Slice(at + start, length);
                at += consumed;
                if (_downloadKind == BodyKind.Chunked)
                {
                    data.CopyTo(output.AsSpan(ChunkHeadBytes + gathered));
                    gathered += length;
                }
                else if (_toClient.Send(_client, data) < 0)
                {
                    ClientLeft();
                    return false;
                }

                continue;
            }

            at += consumed;
            if (step == BodyStep.Broken)
            {
                InstanceFailed(Reason.BadResponse);
                return false;
            }

            _answered = step == BodyStep.Done;
            if (_downloadKind == BodyKind.Chunked)
            {
                ReadOnlySpan<byte> framed = Framed(output, gathered, _answered, _download.Trailers, out byte[]? own);
                int sent = framed.IsEmpty ? 0 : _toClient.Send(_client, framed);
                GiveBack(own);
                if (sent < 0)
                {
                    ClientLeft();
                    return false;
                }
            }

            _keepInstance &= !_answered || at == bytes.Length;
            if (kept)
            {
                _instance!.Inbox.Clear(Loop.Buffers);
            }

            return true;
        }
    }

    private void SendInterim(ResponseHead head, ReadOnlySpan<byte> raw)
    {
        _continueSent |= head.Status == 100;

        // RFC 9110 §15.2: a client of HTTP/1.0 knows none.
        if (_minorVersion == 0)
        {
            return;
        }

        byte[] output = Loop.Buffers.Output;
        int length = ResponseHeadWriter.Write(head, raw, new OutgoingResponse { ClientMinorVersion = 1, KeepAlive = true }, output);
        if (length > 0 && _toClient.Send(_client, output.AsSpan(0, length)) < 0)
        {
            ClientLeft();
        }
    }

    // FIN or error of the instance. True: that was the end of the answer.
    private bool InstanceEnded(int result)
    {
        _keepInstance = false;
        if (result == 0 && _headReceived && _download.EndsWithConnection)
        {
            _answered = true;
            if (_downloadKind == BodyKind.Chunked && _toClient.Send(_client, ChunkWriter.End) < 0)
            {
                ClientLeft();
                return false;
            }

            return true;
        }

        InstanceBroke();
        return false;
    }

    private void InstanceBroke(bool unsent = false)
    {
        InstanceConnection instance = _instance!;

        // A connection that waited in the pool and ends without a byte: the instance closed it while the request was on its way, as servers
        // do with idle ones. That says nothing about the instance, so it is not charged.
        bool stale = instance.IsReused && !_headReceived && instance.Inbox.IsEmpty && !_uploadBegan;
        if (stale && (unsent || (RetryRule.IsIdempotent(_method) && !_hasBody)))
        {
            Repeat();
            return;
        }

        InstanceFailed(Reason.InstanceReset);
    }

    // The same request again, on another connection, as if the attempt had never been.
    private void Repeat()
    {
        ReleaseInstance(reuse: false);
        _attempts--;
        _toInstance.Clear(Loop.Buffers);
        _stage = Stage.Connecting;
        TryNext();
    }

    private void InstanceFailed(Reason reason)
    {
        if (!_headSent)
        {
            _toInstance.Clear(Loop.Buffers);
            (_headReceived, _answered) = (false, false);
            AttemptFailed(new AttemptFailure(reason, Unsent: false));
            return;
        }

        // Half an answer is out: the client must not take it for whole.
        _reason = reason;
        ReleaseInstance(reuse: false, failed: true);
        ClientConnection client = _client;
        Finish(reuse: false);
        client.End(reset: true);
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
