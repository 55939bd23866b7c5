using Gateway.Catalog;
using Gateway.Discovery;
using Microsoft.Extensions.Logging;

namespace Gateway.Control;

/// <summary>
/// The sources followed, and the newest report of each. Sources report from threads of their own; the loop reads. A source that
/// fails is a mistake of ours: its report stands and it is started again.
/// </summary>
/// <param name="clock">Time.</param>
/// <param name="log">Where failures go.</param>
/// <param name="reported">Called after a report is there to be read.</param>
/// <param name="stop">Ends all.</param>
internal sealed class FollowedSources(TimeProvider clock, ILogger log, Action reported, CancellationToken stop)
{
    private static readonly TimeSpan s_again = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private readonly List<Followed> _sources = [];
    private bool _ended;

    /// <summary>Sources followed at the moment.</summary>
    public IReadOnlyList<ICatalogSource> Sources => [.. Reports.Select(r => r.Source)];

    /// <summary>The same with the newest report of each; null: none yet.</summary>
    public IReadOnlyList<(ICatalogSource Source, CatalogSnapshot? Newest)> Reports
    {
        get
        {
            lock (_gate)
            {
                return [.. _sources.Select(s => (s.Source, s.Newest))];
            }
        }
    }

    /// <summary>
    /// Follows exactly these. One that is the same object goes on; one of the same name as before replaces it, and its
    /// predecessor's report stands until it has its own. True: one is gone.
    /// </summary>
    public bool Follow(IReadOnlyList<ICatalogSource> sources)
    {
        List<Followed> gone;
        lock (_gate)
        {
            if (_ended)
            {
                foreach (ICatalogSource source in sources.Except(_sources.Select(s => s.Source)))
                {
                    (source as IDisposable)?.Dispose();
                }

                return false;
            }

            List<Followed> next = [];
            foreach (ICatalogSource source in sources)
            {
                Followed? same = _sources.Find(s => s.Source.Name == source.Name);
                next.Add(same is not null && ReferenceEquals(same.Source, source)
                    ? same
                    : new Followed(source, CancellationTokenSource.CreateLinkedTokenSource(stop)) { Newest = same?.Newest });
            }

            gone = [.. _sources.Except(next)];
            foreach (Followed started in next.Except(_sources))
            {
                started.Running = Task.Run(() => FollowAsync(started), CancellationToken.None);
            }

            _sources.Clear();
            _sources.AddRange(next);
        }

        foreach (Followed source in gone)
        {
            source.Stop.Cancel();
        }

        return gone.Count > 0;
    }

    /// <summary>Completes when all have ended after <c>stop</c>; none is followed any more.</summary>
    public Task EndAsync()
    {
        lock (_gate)
        {
            _ended = true;
            return Task.WhenAll(_sources.Select(s => s.Running));
        }
    }

    private async Task FollowAsync(Followed followed)
    {
        // A source that holds connections lets go of them when nobody follows it any more.
        using IDisposable? held = followed.Source as IDisposable;
        using CancellationTokenSource ending = followed.Stop;
        while (!followed.Stop.IsCancellationRequested)
        {
            try
            {
                await followed.Source.WatchAsync(snapshot => Take(followed, snapshot), followed.Stop.Token);
            }
            catch (OperationCanceledException) when (followed.Stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                // A source keeps the world's failures to itself, so this is a mistake of ours: loud, and tried again.
                log.LogCritical(e, "source {Source} failed; its last catalog stands, it is started again", followed.Source.Name);
            }

            await Task.Delay(s_again, clock, followed.Stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private void Take(Followed followed, CatalogSnapshot snapshot)
    {
        lock (_gate)
        {
            followed.Newest = snapshot;
        }

        reported();
    }

    private sealed class Followed(ICatalogSource source, CancellationTokenSource stop)
    {
        public ICatalogSource Source { get; } = source;

        public CancellationTokenSource Stop { get; } = stop;

        public CatalogSnapshot? Newest { get; set; }

        public Task Running { get; set; } = Task.CompletedTask;
    }
}
