using System.Net;
using Gateway.DataPlane.Loops;
using Microsoft.Extensions.Logging;

namespace Gateway.DataPlane.Listening;

/// <summary>Takes a descriptor that was accepted, on the loop that is to serve it. Must return at once and owns the descriptor.</summary>
internal delegate void AcceptedOnLoop(ListenerState listener, EventLoop loop, int fd);

/// <summary>Where accepted descriptors go when the loops accept.</summary>
/// <param name="Group">The loops.</param>
/// <param name="Accepted">Takes each.</param>
internal sealed record LoopDispatch(LoopGroup Group, AcceptedOnLoop Accepted);

/// <summary>What an acceptor tells of its state.</summary>
internal interface IAcceptState
{
    /// <summary>Descriptors begin or cease to lack.</summary>
    void SetStarved(bool starved);

    /// <summary>Accepting fails, or works again (null).</summary>
    void SetFailing(string? why);
}

/// <summary>
/// Accepts from one listening socket on every loop. The kernel wakes one loop per connection (EPOLLEXCLUSIVE); all of them share one queue,
/// so a handoff of the one socket hands over everything that waits. Never closes the socket.
/// </summary>
internal sealed class LoopAcceptor
{
    private readonly AcceptPoint[] _points;

    public LoopAcceptor(LoopDispatch loops, int fd, IPEndPoint endPoint, ListenerState listener, AcceptContext context, IAcceptState state)
    {
        _points = [.. loops.Group.Loops.Select(loop => new AcceptPoint(loop, fd, endPoint, loops, listener, context, state))];
        foreach (AcceptPoint point in _points)
        {
            point.Loop.Post(static p => ((AcceptPoint)p!).Begin(), point);
        }
    }

    /// <summary>Stops on every loop; once this is done no accept is under way and the socket is in no epoll set.</summary>
    public Task StopAsync() => Task.WhenAll(_points.Select(point => point.Loop.AskAsync(() =>
    {
        point.Stop();
        return true;
    }).ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default)));

    /// <summary>Gives a connection that was accepted elsewhere to a loop.</summary>
    public static void Deal(LoopDispatch loops, ListenerState listener, AcceptContext context, IPEndPoint endPoint, int fd)
    {
        EventLoop loop = loops.Group.Choose(loops.Group.Loops[0]);
        loop.Post(_ => Serve(loops, listener, context, endPoint, loop, fd), null);
    }

    private static void Serve(LoopDispatch loops, ListenerState listener, AcceptContext context, IPEndPoint endPoint, EventLoop at, int fd)
    {
        try
        {
            loops.Accepted(listener, at, fd);
        }
        catch (Exception e)
        {
            // A lane must not throw. If it does, it has not counted the connection, and its mistake costs this one and not the port.
            context.Logger.LogError(e, "{EndPoint}: connection lost by its lane", endPoint);
            context.Gate?.Exit();
        }
    }

    /// <summary>One loop's view of the socket.</summary>
#pragma warning disable CA1001 // cancelled once and then nobody's: there is nothing in it to free
    private sealed class AcceptPoint(
        EventLoop loop, int fd, IPEndPoint endPoint, LoopDispatch loops, ListenerState listener, AcceptContext context, IAcceptState state)
        : LoopSocket(loop, fd)
#pragma warning restore CA1001
    {
        // Others on this loop have their turn after so many.
        private const int AcceptsPerTurn = 64;
        private const long PauseMinMs = 10;
        private const long PauseMaxMs = 1000;

        private int _held = -1;
        private long _heldSince;
        private long _pause = PauseMinMs;
        private bool _watched;
        private bool _deaf;
        private bool _stopped;

        /// <summary>Begins to accept.</summary>
        public void Begin()
        {
            if (_stopped || _watched)
            {
                return;
            }

            _watched = Watch(Readiness.Readable | Readiness.Exclusive);
            if (!_watched)
            {
                state.SetFailing("the kernel does not let it be watched");
                SetTimer(_pause = Math.Min(_pause * 2, PauseMaxMs));
            }
        }

        /// <summary>Ends. A connection that was held for lack of descriptors is served all the same.</summary>
        public void Stop()
        {
            _stopped = true;
            CancelTimer();
            Rest();
            if (_held >= 0)
            {
                Dispatch(_held);
                _held = -1;
            }
        }

        /// <inheritdoc/>
        protected override void OnReady()
        {
            for (int accepts = 0; accepts < AcceptsPerTurn && !_stopped; accepts++)
            {
                // 1. A place.
                if (context.Gate is { } gate && !gate.TryEnter())
                {
                    WaitForRoom(gate);
                    return;
                }

                // 2. A connection.
                int accepted = Syscalls.Accept(Fd, [], out _);
                if (accepted < 0)
                {
                    context.Gate?.Exit();
                    if (accepted is -Errno.Aborted or -Errno.Reset)
                    {
                        continue; // The client left before it was accepted: its affair.
                    }

                    if (accepted == -Errno.Again)
                    {
                        // accept(2) takes a descriptor before it looks at the queue, so "nothing there" proves there is one.
                        Works();
                        return;
                    }

                    Pause(-accepted);
                    return;
                }

                // 3. A descriptor number that says that nearly all are in use: it is held, and so is the port.
                if (accepted >= context.DescriptorMark)
                {
                    Hold(accepted);
                    return;
                }

                Dispatch(accepted);
                Works();
            }
        }

        /// <inheritdoc/>
        protected internal override void OnDue()
        {
            if (_held >= 0)
            {
                int probe = Syscalls.StreamSocket(Syscalls.InterNetwork);
                if (probe >= 0)
                {
                    Syscalls.Close(probe);
                }

                bool free = probe >= 0 && probe < context.DescriptorMark;
                if (!free && Loop.Now - _heldSince < (long)ListeningSocket.HoldMax.TotalMilliseconds)
                {
                    SetTimer(_pause = Math.Min(_pause * 2, PauseMaxMs));
                    return;
                }

                int held = _held;
                _held = -1;
                if (free)
                {
                    state.SetStarved(false);
                    Dispatch(held);
                }
                else
                {
                    Syscalls.Close(held);
                    context.Gate?.Exit();
                }
            }

            if (_deaf)
            {
                // Somebody who holds the same description has called shutdown(2) on it: bound still, but no listener any more.
                _deaf = false;
                _ = Syscalls.Listen(Fd, ListeningSocket.Backlog);
            }

            Begin();
        }

        /// <inheritdoc/>
        protected internal override void OnFault()
        {
            // Ours to repair, but meanwhile this port must go on as every other. It is never closed here.
            Rest();
            if (!_stopped)
            {
                SetTimer(PauseMaxMs);
            }
        }

        /// <inheritdoc/>
        protected internal override void OnLoopEnds() => Rest();

        private void Rest()
        {
            _watched = false;
            Unwatch();
        }

        private void Works()
        {
            _pause = PauseMinMs;
            state.SetStarved(false);
            state.SetFailing(null);
        }

        private void WaitForRoom(ConnectionGate gate)
        {
            Rest();

            // Whoever has stopped meanwhile does not begin again.
            _ = gate.WhenRoomAsync(CancellationToken.None).ContinueWith(
                static (_, point) => ((AcceptPoint)point!).Loop.Post(static p => ((AcceptPoint)p!).Begin(), point),
                this, CancellationToken.None, TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);
        }

        private void Pause(int error)
        {
            _deaf = error == Errno.Invalid;
            bool starved = error is Errno.Descriptors or Errno.HostDescriptors or Errno.NoBuffers or Errno.NoMemory;
            state.SetStarved(starved);
            state.SetFailing(starved ? null : $"accept failed: {Errno.Text(error)}");
            Rest();
            SetTimer(_pause = Math.Min(_pause * 2, PauseMaxMs));
        }

        private void Hold(int accepted)
        {
            state.SetStarved(true);
            Rest();
            if (accepted >= context.DescriptorMark + DescriptorLimit.HeldMax)
            {
                // So many ports hold one that the reserve itself is going.
                Syscalls.Close(accepted);
                context.Gate?.Exit();
            }
            else
            {
                (_held, _heldSince) = (accepted, Loop.Now);
            }

            SetTimer(_pause = PauseMinMs);
        }

        private void Dispatch(int accepted)
        {
            EventLoop target = loops.Group.Choose(Loop);
            if (ReferenceEquals(target, Loop))
            {
                Serve(Loop, accepted);
            }
            else
            {
                target.Post(static s =>
                {
                    (AcceptPoint point, EventLoop at, int number) = ((AcceptPoint, EventLoop, int))s!;
                    point.Serve(at, number);
                }, (this, target, accepted));
            }
        }

        private void Serve(EventLoop at, int accepted) => LoopAcceptor.Serve(loops, listener, context, endPoint, at, accepted);
    }
}
