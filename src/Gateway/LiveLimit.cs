using System.Globalization;
using Gateway.Catalog;
using Gateway.Control;
using Gateway.Discovery.Consul;
using Gateway.Observability;
using Microsoft.Extensions.Logging;

namespace Gateway;

/// <summary>
/// Wires the limit of connections: options and a key of the KV store in, a number for the gate out. Follows the key with a client
/// of its own, so that neither the catalog nor the limit waits for the other.
/// </summary>
internal sealed class LiveLimit(TimeProvider clock, ILogger log, GatewayMetrics metrics, Action changed) : IAsyncDisposable
{
    private readonly ConnectionLimit _limit = new();
    private ConsulOptions? _followed;
    private string? _key;
    private volatile ConsulKeyWatch? _watch;
    private CancellationTokenSource? _stop;
    private Task _running = Task.CompletedTask;

    /// <summary>What is wrong with the key.</summary>
    public IReadOnlyList<Problem> Problems => [.. new[] { _limit.Problem, _watch?.Problem }.OfType<Problem>()];

    /// <summary>Takes the options in force; a watch that fits them goes on. One caller at a time.</summary>
    public async Task FollowAsync(GatewayOptions options)
    {
        // Consul before the embedded catalog, as in the order of sources; without either there is no KV store to look into.
        ConsulOptions? source = options.MaxConnectionsKey is null ? null
            : options.Consul ?? (options.Embedded is { } embedded ? Own(embedded.Listen) : null);
        string? key = source is null ? null : options.MaxConnectionsKey;
        bool same = _watch is not null && source == _followed && key == _key;
        if (!same)
        {
            await EndAsync();
        }

        ConsulKeyWatch? watch = same ? _watch : source is null ? null
            : new ConsulKeyWatch(options.Consul is null ? "embedded" : "consul", source, key!, clock, log, metrics);
        _limit.Configure(options.MaxConnections, options.MaxConnectionsPlace, key, watch?.Place ?? "");
        (_watch, _followed, _key) = (watch, source, key);
        if (!same && watch is not null)
        {
            CancellationTokenSource stop = _stop = new CancellationTokenSource();
            _running = Task.Run(() => RunAsync(watch, stop.Token));
        }
    }

    /// <summary>The number asked for.</summary>
    public int Wanted => _limit.Wanted.Value;

    /// <summary>
    /// The number in force, and where it comes from: min(wanted, (descriptor limit − listeners − 500) / 2), because each connection
    /// may need one to its destination.
    /// </summary>
    public (int Value, string From) InForce(int listeners)
    {
        (int wanted, string from) = _limit.Wanted;
        if (ProcessMetrics.DescriptorLimit() is not int descriptors)
        {
            return (wanted, from);
        }

        int most = Math.Max(1, (descriptors - listeners - 500) / 2);
        return wanted <= most
            ? (wanted, from)
            : (most, string.Create(CultureInfo.InvariantCulture, $"{from}: {wanted}, lowered by the descriptor limit {descriptors}"));
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync() => await EndAsync();

    private static ConsulOptions Own(System.Net.IPEndPoint listen) => new() { Address = new Uri($"http://{listen}"), Stale = false };

    private async Task RunAsync(ConsulKeyWatch watch, CancellationToken stop)
    {
        try
        {
            await watch.RunAsync(Take, stop);
        }
        catch (Exception e)
        {
            // The watch keeps the world's failures to itself: a mistake of ours, and the limit in force stays.
            log.LogCritical(e, "{Place} is followed no more; the limit in force stays", watch.Place);
        }
    }

    private void Take(ConsulKey held)
    {
        (int Value, string From) before = _limit.Wanted;
        _limit.Take(held);
        (int Value, string From) now = _limit.Wanted;
        if (before != now)
        {
            log.LogInformation(
                "connections at a time: {New} from {NewPlace} (was {Old} from {OldPlace})", now.Value, now.From, before.Value, before.From);
        }

        changed();
    }

    private async Task EndAsync()
    {
        if (_watch is { } watch)
        {
            _watch = null;
            await _stop!.CancelAsync();
            await _running;
            _stop.Dispose();
            watch.Dispose();
        }
    }
}
