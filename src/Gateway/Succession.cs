using Gateway.Lifecycle;
using Microsoft.Extensions.Logging;

namespace Gateway;

/// <summary>
/// One process after the other on one state directory: how the next one gets it, and how the one that ends lets go of it.
/// Invariant: whoever does not hold the lock writes nothing there.
/// </summary>
internal sealed class Succession(string stateDirectory, TimeProvider clock, ILogger log)
{
    private static readonly TimeSpan s_poll = TimeSpan.FromMilliseconds(20);

    // For answers under way in the embedded catalog; whoever is cut was not acknowledged, and asks the next process.
    private static readonly TimeSpan s_lastAnswers = TimeSpan.FromSeconds(2);

    /// <summary>Takes the lock; waits for it while its holder says that it is ending.</summary>
    /// <exception cref="GatewayStartException">Another gateway lives there, or the directory can't be used.</exception>
    public async Task<InstanceLock> TakeLockAsync(CancellationToken cancel)
    {
        try
        {
            int? holder;
            InstanceLock? taken;
            bool told = false;
            while ((taken = InstanceLock.TryTake(stateDirectory, out holder)) is null
                && InstanceLock.IsHolderDraining(stateDirectory))
            {
                // It is ending: its ports close any moment, and then this one must be there at once.
                if (!told)
                {
                    told = true;
                    log.LogInformation("waiting for process {Pid}, which is draining, to close its ports", holder);
                }

                await Task.Delay(s_poll, clock, cancel);
            }

            return taken
                ?? throw new GatewayStartException(
                    $"state directory '{stateDirectory}': another gateway runs there, pid {holder?.ToString() ?? "unknown"}; "
                    + "stop it first, or give this one a state directory and ports of its own", badInput: false);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Unusable(e);
        }
    }

    /// <summary>What is said of a state directory that can't be used.</summary>
    public GatewayStartException Unusable(Exception e) => new(
        $"state directory '{stateDirectory}' can't be used by user {Environment.UserName}: {e.Message} "
        + $"Give everything in it to that user (chown -R {Environment.UserName} {stateDirectory}), or name another one", badInput: true);

    /// <summary>
    /// The ports are closed, and what is in flight may take a minute: the next process may have everything else by now. What is
    /// written in the state directory comes to its end first; then whoever takes the lock gets the admin address and its socket.
    /// Until then this one answers there, for those who watch it end.
    /// </summary>
    public async Task MakeRoomAsync(RunningParts parts, SemaphoreSlim reloading, CancellationToken hurry, CancellationToken drained)
    {
        try
        {
            // 1. A reload that runs is the last one.
            await reloading.WaitAsync(CancellationToken.None);
            reloading.Release();

            // 2. The writers of the state directory.
            await HandOverCatalogAsync(parts, hurry);
            await parts.Control.StopKeepingAsync();

            // 3. The directory.
            parts.Lock.Dispose();
            while (!parts.Lock.IsSucceeded)
            {
                if (drained.IsCancellationRequested)
                {
                    return;
                }

                await Task.Delay(s_poll, clock, drained).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            // 4. Our own sockets.
            log.LogInformation("process {Pid} goes on here; what is in flight ends in this one", InstanceLock.Holder(stateDirectory));
            if (parts.AdminSocket is { } socket)
            {
                socket.IsSucceeded = true;
                await socket.DisposeAsync();
                parts.AdminSocket = null;
            }

            await parts.StopOpeningAdminAsync();
            await parts.Listeners.CloseOwnAsync(OwnSockets.AdminSocket);
            await parts.Control.DisposeAsync();
        }
        catch (Exception e)
        {
            // A mistake of ours: the drain goes on, and whatever was not let go of goes with the process.
            log.LogCritical(e, "could not make room; the next process waits until this one has ended");
        }
    }

    /// <summary>
    /// Ends the embedded catalog, in the order that loses nothing: no new connections, answers to those that wait (what is
    /// acknowledged is on the disk before), and only then the journal's lock. What is cut was not acknowledged: a registrator
    /// repeats it, and finds the next process.
    /// </summary>
    private async Task HandOverCatalogAsync(RunningParts parts, CancellationToken hurry)
    {
        if (parts.Embedded is not { } embedded)
        {
            return;
        }

        // 1. Those in this process who follow it: the plan and the limit in force stay in force.
        parts.Embedded = null;
        await parts.Limit.DisposeAsync();
        await parts.Control.DisposeAsync();

        // 2. Those outside.
        await parts.Listeners.CloseOwnAsync(OwnSockets.CatalogSocket);
        using CancellationTokenSource patience = new(s_lastAnswers, clock);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, hurry);
        await embedded.StopAsync(either.Token);

        // 3. The journal.
        await embedded.DisposeAsync();
    }
}
