using Gateway.Catalog;
using Gateway.Observability;
using Microsoft.Extensions.Logging;

namespace Gateway.Discovery.Consul;

/// <summary>What a key holds: its bytes, or that there is no such key.</summary>
/// <param name="Exists">Whether there is such a key.</param>
/// <param name="Value">Its bytes; empty where there is none.</param>
internal sealed record ConsulKey(bool Exists, ReadOnlyMemory<byte> Value)
{
    /// <summary>There is no such key: an answer, and one with an index, so that its coming can be waited for.</summary>
    public static readonly ConsulKey Absent = new(false, default);
}

/// <summary>
/// Follows one key of the KV store by the manners of every watch here. In: blocking queries. Out: what the key holds, whenever that
/// changes, the first time also when there is none. The invariant: an error is no answer, and a key is gone only if the leader
/// says so.
/// </summary>
internal sealed class ConsulKeyWatch : IDisposable
{
    private readonly string _source;
    private readonly string _key;
    private readonly ConsulOptions _options;
    private readonly ConsulClient _client;
    private readonly WatchTiming _timing;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly GatewayMetrics _metrics;
    private volatile Problem? _problem;

    /// <summary>Makes a watch; nothing is asked before <see cref="RunAsync"/>.</summary>
    public ConsulKeyWatch(
        string source, ConsulOptions options, string key, TimeProvider time, ILogger log, GatewayMetrics metrics, WatchTiming? timing = null)
    {
        (_source, _options, _key, _time, _log, _metrics) = (source, options, key, time, log, metrics);
        _timing = timing ?? new WatchTiming();
        _client = new ConsulClient(options, time, _timing);
    }

    /// <summary>Where it asks, for people.</summary>
    public string Place => $"{_client.Address}/v1/kv/{_key}";

    /// <summary>
    /// What is wrong with reading it, or null. That Consul is away is not told here: whoever follows the catalog tells it.
    /// </summary>
    public Problem? Problem => _problem;

    /// <summary>Follows the key until <paramref name="stop"/>.</summary>
    public async Task RunAsync(Action<ConsulKey> changed, CancellationToken stop)
    {
        using WatchContext context = new(_source, _options, _client, _timing, _time, _log, _metrics);
        WatchPace pace = context.NewPace();
        ConsulKey? known = null;
        try
        {
            while (true)
            {
                // 1. Ask.
                ConsulReply<ConsulKey> reply = await context.AskAsync(pace, (query, s) => _client.ReadKeyAsync(_key, query, s), stop);
                if (reply.Failure is null && !pace.Advance(reply.Index))
                {
                    context.Count("unchanged");
                    continue;
                }

                // 2. A server that lost touch must not take a limit away.
                if (reply.Value is { Exists: false } && reply.Doubt(_timing.LastContactMax) is not null)
                {
                    reply = await context.AskNowAsync(pace, (query, s) => _client.ReadKeyAsync(_key, query, s), consistent: true, stop);
                }

                if (reply.Failure is { } failure)
                {
                    context.Count("error");
                    Failed(failure);
                    await context.PauseAsync(pace.Fail(), stop);
                    continue;
                }

                // 3. Tell what is new.
                pace.Settle();
                _problem = null;
                ConsulKey next = reply.Value!;
                bool same = known is not null && known.Exists == next.Exists && known.Value.Span.SequenceEqual(next.Value.Span);
                context.Count(same ? "unchanged" : "changed");
                known = next;
                if (!same)
                {
                    changed(next);
                }
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // The end that was asked for.
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _client.Dispose();

    private void Failed(ConsulFailure failure)
    {
        if (failure.Kind is ConsulFailureKind.Unreachable or ConsulFailureKind.Reset or ConsulFailureKind.Silent)
        {
            return;
        }

        _problem = new Problem
        {
            Code = ProblemCodes.KeyUnreadable,
            Place = Place,
            Value = failure.Seen,
            ValueMoves = true,
            Allowed = failure.Kind == ConsulFailureKind.Forbidden ? $"a token with key \"{_key}\" read" : "Consul's answer to this question",
            Now = "what was read last stays in force; asked again with growing pauses of up to 10 s",
        };
    }
}
