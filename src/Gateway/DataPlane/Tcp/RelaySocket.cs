using Gateway.DataPlane.Loops;

namespace Gateway.DataPlane.Tcp;

/// <summary>One side of a relay.</summary>
internal sealed class RelaySocket(LoopRelay relay, EventLoop loop, int fd) : LoopSocket(loop, fd)
{
    /// <summary>
    /// Moves bytes into an empty pipe: how many, 0 at the end of the stream; below zero: an error, <c>-Errno.Again</c> where nothing is
    /// there. A short one says nothing: a pipe is full by pieces, not by bytes.
    /// </summary>
    public int SpliceInto(SplicePipe pipe)
    {
        int count = Syscalls.Splice(Fd, pipe.WriteEnd, PipePool.PipeBytes);
        if (count > 0)
        {
            pipe.Held = count;
        }
        else if (count == -Errno.Again)
        {
            FoundNothing();
        }

        return count;
    }

    /// <summary>Moves bytes out of a pipe: how many; below zero: an error, <c>-Errno.Again</c> where there is no room.</summary>
    public int SpliceOutOf(SplicePipe pipe)
    {
        int count = Syscalls.Splice(pipe.ReadEnd, Fd, pipe.Held);
        if (count > 0)
        {
            pipe.Held -= count;
        }
        else if (count == -Errno.Again)
        {
            FoundNoRoom();
        }
        else
        {
            pipe.IsSuspect = true;
        }

        return count;
    }

    /// <summary>
    /// Whether its two ends are one socket: with nobody listening on a port of the ephemeral range the kernel may choose that very port
    /// as our source, and TCP's simultaneous open then connects the socket to itself.
    /// </summary>
    public bool IsConnectedToItself(ReadOnlySpan<byte> target)
    {
        // Another port than the target's nearly always, so one question is enough.
        Span<byte> own = stackalloc byte[SocketAddresses.BytesMax];
        if (Syscalls.LocalAddress(Fd, own, out int length) < 0 || !own.Slice(2, 2).SequenceEqual(target.Slice(2, 2)))
        {
            return false;
        }

        Span<byte> peer = stackalloc byte[SocketAddresses.BytesMax];
        return Syscalls.PeerAddress(Fd, peer, out int peerLength) >= 0 && own[..length].SequenceEqual(peer[..peerLength]);
    }

    /// <inheritdoc/>
    protected override void OnReady() => relay.Ready(this);

    /// <inheritdoc/>
    protected internal override void OnDue() => relay.Due();

    /// <inheritdoc/>
    protected internal override void OnFault() => relay.Fail();

    /// <inheritdoc/>
    protected internal override void OnLoopEnds() => relay.Abort();
}
