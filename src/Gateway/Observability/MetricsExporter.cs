using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;

namespace Gateway.Observability;

/// <summary>
/// Collects the measurements of Gateway's meter and of the runtime's, and renders them as Prometheus text 0.0.4 or OpenMetrics
/// 1.0. Written here because no exporter package is to be had everywhere; the instruments themselves are plain
/// System.Diagnostics.Metrics, so any other exporter works beside it.
/// </summary>
internal sealed class MetricsExporter : IDisposable
{
    private static readonly double[] s_bounds = RequestCell.Bounds;

    // States that the runtime calls counters or ends in "count", which Prometheus keeps for histograms.
    private static readonly Dictionary<string, string> s_runtimeGauges = new(StringComparer.Ordinal)
    {
        ["dotnet.assembly.count"] = "dotnet_assemblies",
        ["dotnet.process.cpu.count"] = "dotnet_process_cpus",
        ["dotnet.thread_pool.queue.length"] = "dotnet_thread_pool_queue_length",
        ["dotnet.thread_pool.thread.count"] = "dotnet_thread_pool_threads",
        ["dotnet.timer.count"] = "dotnet_timers",
    };

    private readonly MeterListener _listener = new();
    private readonly ConcurrentDictionary<string, Family> _families = new(StringComparer.Ordinal);
    private readonly Lock _scrape = new();

    private readonly RequestCounts _requests;

    /// <summary>Starts listening to the meter of <paramref name="metrics"/> and to <c>System.Runtime</c>.</summary>
    public MetricsExporter(GatewayMetrics metrics)
    {
        _requests = metrics.Requests;
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (metrics.Owns(instrument.Meter) && instrument.Name == GatewayMetrics.DurationName)
            {
                // Read as sums at scrape time: nobody pays for each of them.
                _families.GetOrAdd(instrument.Name, name => new Family(name, instrument));
            }
            else if (metrics.Owns(instrument.Meter) || instrument.Meter.Name == "System.Runtime")
            {
                listener.EnableMeasurementEvents(instrument, _families.GetOrAdd(ExportedName(instrument), name => new Family(name, instrument)));
            }
        };
        _listener.SetMeasurementEventCallback<long>((_, value, tags, state) => ((Family)state!).Record(value, tags));
        _listener.SetMeasurementEventCallback<int>((_, value, tags, state) => ((Family)state!).Record(value, tags));
        _listener.SetMeasurementEventCallback<double>((_, value, tags, state) => ((Family)state!).Record(value, tags));
        _listener.Start();
    }

    /// <summary>Renders everything; <paramref name="openMetrics"/> chooses the format.</summary>
    public string Render(bool openMetrics)
    {
        lock (_scrape)
        {
            // Observed series are read afresh, so those of things that are gone end here.
            foreach (Family family in _families.Values)
            {
                family.ForgetObserved();
            }

            _listener.RecordObservableInstruments();
            if (_families.TryGetValue(GatewayMetrics.DurationName, out Family? durations))
            {
                foreach (RequestSums sums in _requests.Read())
                {
                    durations.Set(sums.Labels.Tags(), sums.Buckets, sums.Seconds);
                }
            }

            StringBuilder text = new(16 * 1024);
            foreach (Family family in _families.Values.OrderBy(f => f.Name, StringComparer.Ordinal))
            {
                family.Render(text, openMetrics);
            }

            if (openMetrics)
            {
                text.Append("# EOF\n");
            }

            return text.ToString();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _listener.Dispose();

    // Ours are named for export; the runtime's "dotnet.gc.collections" {collection} becomes dotnet_gc_collections_total.
    private static string ExportedName(Instrument instrument)
    {
        if (instrument.Meter.Name == GatewayMetrics.MeterName)
        {
            return instrument.Name;
        }

        if (s_runtimeGauges.TryGetValue(instrument.Name, out string? gauge))
        {
            return gauge;
        }

        string name = instrument.Name.Replace('.', '_');
        name += instrument.Unit switch { "By" => "_bytes", "s" => "_seconds", _ => "" };
        return IsCounter(instrument) ? name + "_total" : name;
    }

    private static bool IsCounter(Instrument instrument) =>
        instrument.GetType().Name is string kind && (kind.StartsWith("Counter", StringComparison.Ordinal) || kind.StartsWith("ObservableCounter", StringComparison.Ordinal));

    private sealed class Family(string name, Instrument instrument)
    {
        private readonly ConcurrentDictionary<LabelSet, Series> _series = new();
        private readonly bool _histogram = instrument.GetType().Name.StartsWith("Histogram", StringComparison.Ordinal);
        private readonly bool _counter = IsCounter(instrument) && name.EndsWith("_total", StringComparison.Ordinal);
        private readonly bool _sum = instrument.GetType().Name.StartsWith("Counter", StringComparison.Ordinal)
            || instrument.GetType().Name.StartsWith("UpDownCounter", StringComparison.Ordinal);

        public string Name => name;

        public void Record(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            LabelSet labels = new(tags);
            Series series = _series.TryGetValue(labels, out Series? found) ? found : _series.GetOrAdd(labels.Own(), static (_, h) => new Series(h), _histogram);
            series.Record(value, _sum);
        }

        public void Set(ReadOnlySpan<KeyValuePair<string, object?>> tags, long[] buckets, double sum)
        {
            LabelSet labels = new(tags);
            Series series = _series.TryGetValue(labels, out Series? found) ? found : _series.GetOrAdd(labels.Own(), static _ => new Series(true));
            series.Set(buckets, sum);
        }

        public void ForgetObserved()
        {
            if (instrument.IsObservable)
            {
                _series.Clear();
            }
        }

        public void Render(StringBuilder text, bool openMetrics)
        {
            if (_series.IsEmpty)
            {
                return;
            }

            // OpenMetrics names a counter's family without its suffix.
            string family = openMetrics && _counter ? name[..^6] : name;
            string type = _histogram ? "histogram" : _counter ? "counter" : "gauge";
            text.Append("# HELP ").Append(family).Append(' ').Append(Escape(instrument.Description ?? name, quotes: openMetrics)).Append('\n');
            text.Append("# TYPE ").Append(family).Append(' ').Append(type).Append('\n');
            foreach ((LabelSet labels, Series series) in _series.OrderBy(s => s.Key.Text, StringComparer.Ordinal))
            {
                series.Render(text, name, labels.Text);
            }
        }
    }

    private sealed class Series(bool histogram)
    {
        private readonly long[]? _buckets = histogram ? new long[s_bounds.Length + 1] : null;
        private double _value;

        public void Record(double value, bool sum)
        {
            if (_buckets is null && !sum)
            {
                Volatile.Write(ref _value, value);
                return;
            }

            if (_buckets is not null)
            {
                int at = Array.BinarySearch(s_bounds, value);
                Interlocked.Increment(ref _buckets[at >= 0 ? at : ~at]);
            }

            double seen;
            do
            {
                seen = Volatile.Read(ref _value);
            }
            while (Interlocked.CompareExchange(ref _value, seen + value, seen) != seen);
        }

        public void Set(long[] buckets, double sum)
        {
            buckets.CopyTo(_buckets.AsSpan());
            Volatile.Write(ref _value, sum);
        }

        public void Render(StringBuilder text, string name, string labels)
        {
            if (_buckets is null)
            {
                Line(text, name, labels, null, Volatile.Read(ref _value));
                return;
            }

            long cumulative = 0;
            for (int i = 0; i < _buckets.Length; i++)
            {
                cumulative += Volatile.Read(ref _buckets[i]);
                string bound = i < s_bounds.Length ? Number(s_bounds[i]) : "+Inf";
                Line(text, name + "_bucket", labels, $"le=\"{bound}\"", cumulative);
            }

            Line(text, name + "_sum", labels, null, Volatile.Read(ref _value));
            Line(text, name + "_count", labels, null, cumulative);
        }

        private static void Line(StringBuilder text, string name, string labels, string? extra, double value)
        {
            text.Append(name);
            if (labels.Length + (extra?.Length ?? 0) > 0)
            {
                text.Append('{').Append(labels).Append(labels.Length > 0 && extra is not null ? "," : "").Append(extra).Append('}');
            }

            text.Append(' ').Append(Number(value)).Append('\n');
        }

        private static string Number(double value) => value switch
        {
            double.PositiveInfinity => "+Inf",
            double.NegativeInfinity => "-Inf",
            _ => value.ToString("R", CultureInfo.InvariantCulture),
        };
    }

    /// <summary>Tags as a key. The borrowed form looks up without allocating; the owned form renders and is kept.</summary>
    private readonly struct LabelSet : IEquatable<LabelSet>
    {
        private readonly KeyValuePair<string, object?>[] _tags;
        private readonly int _hash;

        public LabelSet(ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            _tags = s_scratch is { } scratch && scratch.Length == tags.Length ? scratch : s_scratch = new KeyValuePair<string, object?>[tags.Length];
            tags.CopyTo(_tags);
            HashCode hash = default;
            foreach (KeyValuePair<string, object?> tag in tags)
            {
                hash.Add(tag.Key);
                hash.Add(tag.Value);
            }

            _hash = hash.ToHashCode();
            Text = "";
        }

        private LabelSet(LabelSet borrowed)
        {
            _tags = [.. borrowed._tags];
            _hash = borrowed._hash;
            Text = string.Join(',', _tags.Select(t =>
                $"{t.Key.Replace('.', '_')}=\"{Escape(Convert.ToString(t.Value, CultureInfo.InvariantCulture) ?? "", quotes: true)}\""));
        }

        [ThreadStatic]
        private static KeyValuePair<string, object?>[]? s_scratch;

        public string Text { get; }

        public LabelSet Own() => new(this);

        public bool Equals(LabelSet other)
        {
            if (_hash != other._hash || _tags.Length != other._tags.Length)
            {
                return false;
            }

            for (int i = 0; i < _tags.Length; i++)
            {
                if (_tags[i].Key != other._tags[i].Key || !Equals(_tags[i].Value, other._tags[i].Value))
                {
                    return false;
                }
            }

            return true;
        }

        public override bool Equals(object? obj) => obj is LabelSet other && Equals(other);

        public override int GetHashCode() => _hash;
    }

    private static string Escape(string value, bool quotes)
    {
        string escaped = value.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);
        return quotes ? escaped.Replace("\"", "\\\"", StringComparison.Ordinal) : escaped;
    }
}
