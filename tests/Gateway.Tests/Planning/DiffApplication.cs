using System.Collections.Immutable;
using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.Tests.Planning;

/// <summary>What an apply does to a plan, strictly: nothing may be removed that is not there, nothing added that is.</summary>
internal static class DiffApplication
{
    public static Plan Apply(Plan old, PlanDiff diff) => new()
    {
        Listeners = Apply(old.Listeners, diff.ListenersAdded, diff.ListenersChanged, diff.ListenersRemoved, l => l.Key, PlanOrder.Listeners),
        Routes = Apply(
            old.Routes, diff.RoutesAdded, diff.RoutesChanged, diff.RoutesRemoved, r => (r.Listener, r.Host, r.PathPrefix), PlanOrder.Routes),
        Clusters = Apply(old.Clusters, diff.ClustersAdded, diff.ClustersChanged, diff.ClustersRemoved, c => c.Id, PlanOrder.Clusters),
        Problems = Apply(old.Problems, diff.ProblemsAdded, [], diff.ProblemsRemoved, p => p, PlanOrder.Problems),
    };

    public static ImmutableSortedDictionary<string, Service> ToImmutable(
        this ImmutableSortedDictionary<string, Service> services, Func<Service, Service> change) =>
        services.ToImmutableSortedDictionary(s => s.Key, s => change(s.Value), StringComparer.Ordinal);

    private static EquatableArray<T> Apply<T, TKey>(
        EquatableArray<T> old,
        IReadOnlyList<T> added,
        IReadOnlyList<Change<T>> changed,
        IReadOnlyList<T> removed,
        Func<T, TKey> identity,
        Comparison<T> order)
        where T : IEquatable<T>
        where TKey : notnull
    {
        Dictionary<TKey, T> items = old.ToDictionary(identity);
        foreach (T item in removed)
        {
            Assert.True(items.Remove(identity(item), out T? was));
            Assert.Equal(item, was);
        }

        foreach (Change<T> change in changed)
        {
            Assert.Equal(change.Old, items[identity(change.Old)]);
            Assert.NotEqual(change.Old, change.New);
            items[identity(change.New)] = change.New;
        }

        foreach (T item in added)
        {
            Assert.True(items.TryAdd(identity(item), item));
        }

        List<T> result = [.. items.Values];
        result.Sort(order);
        return result.ToEquatableArray();
    }
}
