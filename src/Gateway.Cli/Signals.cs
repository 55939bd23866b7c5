using System.Runtime.InteropServices;

namespace Gateway.Cli;

/// <summary>
/// The signals that every running gateway understands. Made before anything else, so that none meets its default disposition:
/// a SIGHUP of an eager log rotation must not end a process that still reads its configuration.
/// </summary>
internal sealed class Signals : IDisposable
{
    private readonly CancellationTokenSource _drain = new();
    private readonly CancellationTokenSource _hurry = new();
    private readonly List<PosixSignalRegistration> _registered = [];

    // Written by the command, read by the signal's thread.
    private volatile Action? _hangup;

    /// <summary>Registers.</summary>
    public Signals()
    {
        _registered.Add(PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop));
        _registered.Add(PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop));
        _registered.Add(PosixSignalRegistration.Create(PosixSignal.SIGHUP, context =>
        {
            context.Cancel = true;
            _hangup?.Invoke();
        }));
    }

    /// <summary>What SIGHUP does; null: nothing, as before the start, when the file has only just been read.</summary>
    public Action? Hangup
    {
        set => _hangup = value;
    }

    /// <summary>Cancelled by the first SIGTERM or SIGINT, or by <see cref="Drain"/>.</summary>
    public CancellationToken Draining => _drain.Token;

    /// <summary>Cancelled by the second one.</summary>
    public CancellationToken Hurry => _hurry.Token;

    /// <summary>As the first signal.</summary>
    public void Drain() => _drain.Cancel();

    /// <inheritdoc/>
    public void Dispose()
    {
        _registered.ForEach(r => r.Dispose());
        _drain.Dispose();
        _hurry.Dispose();
    }

    private void Stop(PosixSignalContext context)
    {
        context.Cancel = true;
        (_drain.IsCancellationRequested ? _hurry : _drain).Cancel();
    }
}
