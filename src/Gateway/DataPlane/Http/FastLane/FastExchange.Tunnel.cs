using Gateway.DataPlane.Loops;

namespace Gateway.DataPlane.Http.FastLane;

/// <content>After 101: bytes in both directions until both sides are done.</content>
internal sealed partial class FastExchange
{
    // FIN and opcode 8 (close), two bytes of payload, 1001 in network order; a server does not mask.
    private static ReadOnlySpan<byte> GoingAway => [0x88, 0x02, 0x03, 0xE9];

    private Flow? _clientToInstance;
    private Flow? _instanceToClient;
    private WebSocketFrames? _frames;
    private bool _goodbyeSaid;
    private long _lastByte;

    /// <summary>
    /// Tells the client that the gateway goes away, if no frame is half sent (RFC 6455 §7.4.1): a client that is told reconnects at once.
    /// </summary>
    public bool SayGoodbye()
    {
        if (_stage != Stage.Tunnel || _goodbyeSaid || _frames is not { AtBoundary: true } || !_instanceToClient!.IsEmpty || _instanceToClient.IsEnded)
        {
            return false;
        }

        // RFC 6455 §5.5.1: nothing follows a close frame, so what the instance still says is not passed on.
        _goodbyeSaid = true;
        return _client.CanWrite && _client.Send(GoingAway) == GoingAway.Length;
    }

    private void BeginTunnel(ResponseHead head, ReadOnlySpan<byte> raw, ReadOnlySpan<byte> rest, bool kept)
    {
        _stage = Stage.Tunnel;
        on.NoteTunnel(1);
        _headSent = true;
        _frames = new WebSocketFrames();
        _clientToInstance = new Flow();
        _instanceToClient = new Flow(_frames.Advance);
        _lastByte = Loop.Now;
        byte[] output = Loop.Buffers.Output;
        int length = ResponseHeadWriter.Write(head, raw, new OutgoingResponse { ClientMinorVersion = 1 }, output);
        if (length < 0)
        {
            EndTunnel(Reason.BadResponse);
            return;
        }

        FreeHead();
        bool sent = _toClient.Send(_client, output.AsSpan(0, length)) >= 0 && _toClient.IsEmpty
            && _instanceToClient.Begin(_client, rest) != FlowState.Broken
            && _clientToInstance.Begin(_instance!, _client.Inbox.Bytes) != FlowState.Broken;
        _client.Inbox.Clear(Loop.Buffers);
        if (kept)
        {
            _instance!.Inbox.Clear(Loop.Buffers);
        }

        if (!sent)
        {
            EndTunnel(Reason.ClientClosed);
            return;
        }

        _instance!.CancelTimer();
        _client.SetTimer(TunnelMs);
        Tunnel();
    }

    private long TunnelMs => (long)_cluster!.Timeouts.Tunnel.TotalMilliseconds;

    private void Tunnel()
    {
        bool moved = false;
        FlowState up = _clientToInstance!.Pump(_client, _instance!, ref moved);
        FlowState down = _goodbyeSaid ? SkipInstance() : _instanceToClient!.Pump(_instance!, _client, ref moved);
        if (moved)
        {
            _lastByte = Loop.Now;
            (_bytesIn, _bytesOut) = (_clientToInstance.Bytes, _instanceToClient!.Bytes);
        }

        if (up == FlowState.Broken || down == FlowState.Broken || (up == FlowState.Ended && down == FlowState.Ended))
        {
            bool reset = up == FlowState.Broken || down == FlowState.Broken;
            ClientConnection client = _client;
            Finish(reuse: false);
            client.End(reset);
            return;
        }

        if (up == FlowState.More || down == FlowState.More)
        {
            Loop.Defer(_client);
        }
    }

    private FlowState SkipInstance()
    {
        for (int reads = 0; _instance!.CanRead; reads++)
        {
            if (reads == ReadsPerTurn)
            {
                return FlowState.More;
            }

            int count = _instance.Receive(Loop.Buffers.Input);
            if (count <= 0)
            {
                return count == -Errno.Again ? FlowState.Waiting : count == 0 ? FlowState.Ended : FlowState.Broken;
            }
        }

        return FlowState.Waiting;
    }

    // Silence: looked at when the timer is due, so that a busy tunnel pays nothing for it.
    private void TunnelSilent()
    {
        long left = _lastByte + TunnelMs - Loop.Now;
        if (left > 0)
        {
            _client.SetTimer(left);
        }
        else
        {
            EndTunnel(Reason.TimeoutResponse);
        }
    }

    private void EndTunnel(Reason reason)
    {
        _reason = reason;
        ClientConnection client = _client;
        Finish(reuse: false);
        client.End();
    }

    private void ClearTunnel()
    {
        _clientToInstance?.Clear(Loop.Buffers);
        _instanceToClient?.Clear(Loop.Buffers);
        (_clientToInstance, _instanceToClient, _frames, _goodbyeSaid) = (null, null, null, false);
    }
}
