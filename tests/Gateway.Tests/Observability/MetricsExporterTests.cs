using System.Diagnostics.Metrics;
using Gateway.Observability;

namespace Gateway.Tests.Observability;

public sealed class MetricsExporterTests : IDisposable
{
    private readonly GatewayMetrics _metrics = new();
    private readonly MetricsExporter _exporter;

    public MetricsExporterTests() => _exporter = new MetricsExporter(_metrics);

    public void Dispose()
    {
        _metrics.Dispose();
        _exporter.Dispose();
    }

    [Fact]
    public void Counters_add_up_per_label_set()
    {
        _metrics.RequestEnded(":3000", "hello", "production", 200, TimeSpan.FromMilliseconds(3));
        _metrics.RequestEnded(":3000", "hello", "production", 200, TimeSpan.FromMilliseconds(3));
        _metrics.RequestEnded(":3000", "hello", "production", 503, TimeSpan.FromMilliseconds(3));

        string text = _exporter.Render(openMetrics: false);

        Assert.Contains("# TYPE gateway_requests_total counter\n", text);
        Assert.Contains("gateway_requests_total{listener=\":3000\",service=\"hello\",environment=\"production\",code=\"200\"} 2\n", text);
        Assert.Contains("gateway_requests_total{listener=\":3000\",service=\"hello\",environment=\"production\",code=\"503\"} 1\n", text);
    }

    [Fact]
    public void Histogram_buckets_are_cumulative_and_end_with_infinity()
    {
        _metrics.RequestEnded(":3000", "hello", "production", 200, TimeSpan.FromMilliseconds(3));
        _metrics.RequestEnded(":3000", "hello", "production", 200, TimeSpan.FromMilliseconds(300));

        string text = _exporter.Render(openMetrics: false);

        Assert.Contains("gateway_request_duration_seconds_bucket{listener=\":3000\",service=\"hello\",environment=\"production\",le=\"0.0025\"} 0\n", text);
        Assert.Contains("gateway_request_duration_seconds_bucket{listener=\":3000\",service=\"hello\",environment=\"production\",le=\"0.005\"} 1\n", text);
        Assert.Contains("gateway_request_duration_seconds_bucket{listener=\":3000\",service=\"hello\",environment=\"production\",le=\"+Inf\"} 2\n", text);
        Assert.Contains("gateway_request_duration_seconds_count{listener=\":3000\",service=\"hello\",environment=\"production\"} 2\n", text);
        Assert.Contains("gateway_request_duration_seconds_sum{listener=\":3000\",service=\"hello\",environment=\"production\"} 0.303\n", text);
    }

    [Fact]
    public void Open_metrics_names_the_family_without_total_and_ends_with_eof()
    {
        _metrics.PlanApplied("ok");

        string text = _exporter.Render(openMetrics: true);

        Assert.Contains("# TYPE gateway_plan_applies counter\n", text);
        Assert.Contains("gateway_plan_applies_total{result=\"ok\"} 1\n", text);
        Assert.EndsWith("# EOF\n", text);
    }

    [Fact]
    public void A_series_that_is_observed_ends_with_its_subject()
    {
        List<string> subjects = ["a", "b"];
        _metrics.Observe("gateway_test_subjects", "Test.", counter: false, () => subjects.Select(s => new Measurement<double>(1, new KeyValuePair<string, object?>("name", s))));
        Assert.Contains("gateway_test_subjects{name=\"b\"} 1\n", _exporter.Render(openMetrics: false));

        subjects.Remove("b");

        string text = _exporter.Render(openMetrics: false);
        Assert.Contains("gateway_test_subjects{name=\"a\"} 1\n", text);
        Assert.DoesNotContain("name=\"b\"", text);
    }

    [Fact]
    public void Label_values_are_escaped()
    {
        _metrics.PlanApplied("a\"b\\c\nd");

        Assert.Contains("{result=\"a\\\"b\\\\c\\nd\"} 1\n", _exporter.Render(openMetrics: false));
    }

    [Fact]
    public void Counters_that_must_stay_zero_are_seen_before_their_first_event()
    {
        _metrics.AnnounceZeros();

        string text = _exporter.Render(openMetrics: false);

        Assert.Contains("gateway_connections_closed_by_apply_total 0\n", text);
        Assert.Contains("gateway_drain_forced_closes_total{state=\"request\"} 0\n", text);
    }

    [Fact]
    public void Every_name_is_a_valid_metric_name_with_one_type_each()
    {
        _metrics.AnnounceZeros();
        ProcessMetrics.Register(_metrics);

        string[] types = [.. _exporter.Render(openMetrics: false).Split('\n').Where(l => l.StartsWith("# TYPE", StringComparison.Ordinal)).Select(l => l.Split(' ')[2])];

        Assert.Equal(types.Length, types.Distinct().Count());
        Assert.All(types, t => Assert.Matches("^[a-z][a-z0-9_]*$", t));
        Assert.Contains("process_open_fds", types);
        Assert.Contains(types, t => t.StartsWith("dotnet_", StringComparison.Ordinal));
    }
}
