using Gateway.Catalog;
using Gateway.Observability;
using Microsoft.Extensions.Logging;

namespace Gateway.Discovery.Consul;

/// <summary>
/// Follows a Consul, or anything that speaks its HTTP API such as the embedded catalog. In: blocking queries. Out: whole
/// snapshots of the routed services. The invariant: an error, an empty answer or silence never removes anything.
/// </summary>
/// <remarks>
/// <see cref="CatalogWatch"/> knows which services there are, <see cref="Follower"/> decides how they are followed, by
/// <see cref="ServiceWatches"/> or by <see cref="StateWatch"/>; both read through <see cref="ServiceReader"/>, which alone decides
/// what an answer may change; <see cref="KnownCatalog"/> holds the facts and reports them.
/// </remarks>
internal sealed class ConsulSource : ICatalogSource, IConfirmsAbsence, IDisposable
{
    private readonly ConsulOptions _options;
    private readonly Func<string, IReadOnlyCollection<string>, bool> _routed;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly GatewayMetrics _metrics;
    private readonly WatchTiming _timing;

    // Of the present run; written once by WatchAsync, read by Status.
    private volatile WatchContext? _context;
    private volatile Follower? _follower;
    private long _answered;

    /// <summary>Makes a source; nothing is asked before <see cref="WatchAsync"/>.</summary>
    /// <param name="name">Name shown to operators, and metric label.</param>
    /// <param name="options">Where Consul is, and how it is asked.</param>
    /// <param name="routed">
    /// Whether a service with this name and these tags (of any of its instances) is wanted at all; asked often, from one thread.
    /// Services that are not, cost no request and are in no snapshot.
    /// </param>
    /// <param name="time">The clock.</param>
    /// <param name="log">Where problems are told.</param>
    /// <param name="metrics">Where requests are counted.</param>
    /// <param name="timing">Constants of watching; only tests change them.</param>
    /// <exception cref="IOException">A TLS file cannot be read; <see cref="ConsulTransport.Check"/> tells before.</exception>
    public ConsulSource(
        string name,
        ConsulOptions options,
        Func<string, IReadOnlyCollection<string>, bool> routed,
        TimeProvider time,
        ILogger log,
        GatewayMetrics metrics,
        WatchTiming? timing = null)
    {
        (Name, _options, _routed, _time, _log, _metrics) = (name, options, routed, time, log, metrics);
        _timing = timing ?? new WatchTiming();
        Client = new ConsulClient(options, time, _timing);
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <summary>The client, for a question of the root's own: who answers there.</summary>
    public ConsulClient Client { get; }

    /// <inheritdoc/>
    public SourceStatus Status
    {
        get
        {
            if (_context is not { } context || _follower is not { } follower)
            {
                return new SourceStatus();
            }

            long ticks = Interlocked.Read(ref _answered);
            DateTimeOffset? answered = ticks == 0 ? null : new DateTimeOffset(ticks, TimeSpan.Zero);

            // The catalog is as old as the older of the watches that it needs.
            DateTimeOffset? contact = !follower.ByState || answered is null || follower.StateAnswered > answered
                ? answered
                : follower.StateAnswered;
            List<Problem> problems = [.. context.Problems.All];
            if (Client.Token.Problem is { } token)
            {
                problems.Add(token);
            }

            bool reported = context.Known.HasReported;
            if (reported)
            {
                problems.AddRange(context.Known.Awaited.Where(n => !problems.Exists(p => p.Service == n)).Select(NotReadYet));
            }

            return new SourceStatus
            {
                HasReported = reported,
                LastContact = contact,
                Mode = follower.Mode,
                Problems = problems.ToEquatableArray(),
            };
        }
    }

    /// <inheritdoc/>
    public async Task WatchAsync(Action<CatalogSnapshot> report, CancellationToken stop)
    {
        using WatchContext context = new(Name, _options, Client, _timing, _time, _log, _metrics);
        Follower follower = new(context);
        CatalogWatch catalog = new(context, _routed)
        {
            Listed = services =>
            {
                if (services.Certain)
                {
                    Interlocked.Exchange(ref _answered, _time.GetUtcNow().UtcTicks);
                }

                follower.Follow(services);
            },
        };
        (_context, _follower) = (context, follower);
        try
        {
            await Together.RunAsync(stop, catalog.RunAsync, follower.RunAsync, token => context.Known.ReportAsync(report, token));
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // The end that was asked for.
        }
    }

    /// <inheritdoc/>
    public async Task<IReadOnlySet<InstanceKey>> ConfirmAbsentAsync(IReadOnlyCollection<Instance> instances, CancellationToken cancel)
    {
        // The leader's answers, or none. A catalog without a single service is a token without rights, or a server that has
        // lost its mind; neither confirms anything.
        ConsulQuery consistent = new(Consistent: true);
        HashSet<InstanceKey> absent = [];
        ConsulReply<Dictionary<string, List<string>>> catalog = await Client.ReadCatalogAsync(consistent, cancel);
        if (catalog.Value is not { Count: > 0 } listed || catalog.Doubt(_timing.LastContactMax) is not null)
        {
            return absent;
        }

        foreach (IGrouping<string, Instance> of in instances.GroupBy(i => i.Service, StringComparer.Ordinal))
        {
            if (!listed.TryGetValue(of.Key, out List<string>? tags) || !_routed(of.Key, tags ?? []))
            {
                absent.UnionWith(of.Select(i => i.Key));
                continue;
            }

            ConsulReply<List<WireEntry>> reply = await Client.ReadServiceAsync(of.Key, consistent, cancel);
            if (reply.Value is { } entries && reply.Doubt(_timing.LastContactMax) is null)
            {
                Service now = InstanceMapping.Map(of.Key, entries, null, out string? wrong);
                HashSet<InstanceKey> present = [.. now.Instances.AsEnumerable().Select(i => i.Key)];
                absent.UnionWith(wrong is null ? of.Select(i => i.Key).Where(k => !present.Contains(k)) : []);
            }
        }

        return absent;
    }

    /// <inheritdoc/>
    public void Dispose() => Client.Dispose();

    private Problem NotReadYet(string service) => new()
    {
        Code = ProblemCodes.ConsulNotReadYet,
        Service = service,
        Place = $"{Client.Address}/v1/health/service/{service}",
        Allowed = "a first whole answer",
        Now = "this service is missing until it can be read; all others are served",
    };
}
