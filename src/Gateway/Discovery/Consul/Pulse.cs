using System.Threading.Channels;

namespace Gateway.Discovery.Consul;

/// <summary>Something is due: many calls of <see cref="Set"/> before the one who waits wakes are one.</summary>
internal sealed class Pulse
{
    private readonly Channel<bool> _due = Channel.CreateBounded<bool>(new BoundedChannelOptions(1)
    {
        FullMode = BoundedChannelFullMode.DropWrite,
    });

    /// <summary>Wakes the one who waits, now or when it comes to wait.</summary>
    public void Set() => _due.Writer.TryWrite(true);

    /// <summary>Forgets what was set.</summary>
    public void Reset() => _due.Reader.TryRead(out _);

    /// <summary>Waits for the next <see cref="Set"/>.</summary>
    public Task WaitAsync(CancellationToken stop) => _due.Reader.ReadAsync(stop).AsTask();
}
