using System.Globalization;
using System.Text;
using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>
/// Plans and their differences as text: what cases are reviewed by, what <c>gateway plan</c> prints, what the log keeps. One line
/// per thing, in the order of the plan. Names come from strangers, so control characters are escaped: no name can forge a line.
/// </summary>
internal static class PlanText
{
    /// <summary>The whole plan; clusters with their destinations, and of their settings what is not the default.</summary>
    public static string Render(Plan plan)
    {
        Lines lines = new(int.MaxValue);
        foreach (ListenerPlan listener in plan.Listeners)
        {
            lines.Add(Of(listener));
        }

        foreach (RoutePlan route in plan.Routes)
        {
            lines.Add(Of(route));
        }

        foreach (ClusterPlan cluster in plan.Clusters)
        {
            lines.Add(Of(cluster));
            foreach (DestinationPlan destination in cluster.Destinations)
            {
                lines.Add($"  {Of(destination)}");
            }
        }

        foreach (Problem problem in plan.Problems)
        {
            lines.Add(Of(problem));
        }

        return lines.ToString();
    }

    /// <summary>
    /// One line per change, <c>+</c>, <c>~</c> or <c>-</c> in front; empty when nothing changes. At most
    /// <paramref name="linesMax"/> lines, then how many more there are.
    /// </summary>
    public static string RenderDiff(PlanDiff diff, int linesMax = int.MaxValue)
    {
        Lines lines = new(linesMax);
        Changes(lines, diff.ListenersAdded, diff.ListenersChanged, diff.ListenersRemoved, Of);
        Changes(lines, diff.RoutesAdded, diff.RoutesChanged, diff.RoutesRemoved, Of);
        foreach (ClusterPlan cluster in diff.ClustersAdded)
        {
            lines.Add($"+ {Of(cluster)}");
            Destinations(lines, null, cluster);
        }

        foreach (Change<ClusterPlan> cluster in diff.ClustersChanged)
        {
            if (Of(cluster.Old) != Of(cluster.New))
            {
                lines.Add($"~ {Of(cluster.New)} (was {Of(cluster.Old)})");
            }

            Destinations(lines, cluster.Old, cluster.New);
        }

        foreach (ClusterPlan cluster in diff.ClustersRemoved)
        {
            lines.Add($"- {Of(cluster)}");
            Destinations(lines, cluster, null);
        }

        Changes(lines, diff.ProblemsAdded, [], diff.ProblemsRemoved, Of);
        return lines.ToString();
    }

    private static void Changes<T>(
        Lines lines, IReadOnlyList<T> added, IReadOnlyList<Change<T>> changed, IReadOnlyList<T> removed, Func<T, string> text)
    {
        foreach (T item in added)
        {
            lines.Add($"+ {text(item)}");
        }

        foreach (Change<T> item in changed)
        {
            lines.Add($"~ {text(item.New)} (was {text(item.Old)})");
        }

        foreach (T item in removed)
        {
            lines.Add($"- {text(item)}");
        }
    }

    private static void Destinations(Lines lines, ClusterPlan? old, ClusterPlan? @new)
    {
        string cluster = (@new ?? old)!.Id;
        DestinationsDiff diff = PlanDiff.BetweenDestinations(old, @new);
        Changes(lines, diff.Added, diff.Changed, diff.Removed, d => $"{Of(d)} of {cluster}");
    }

    private static string Of(ListenerPlan listener) => listener.Key.IsEdge
        ? $"listener {listener.Key} {(listener.Tls ? "https" : "http")} edge"
        : $"listener {listener.Key} {Word(listener.Protocol)} {listener.Service}@{listener.Environment} -> {listener.Cluster}"
        + (listener.Lingering ? " (lingering)" : "");

    private static string Of(RoutePlan route) => $"route {route.Id} -> {route.Cluster}";

    private static string Of(DestinationPlan destination) => string.Create(
        CultureInfo.InvariantCulture,
        $"destination {destination.Instance} {destination.EndPoint} {Word(destination.Reported)} weight={destination.Weight}")
        + (destination.Admitted ? "" : " (no new work)");

    private static string Of(Problem problem) => $"problem {problem}";

    // Settings carry the names of their keys, so what is read here can be written into a tag.
    private static string Of(ClusterPlan cluster)
    {
        CheckPlan check = cluster.Check;
        StringBuilder text = new($"cluster {cluster.Id} {Word(cluster.Protocol)} balance={Word(cluster.Balance)}");
        text.Append(check.Kind == CheckKind.Http ? $" check.http={check.Path}" : $" check={Word(check.Kind)}");
        Add(text, "check.interval", check.Interval, ClusterSettings.Default.Check.Interval);
        Add(text, "check.fastInterval", check.FastInterval, ClusterSettings.Default.Check.FastInterval);
        Add(text, "check.timeout", check.Timeout, ClusterSettings.Default.Check.Timeout);
        Add(text, "check.rise", check.Rise, ClusterSettings.Default.Check.Rise);
        Add(text, "check.fall", check.Fall, ClusterSettings.Default.Check.Fall);
        Add(text, "timeouts.connect", cluster.Timeouts.Connect, ClusterSettings.Default.Timeouts.Connect);
        Add(text, "timeouts.response", cluster.Timeouts.Response, ClusterSettings.Default.Timeouts.Response);
        Add(text, "timeouts.tunnel", cluster.Timeouts.Tunnel, ClusterSettings.Default.Timeouts.Tunnel);
        Add(text, "protocol", cluster.Upstream, UpstreamProtocol.Auto);
        text.Append(cluster.ForwardedFor ? "" : " forwardedFor=off");
        return text.ToString();
    }

    private static void Add<T>(StringBuilder text, string key, T value, T @default)
    {
        if (!EqualityComparer<T>.Default.Equals(value, @default))
        {
            text.Append(CultureInfo.InvariantCulture, $" {key}={(value is TimeSpan time ? Units.Duration(time) : Word(value!))}");
        }
    }

    private static string Word(object value) => string.Create(CultureInfo.InvariantCulture, $"{value}").ToLowerInvariant();

    private sealed class Lines(int max)
    {
        private readonly StringBuilder _text = new();
        private int _count;

        public void Add(string line)
        {
            if (++_count > max)
            {
                return;
            }

            foreach (char c in line)
            {
                // U+2028 and U+2029 end a line for some readers.
                if (char.IsControl(c) || c is '\u2028' or '\u2029')
                {
                    _text.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:X4}");
                }
                else
                {
                    _text.Append(c);
                }
            }

            _text.Append('\n');
        }

        public override string ToString()
        {
            if (_count > max)
            {
                _text.Append(CultureInfo.InvariantCulture, $"… and {_count - max} more changes\n");
                _count = 0;
            }

            return _text.ToString();
        }
    }
}
