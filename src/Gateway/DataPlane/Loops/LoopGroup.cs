using Gateway.Observability;
using Microsoft.Extensions.Logging;

namespace Gateway.DataPlane.Loops;

/// <summary>
/// The loops of the process, one per core, and the watch over them. A connection lives on one loop from its first byte to its last; a
/// fresh one may be dealt to another loop once.
/// </summary>
internal sealed class LoopGroup : IAsyncDisposable
{
    /// <summary>A loop that is held longer than this is said to be stuck.</summary>
    public static readonly TimeSpan StuckAfter = TimeSpan.FromSeconds(2);

    private readonly EventLoop[] _loops;
    private readonly ILogger _logger;
    private readonly ITimer _watch;
    private bool _stuckSaid;

    /// <summary>Makes and starts the loops.</summary>
    /// <param name="count">How many, 1 or more.</param>
    /// <param name="time">Their clock.</param>
    /// <param name="logger">Log.</param>
    public LoopGroup(int count, TimeProvider time, ILogger logger)
    {
        _logger = logger;
        _loops = new EventLoop[count];
        for (int i = 0; i < count; i++)
        {
            _loops[i] = new EventLoop(i, time, logger);
        }

        foreach (EventLoop loop in _loops)
        {
            loop.Start();
        }

        _watch = time.CreateTimer(_ => Watch(), null, StuckAfter, StuckAfter);
    }

    /// <summary>Whether the loops can run here: Linux on a 64-bit processor.</summary>
    public static bool IsSupported => OperatingSystem.IsLinux() && Environment.Is64BitProcess && BitConverter.IsLittleEndian;

    /// <summary>The loops.</summary>
    public IReadOnlyList<EventLoop> Loops => _loops;

    /// <summary>
    /// The loop that a fresh connection accepted on <paramref name="here"/> should live on: here, unless another has clearly fewer
    /// sockets. Moving it costs a wake-up, so small differences are left alone.
    /// </summary>
    public EventLoop Choose(EventLoop here)
    {
        EventLoop least = here;
        foreach (EventLoop loop in _loops)
        {
            if (loop.Sockets < least.Sockets)
            {
                least = loop;
            }
        }

        int mine = here.Sockets;
        return mine - least.Sockets > Math.Max(3, mine / 8) ? least : here;
    }

    /// <summary>Runs something on every loop and waits until all have.</summary>
    public Task OnEachAsync(Action<EventLoop> run) => Task.WhenAll(_loops.Select(loop => loop.AskAsync(() =>
    {
        run(loop);
        return true;
    })));

    /// <summary>Asks every loop.</summary>
    public Task<T[]> AskEachAsync<T>(Func<EventLoop, T> question) =>
        Task.WhenAll(_loops.Select(loop => loop.AskAsync(() => question(loop))));

    /// <summary>Ends the loops; what lives on them is closed.</summary>
    public async ValueTask DisposeAsync()
    {
        await _watch.DisposeAsync();
        foreach (EventLoop loop in _loops)
        {
            loop.Stop();
        }

        await Task.WhenAll(_loops.Select(loop => loop.Ended));
    }

    private void Watch()
    {
        bool stuck = false;
        foreach (EventLoop loop in _loops)
        {
            if (loop.Busy() is { } busy && busy.For > StuckAfter)
            {
                stuck = true;
                if (!_stuckSaid)
                {
                    _logger.LogError(
                        "event loop {Loop} has been held for {Seconds:0.0} s by {By}: its connections stand still", loop.Index, busy.For.TotalSeconds, busy.By);
                }
            }
        }

        _stuckSaid = stuck;
    }
}
