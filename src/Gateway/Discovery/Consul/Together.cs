namespace Gateway.Discovery.Consul;

/// <summary>Endless parts that live and die together: a part that breaks ends the others, and its exception is told.</summary>
internal static class Together
{
    /// <summary>Runs the parts until <paramref name="stop"/>; ends with cancellation, or with the first exception of a part.</summary>
    public static async Task RunAsync(CancellationToken stop, params Func<CancellationToken, Task>[] parts)
    {
        using CancellationTokenSource all = CancellationTokenSource.CreateLinkedTokenSource(stop);
        Task[] tasks = [.. parts.Select(p => Task.Run(() => p(all.Token), CancellationToken.None))];
        Task first = await Task.WhenAny(tasks);
        await all.CancelAsync();
        await Task.WhenAll(tasks).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await first;
        stop.ThrowIfCancellationRequested();
    }
}
