using Gateway.Discovery;
using Gateway.Discovery.Consul;
using Gateway.Discovery.FileCatalogs;
using Gateway.Observability;
using Microsoft.Extensions.Logging;

namespace Gateway;

/// <summary>Makes the sources that the options name, in the order in which they count, those of the embedding program last.</summary>
internal sealed class OptionSources(IReadOnlyList<ICatalogSource> extra, TimeProvider clock, ILoggerFactory logs, GatewayMetrics metrics)
{
    /// <summary>Refuses options without a source. Those made by a program have not been through the configuration's checks.</summary>
    /// <exception cref="GatewayStartException">No source, or two of one name.</exception>
    public void Check(GatewayOptions options)
    {
        List<string> names = [.. extra.Select(s => s.Name)];
        names.AddRange(new[]
        {
            options.Consul is null ? null : "consul", options.Embedded is null ? null : "embedded", options.Files is null ? null : "files",
        }.OfType<string>());
        if (names.Count == 0)
        {
            throw new GatewayStartException(
                "no source of services: name Consul, Embedded or Files in the options, or register an ICatalogSource", badInput: true);
        }

        if (names.GroupBy(n => n, StringComparer.Ordinal).FirstOrDefault(g => g.Count() > 1) is { } twice)
        {
            throw new GatewayStartException($"two sources are called '{twice.Key}'; give each ICatalogSource a name of its own", badInput: true);
        }
    }

    /// <summary>All of them, new.</summary>
    public IReadOnlyList<ICatalogSource> All(GatewayOptions options) => [.. Named(options, _ => null), .. extra];

    /// <summary>Those of new options: one whose options stand is the one that runs, the others are new.</summary>
    public IReadOnlyList<ICatalogSource> Next(GatewayOptions old, GatewayOptions @new, IReadOnlyList<ICatalogSource> running)
    {
        Dictionary<string, ICatalogSource> byName = running.ToDictionary(s => s.Name, StringComparer.Ordinal);
        bool sameNames = old.Planning.EdgeHosts.AsEnumerable().Select(h => h.Service).ToHashSet()
            .SetEquals(@new.Planning.EdgeHosts.AsEnumerable().Select(h => h.Service));
        bool Same(string name) => name switch
        {
            "consul" => old.Consul == @new.Consul && sameNames,
            "embedded" => sameNames,
            "files" => old.Files == @new.Files,
            _ => true,
        };
        return [.. Named(@new, name => Same(name) ? byName.GetValueOrDefault(name) : null), .. extra];
    }

    /// <summary>The sources that the options name; one that <paramref name="running"/> knows goes on, the others are made.</summary>
    private IEnumerable<ICatalogSource> Named(GatewayOptions options, Func<string, ICatalogSource?> running)
    {
        if (options.Consul is { } consul)
        {
            yield return running("consul")
                ?? new ConsulSource("consul", consul, MayBeRouted(options), clock, logs.CreateLogger("Gateway.Consul"), metrics);
        }

        if (options.Embedded is { } embedded)
        {
            ConsulOptions own = new() { Address = new Uri($"http://{embedded.Listen}"), Stale = false };
            yield return running("embedded")
                ?? new ConsulSource("embedded", own, MayBeRouted(options), clock, logs.CreateLogger("Gateway.Consul"), metrics);
        }

        if (options.Files is { } files)
        {
            yield return running("files") ?? new FileCatalogSource("files", files, clock, logs.CreateLogger("Gateway.Files"));
        }
    }

    private static Func<string, IReadOnlyCollection<string>, bool> MayBeRouted(GatewayOptions options)
    {
        HashSet<string> named = [.. options.Planning.EdgeHosts.AsEnumerable().Select(h => h.Service)];
        return (name, tags) => named.Contains(name) || RoutedServices.MayBeRouted(name, tags);
    }
}
