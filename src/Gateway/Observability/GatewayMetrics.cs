using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Gateway.Observability;

/// <summary>
/// Every number Gateway counts, as instruments of one meter whose names are the exported ones. Rooms call it and nobody but an
/// exporter reads it back. What is a state rather than an event (connections of a listener, health of a destination, age of a
/// catalog) is observed at scrape time through <see cref="Observe"/>, so that series end with the things they describe.
/// </summary>
public sealed class GatewayMetrics : IDisposable
{
    /// <summary>Name of the meter, for OpenTelemetry and <see cref="MeterListener"/>s of an embedding program.</summary>
    public const string MeterName = "Gateway";

    /// <summary>Name of the histogram that our exporter reads from <see cref="Requests"/>.</summary>
    internal const string DurationName = "gateway_request_duration_seconds";

    private readonly Meter _meter = new(MeterName);
    private readonly Histogram<double> _duration;
    private readonly Counter<long> _connectionsTotal;
    private readonly Counter<long> _bytes;
    private readonly Counter<long> _retries;
    private readonly Counter<long> _probes;
    private readonly Counter<long> _sourceRequests;
    private readonly Counter<long> _applies;
    private readonly Counter<long> _closedByApply;
    private readonly Counter<long> _forcedCloses;
    private readonly Counter<long> _accessDropped;

    /// <summary>Creates the instruments.</summary>
    public GatewayMetrics()
    {
        _meter.CreateObservableCounter("gateway_requests_total", Requests.ByCode, null, "HTTP requests ended, by status sent (0: the client left first).");
        _duration = _meter.CreateHistogram<double>(DurationName, "s", "From the request head to the last byte of the response.");
        _connectionsTotal = _meter.CreateCounter<long>("gateway_connections_accepted_total", null, "Client connections accepted.");
        _bytes = _meter.CreateCounter<long>("gateway_relayed_bytes_total", "By", "Bytes relayed by TCP listeners.");
        _retries = _meter.CreateCounter<long>("gateway_destination_retries_total", null, "Attempts that failed and went to another destination.");
        _probes = _meter.CreateCounter<long>("gateway_probes_total", null, "Active checks ended.");
        _sourceRequests = _meter.CreateCounter<long>("gateway_catalog_requests_total", null, "Requests to catalog sources.");
        _applies = _meter.CreateCounter<long>("gateway_plan_applies_total", null, "Plans applied.");
        _closedByApply = _meter.CreateCounter<long>("gateway_connections_closed_by_apply_total", null, "Connections closed because a plan was applied; must stay 0.");
        _forcedCloses = _meter.CreateCounter<long>("gateway_drain_forced_closes_total", null, "Connections closed by force at the end of a drain.");
        _accessDropped = _meter.CreateCounter<long>("gateway_access_log_dropped_total", null, "Access records dropped because the log could not be written in time or at all.");
    }

    /// <summary>Announces counters that should be seen at 0 before their first event; call once an exporter listens.</summary>
    public void AnnounceZeros()
    {
        _closedByApply.Add(0);
        _accessDropped.Add(0);
        foreach (string result in (string[])["ok", "problems", "failed"])
        {
            _applies.Add(0, new KeyValuePair<string, object?>("result", result));
        }

        foreach (string state in (string[])["request", "tunnel", "relay", "idle", "new"])
        {
            _forcedCloses.Add(0, new KeyValuePair<string, object?>("state", state));
        }
    }

    /// <summary>Adds a gauge or counter that is read at scrape time.</summary>
    public void Observe(string name, string help, bool counter, Func<IEnumerable<Measurement<double>>> read)
    {
        if (counter)
        {
            _meter.CreateObservableCounter(name, read, null, help);
        }
        else
        {
            _meter.CreateObservableGauge(name, read, null, help);
        }
    }

    /// <summary>Every request counted.</summary>
    internal RequestCounts Requests { get; } = new();

    /// <summary>A request ended; <paramref name="code"/> is the status sent, 0 where the client left before one.</summary>
    public void RequestEnded(string listener, string service, string environment, int code, TimeSpan duration)
    {
        RequestLabels labels = new(listener, service, environment);
        Requests.Add(labels, code, duration.TotalSeconds);
        RecordDuration(labels, duration.TotalSeconds);
    }

    /// <summary>Whether the meter is this one's.</summary>
    internal bool Owns(Meter meter) => ReferenceEquals(meter, _meter);

    /// <summary>Whether anybody but our exporter, which reads sums, wants each duration.</summary>
    internal bool WantsDurations => _duration.Enabled;

    /// <summary>Tells a duration to whoever wants each.</summary>
    internal void RecordDuration(in RequestLabels labels, double seconds)
    {
        if (_duration.Enabled)
        {
            _duration.Record(seconds, labels.Tags());
        }
    }

    /// <summary>A connection was accepted.</summary>
    public void ConnectionOpened(string listener, string protocol) =>
        _connectionsTotal.Add(1, new("listener", listener), new KeyValuePair<string, object?>("protocol", protocol));

    /// <summary>An attempt failed and another destination was tried.</summary>
    public void DestinationRetry(string service, string environment, string reason) =>
        _retries.Add(1, new TagList { { "service", service }, { "environment", environment }, { "reason", reason } });

    /// <summary>Bytes relayed by a TCP listener.</summary>
    public void BytesRelayed(string listener, string service, string environment, long toDestination, long toClient)
    {
        _bytes.Add(toDestination, new TagList
        {
            { "listener", listener }, { "service", service }, { "environment", environment }, { "direction", "to_destination" },
        });
        _bytes.Add(toClient, new TagList
        {
            { "listener", listener }, { "service", service }, { "environment", environment }, { "direction", "to_client" },
        });
    }

    /// <summary>A probe ended.</summary>
    public void ProbeEnded(string service, string environment, bool success) =>
        _probes.Add(1, new TagList { { "service", service }, { "environment", environment }, { "result", success ? "ok" : "failed" } });

    /// <summary>A request was made to a catalog source; <paramref name="outcome"/> is <c>changed</c>, <c>unchanged</c>, <c>error</c>.</summary>
    public void SourceRequest(string source, string outcome) =>
        _sourceRequests.Add(1, new("source", source), new KeyValuePair<string, object?>("outcome", outcome));

    /// <summary>A plan was applied; <paramref name="result"/> is <c>ok</c>, <c>problems</c> or <c>failed</c>.</summary>
    public void PlanApplied(string result) => _applies.Add(1, new KeyValuePair<string, object?>("result", result));

    /// <summary>An apply closed connections, which is a bug of ours.</summary>
    public void ClosedByApply(int connections) => _closedByApply.Add(connections);

    /// <summary>A drain reached its deadline with connections open.</summary>
    public void DrainForced(string state, int connections) =>
        _forcedCloses.Add(connections, new KeyValuePair<string, object?>("state", state));

    /// <summary>Access records were dropped: the writer could not keep up, or the log can't be written.</summary>
    public void AccessRecordDropped(int records = 1) => _accessDropped.Add(records);

    /// <inheritdoc/>
    public void Dispose() => _meter.Dispose();
}

/// <summary>Status codes as label values, without an allocation per request.</summary>
internal static class StatusText
{
    private static readonly string[] s_texts = [.. Enumerable.Range(0, 600).Select(i => i.ToString(System.Globalization.CultureInfo.InvariantCulture))];

    /// <summary>The code as text; anything outside 0-599 is <c>other</c>.</summary>
    public static string Of(int code) => (uint)code < (uint)s_texts.Length ? s_texts[code] : "other";
}
