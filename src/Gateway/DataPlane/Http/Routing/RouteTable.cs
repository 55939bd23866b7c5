using Gateway.DataPlane.Balancing;
using Gateway.Planning;

namespace Gateway.DataPlane.Http.Routing;

/// <summary>Where a route leads.</summary>
/// <param name="Cluster">Cluster that answers.</param>
/// <param name="Budget">Retries of that cluster; the same object for as long as the cluster is planned.</param>
internal sealed record RouteTarget(ClusterState Cluster, RetryBudget Budget);

/// <summary>The routes of one listener.</summary>
/// <param name="Key">The listener.</param>
/// <param name="Hosts">Host and path → target.</param>
internal sealed record ListenerRoutes(ListenerKey Key, HostTable<RouteTarget> Hosts);

/// <summary>
/// Every route, by listener. In: plans; out: for a listener, host and path the target. Immutable: an apply makes another
/// table that shares all but the changed listeners and is published by one reference write; a request keeps the table it
/// began with.
/// </summary>
/// <remarks>
/// Two levels by port: 256 pages of 256 ports each. A change copies the upper level and one page per 256 ports touched - 4 KiB -
/// whatever the number of listeners, and a lookup is two array reads.
/// </remarks>
internal sealed class RouteTable
{
    /// <summary>A table without routes.</summary>
    public static readonly RouteTable Empty = new(new Node?[256][]);

    /// <summary>Scope of routes that stand for every edge listener, with port 0.</summary>
    public static readonly ListenerKey Edge = new("edge", 0);

    private readonly Node?[]?[] _pages;

    private RouteTable(Node?[]?[] pages) => _pages = pages;

    /// <summary>The routes of a listener, or null. An edge listener without its own has those of the edge.</summary>
    public ListenerRoutes? Find(ListenerKey listener) =>
        Exact(listener) ?? (listener.Scope == ListenerKey.Internal ? null : Exact(Edge));

    /// <summary>The table for <paramref name="plan"/>; only listeners that <paramref name="diff"/> touches are built
    /// anew.</summary>
    /// <param name="plan">The whole plan; its routes are sorted by listener.</param>
    /// <param name="diff">What changed since the plan of this table.</param>
    /// <param name="target">Cluster id → target, or null where there is no such cluster.</param>
    public RouteTable With(Plan plan, PlanDiff diff, Func<string, RouteTarget?> target)
    {
        HashSet<ListenerKey> touched = [];
        Touch(diff.RoutesAdded, static route => route);
        Touch(diff.RoutesRemoved, static route => route);
        Touch(diff.RoutesChanged, static change => change.New);
        if (touched.Count == 0)
        {
            return this;
        }

        Node?[]?[] pages = [.. _pages];
        HashSet<int> copied = [];
        ReadOnlySpan<RoutePlan> routes = plan.Routes.AsSpan();
        foreach (ListenerKey key in touched)
        {
            int page = key.Port >> 8;
            if (copied.Add(page))
            {
                pages[page] = pages[page] is { } old ? [.. old] : new Node?[256];
            }

            ref Node? slot = ref pages[page]![key.Port & 255];
            slot = Replace(slot, key, Build(key, RoutesOf(routes, key), target));
        }

        return new RouteTable(pages);

        void Touch<TItem>(IReadOnlyList<TItem> items, Func<TItem, RoutePlan> route)
        {
            foreach (TItem item in items)
            {
                touched.Add(route(item).Listener);
            }
        }
    }

    private static ListenerRoutes? Build(ListenerKey key, ReadOnlySpan<RoutePlan> routes, Func<string, RouteTarget?> target)
    {
        List<(string, string, RouteTarget)> built = new(routes.Length);
        foreach (RoutePlan route in routes)
        {
            // Clusters are published before routes: one that is missing is our own mistake, and loud.
            built.Add((route.Host, route.PathPrefix, target(route.Cluster)
                ?? throw new InvalidOperationException(
                    $"route '{route.Id}' leads to cluster '{route.Cluster}', which does not exist")));
        }

        return built.Count == 0 ? null : new ListenerRoutes(key, new HostTable<RouteTarget>(built));
    }

    private static ReadOnlySpan<RoutePlan> RoutesOf(ReadOnlySpan<RoutePlan> sorted, ListenerKey key)
    {
        int first = LowerBound(sorted, key);
        int end = first;
        while (end < sorted.Length && sorted[end].Listener == key)
        {
            end++;
        }

        return sorted[first..end];
    }

    private static int LowerBound(ReadOnlySpan<RoutePlan> sorted, ListenerKey key)
    {
        int low = 0;
        int high = sorted.Length;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (sorted[middle].Listener.CompareTo(key) < 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    private ListenerRoutes? Exact(ListenerKey key)
    {
        for (Node? node = _pages[(key.Port >> 8) & 255]?[key.Port & 255]; node is not null; node = node.Next)
        {
            if (node.Routes.Key == key)
            {
                return node.Routes;
            }
        }

        return null;
    }

    private static Node? Replace(Node? chain, ListenerKey key, ListenerRoutes? routes)
    {
        Node? rest = null;
        for (Node? node = chain; node is not null; node = node.Next)
        {
            rest = node.Routes.Key == key ? rest : new Node(node.Routes, rest);
        }

        return routes is null ? rest : new Node(routes, rest);
    }

    // One port, several scopes: an internal listener and one per edge address. Rarely more than one.
    private sealed record Node(ListenerRoutes Routes, Node? Next);
}
