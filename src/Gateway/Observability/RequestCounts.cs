using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace Gateway.Observability;

/// <summary>
/// Requests of one listener, service and environment, as one writer counts them: by status, and their durations in buckets. Adding is a
/// few plain writes, because an instrument's dictionary of tags costs as much as the rest of a request's policy.
/// </summary>
internal sealed class RequestCell
{
    /// <summary>Upper bounds of durations, in seconds: Prometheus' defaults with two finer steps for a local hop.</summary>
    public static readonly double[] Bounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

    private readonly long[] _buckets = new long[Bounds.Length + 1];

    // Written by the one writer, read by scrapes. A status that is new replaces the array.
    private StatusCount[] _statuses = [];
    private double _seconds;

    /// <summary>Counts a request. One writer at a time.</summary>
    public void Add(int status, double seconds)
    {
        StatusCount? count = null;
        foreach (StatusCount known in _statuses)
        {
            if (known.Status == status)
            {
                count = known;
                break;
            }
        }

        if (count is null)
        {
            count = new StatusCount(status);
            Volatile.Write(ref _statuses, [.. _statuses, count]);
        }

        Volatile.Write(ref count.Requests, count.Requests + 1);
        int at = 0;
        while (at < Bounds.Length && seconds > Bounds[at])
        {
            at++;
        }

        Volatile.Write(ref _buckets[at], _buckets[at] + 1);
        Volatile.Write(ref _seconds, _seconds + seconds);
    }

    /// <summary>Adds what was counted here to sums.</summary>
    public void AddTo(SortedDictionary<int, long> statuses, long[] buckets, ref double seconds)
    {
        foreach (StatusCount count in Volatile.Read(ref _statuses))
        {
            statuses[count.Status] = statuses.GetValueOrDefault(count.Status) + Volatile.Read(ref count.Requests);
        }

        for (int i = 0; i < buckets.Length; i++)
        {
            buckets[i] += Volatile.Read(ref _buckets[i]);
        }

        seconds += Volatile.Read(ref _seconds);
    }

    private sealed class StatusCount(int status)
    {
        public readonly int Status = status;
        public long Requests;
    }
}

/// <summary>Whose requests are counted.</summary>
internal readonly record struct RequestLabels(string Listener, string Service, string Environment)
{
    /// <summary>As labels.</summary>
    public KeyValuePair<string, object?>[] Tags() => [new("listener", Listener), new("service", Service), new("environment", Environment)];
}

/// <summary>Sums of all cells with the same labels.</summary>
internal sealed record RequestSums(RequestLabels Labels, SortedDictionary<int, long> Statuses, long[] Buckets, double Seconds);

/// <summary>Every request that was counted, by any number of writers with a cell each.</summary>
internal sealed class RequestCounts
{
    private readonly ConcurrentDictionary<RequestLabels, Writers> _all = new();

    /// <summary>A cell for one more writer.</summary>
    public RequestCell Open(in RequestLabels labels) => _all.GetOrAdd(labels, static _ => new Writers()).Open();

    /// <summary>Counts a request by whoever has no cell of its own.</summary>
    public void Add(in RequestLabels labels, int status, double seconds) => _all.GetOrAdd(labels, static _ => new Writers()).Add(status, seconds);

    /// <summary>The sums now.</summary>
    public IEnumerable<RequestSums> Read() => _all.Select(pair => pair.Value.Sum(pair.Key));

    /// <summary>Requests by listener, service, environment and code.</summary>
    public IEnumerable<Measurement<long>> ByCode()
    {
        foreach (RequestSums sums in Read())
        {
            foreach ((int status, long requests) in sums.Statuses)
            {
                yield return new Measurement<long>(requests, [.. sums.Labels.Tags(), new("code", StatusText.Of(status))]);
            }
        }
    }

    private sealed class Writers
    {
        private readonly Lock _gate = new();
        private readonly RequestCell _shared = new();
        private RequestCell[] _own = [];

        public RequestCell Open()
        {
            lock (_gate)
            {
                RequestCell cell = new();
                _own = [.. _own, cell];
                return cell;
            }
        }

        public void Add(int status, double seconds)
        {
            lock (_gate)
            {
                _shared.Add(status, seconds);
            }
        }

        public RequestSums Sum(RequestLabels labels)
        {
            SortedDictionary<int, long> statuses = [];
            long[] buckets = new long[RequestCell.Bounds.Length + 1];
            double seconds = 0;
            lock (_gate)
            {
                foreach (RequestCell cell in (RequestCell[])[_shared, .. _own])
                {
                    cell.AddTo(statuses, buckets, ref seconds);
                }
            }

            return new RequestSums(labels, statuses, buckets, seconds);
        }
    }
}
