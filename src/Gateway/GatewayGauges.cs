using System.Diagnostics.Metrics;
using Gateway.Control;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Http;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Tcp;
using Gateway.Observability;
using Gateway.Planning;

namespace Gateway;

/// <summary>What is a state rather than an event: read from the live objects at scrape time, so series end with their subjects.</summary>
internal static class GatewayGauges
{
    /// <summary>Adds them to <paramref name="metrics"/>.</summary>
    public static void Register(
        GatewayMetrics metrics, ControlLoop control, ClusterTable clusters, ListenerSet listeners, HttpLane http, TcpLane tcp, TimeProvider clock)
    {
        metrics.Observe("gateway_connections", "Client connections open.", counter: false, () => listeners.Listeners.Select(l => Of(
            l.Connections, ("listener", l.Key.ToString()), ("protocol", l.Plan.Tls ? "https" : l.Plan.Protocol == ListenProtocol.Http ? "http" : "tcp"))));
        metrics.Observe("gateway_listeners", "Listeners in the plan in force.", counter: false, () => [Of(control.State.Plan.Listeners.Count)]);
        metrics.Observe("gateway_http_requests_in_flight", "HTTP requests under way.", counter: false, () => [Of(http.Requests)]);
        metrics.Observe("gateway_tcp_relays", "TCP relays open.", counter: false, () => [Of(tcp.Relays)]);
        metrics.Observe("gateway_problems", "Problems standing.", counter: false, () => [Of(control.Problems().Count)]);
        metrics.Observe("gateway_catalog_age_seconds", "Time since the source last confirmed its catalog.", counter: false, () =>
            control.Sources.Where(s => s.Status.LastContact is not null)
                .Select(s => Of((clock.GetUtcNow() - s.Status.LastContact!.Value).TotalSeconds, ("source", s.Name))));

        metrics.Observe("gateway_removals_held", "Instances kept although their source dropped them.", counter: false, () => [Of(control.Held.Count)]);
        metrics.Observe("gateway_last_known_good_seconds", "Age of the last known good that serves until its source reports.", counter: false, () =>
            control.Restored.Select(r => Of((clock.GetUtcNow() - r.Value).TotalSeconds, ("source", r.Key))));
        metrics.Observe("gateway_certificate_expiry_timestamp_seconds", "End of a certificate's validity.", counter: false, () =>
            http.Certificates.Table.All.Select(c => Of(c.NotAfter.ToUnixTimeSeconds(), ("name", c.File))));

        IEnumerable<Measurement<double>> Destinations(Func<DestinationView, double> value) => clusters.View().SelectMany(c => c.Destinations.Select(d => Of(
            value(d), ("service", c.Service), ("environment", c.Environment), ("instance", d.Instance), ("address", d.Address))));
        metrics.Observe("gateway_destination_up", "1: takes new work.", counter: false, () => Destinations(d => d.Usable ? 1 : 0));
        metrics.Observe("gateway_destination_in_flight", "Requests and relays under way.", counter: false, () => Destinations(d => d.InFlight));
        metrics.Observe("gateway_destination_requests_total", "Requests and relays given to it.", counter: true, () => Destinations(d => d.Requests));
        metrics.Observe("gateway_destination_failures_total", "Attempts that failed on its side.", counter: true, () => Destinations(d => d.Failures));
    }

    private static Measurement<double> Of(double value, params ReadOnlySpan<(string Key, string Value)> tags)
    {
        KeyValuePair<string, object?>[] pairs = new KeyValuePair<string, object?>[tags.Length];
        for (int i = 0; i < tags.Length; i++)
        {
            pairs[i] = new KeyValuePair<string, object?>(tags[i].Key, tags[i].Value);
        }

        return new Measurement<double>(value, pairs);
    }
}
