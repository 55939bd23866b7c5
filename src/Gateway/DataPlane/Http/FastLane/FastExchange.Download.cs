using Gateway.DataPlane.Loops;

namespace Gateway.DataPlane.Http.FastLane;

/// <content>Instance → client: interim heads, the answer's head, its body; and what it means when the instance ends.</content>
internal sealed partial class FastExchange
{
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
            if (!SendInterim(head, raw))
            {
                return false;
            }

            Use(kept, head.Length, rest);
            _scanned = 0;
            return true;
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

    // False: the client has left.
    private bool SendInterim(ResponseHead head, ReadOnlySpan<byte> raw)
    {
        _continueSent |= head.Status == 100;

        // RFC 9110 §15.2: a client of HTTP/1.0 knows none.
        if (_minorVersion == 0)
        {
            return true;
        }

        byte[] output = Loop.Buffers.Output;
        int length = ResponseHeadWriter.Write(head, raw, new OutgoingResponse { ClientMinorVersion = 1, KeepAlive = true }, output);
        if (length > 0 && _toClient.Send(_client, output.AsSpan(0, length)) < 0)
        {
            ClientLeft();
            return false;
        }

        return true;
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
}
