using System.Text;
using Gateway.DataPlane.Loops;

namespace Gateway.DataPlane.Http.FastLane;

/// <content>Client → instance: the head as it goes on, then the body as fast as the instance takes it.</content>
internal sealed partial class FastExchange
{
    private void WriteHead(RequestHead head, ReadOnlySpan<byte> raw)
    {
        bool edge = _listener.Key.IsEdge;
        TrustedNetworks? believed = edge && FastLane.Believes(_policy, _client) ? _policy.Trusted : null;
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
}
