using System.Threading.Channels;
using Gateway.Catalog;
using Microsoft.Extensions.Logging;

namespace Gateway.Control;

/// <summary>
/// Writes the last known good beside the control loop, which only leaves the newest here. What comes during a write is one next
/// write, and writing takes a twentieth of the time at most, however large the catalog is.
/// </summary>
internal sealed class LastKnownGoodWriter : IAsyncDisposable
{
    private static readonly TimeSpan s_apart = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_retry = TimeSpan.FromSeconds(10);
    private const int Idleness = 20;

    private readonly LastKnownGoodFiles _files;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly Action<IReadOnlyList<Problem>> _report;
    private readonly Channel<bool> _wake = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _loop;
    private readonly RunOnce _ending;
    private LastKnownGood? _newest;
    private long _confirmed;

    /// <summary>Starts.</summary>
    /// <param name="files">Where to.</param>
    /// <param name="clock">Time.</param>
    /// <param name="report">Told what is wrong with writing; empty when all is well again.</param>
    /// <param name="log">Where our own mistakes go.</param>
    public LastKnownGoodWriter(LastKnownGoodFiles files, TimeProvider clock, Action<IReadOnlyList<Problem>> report, ILogger log)
    {
        (_files, _clock, _report, _log) = (files, clock, report, log);
        _ending = new RunOnce(EndAsync);
        _loop = Task.Run(RunAsync);
    }

    /// <summary>Takes the newest; never waits.</summary>
    public void Offer(LastKnownGood good)
    {
        Interlocked.Exchange(ref _newest, good);
        _wake.Writer.TryWrite(true);
    }

    /// <summary>What was offered last is still confirmed by its sources; never waits.</summary>
    public void Confirm(DateTimeOffset at)
    {
        Interlocked.Exchange(ref _confirmed, at.UtcTicks);
        _wake.Writer.TryWrite(true);
    }

    /// <summary>
    /// Writes what is left to write, and ends: what is offered later is not written. However often it is called, each waits for
    /// the end.
    /// </summary>
    public ValueTask DisposeAsync() => new(_ending.RunAsync());

    private async Task EndAsync()
    {
        await _stop.CancelAsync();
        await _loop;
        _stop.Dispose();
    }

    private async Task RunAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            Task news = _wake.Reader.WaitToReadAsync(_stop.Token).AsTask();
            await news.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            _wake.Reader.TryRead(out _);
            long began = _clock.GetTimestamp();
            bool written = Write();
            TimeSpan pause = _clock.GetElapsedTime(began) * Idleness;
            pause = !written ? s_retry : pause > s_apart ? pause : s_apart;
            await Task.Delay(pause, _clock, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        Write();
    }

    private bool Write()
    {
        LastKnownGood? good = Interlocked.Exchange(ref _newest, null);
        long confirmed = Interlocked.Exchange(ref _confirmed, 0);
        try
        {
            if (good is not null)
            {
                _files.Save(good);
                _report([]);
            }
            else if (confirmed != 0)
            {
                _files.Confirm(new DateTimeOffset(confirmed, TimeSpan.Zero));
            }

            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Said, and tried again with the newest; traffic does not care.
            _report(
            [
                new Problem
                {
                    Code = ProblemCodes.LastKnownGoodUnwritable,
                    Place = "stateDirectory",
                    Value = e.Message,
                    ValueMoves = true,
                    Allowed = "a directory that takes files",
                    Now = "a restart while a source is away would serve an older catalog; tried again every 10 s",
                },
            ]);
            if (good is not null && Interlocked.CompareExchange(ref _newest, good, null) is null)
            {
                _wake.Writer.TryWrite(true);
            }

            return false;
        }
        catch (Exception e)
        {
            // A mistake of ours, loud; the next change tries again.
            _log.LogCritical(e, "the last known good could not be written");
            return true;
        }
    }
}
