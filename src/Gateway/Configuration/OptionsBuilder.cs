using System.Net;
using Gateway.Admin;
using Gateway.Catalog;
using Gateway.Control;
using Gateway.DataPlane.Http;
using Gateway.DataPlane.Listening;
using Gateway.Discovery.Consul;
using Gateway.Discovery.EmbeddedCatalog;
using Gateway.Discovery.FileCatalogs;
using Gateway.Lifecycle;
using Gateway.Observability;
using Gateway.Planning;

namespace Gateway.Configuration;

/// <summary>Values that were read in, options of every room out. Called only when nothing was refused.</summary>
internal static class OptionsBuilder
{
    /// <summary>Makes the options.</summary>
    public static GatewayOptions Build(SchemaReader read)
    {
        GatewayOptions options = new()
        {
            Consul = read.Find("catalog.consul.address") is null ? null : Consul(read),
            Embedded = read.Find("catalog.embedded.listen") is { Typed: IPEndPoint listen }
                ? new EmbeddedCatalogOptions { Listen = listen }
                : null,
            Files = Strings(read, "catalog.files") is { Count: > 0 } paths ? new FileCatalogOptions { Paths = paths } : null,
            Guard = new GuardOptions
            {
                AbovePercent = read.Get<int>("catalog.guard.above"),
                MinInstances = read.Get<int>("catalog.guard.minInstances"),
                HoldFor = read.Get<TimeSpan>("catalog.guard.holdFor"),
            },
            PortGrace = read.Get<TimeSpan>("catalog.portGrace"),
            StateDirectory = read.Get<string>("stateDirectory"),
            Engine = read.Get<string>("engine"),
            Planning = Planning(read),
            Listening = new ListeningOptions { Addresses = Strings(read, "internal.addresses") },
            Edge = read.Written.ContainsKey("external") ? Edge(read) : null,
            TrustedProxies = Strings(read, "trustedProxies"),
            Admin = new AdminOptions { Listen = read.Get<IPEndPoint>("admin.listen"), Names = Strings(read, "admin.names") },
            Drain = new DrainOptions
            {
                Grace = read.Get<TimeSpan>("drain.grace"),
                Idle = read.Get<TimeSpan>("drain.idle"),
                Timeout = read.Get<TimeSpan>("drain.timeout"),
            },
            Upgrade = new UpgradeOptions
            {
                Ready = read.Get<TimeSpan>("upgrade.ready"),
                Timeout = read.Get<TimeSpan>("upgrade.timeout"),
            },
            Log = read.Find("log.access") is not null
                ? new LogOptions { AccessFile = null }
                : new LogOptions
                {
                    AccessFile = read.Get<string>("log.access.file"),
                    AccessFormat = read.Get<string>("log.access.format"),
                },
            MaxConnections = read.Get<int>("limits.maxConnections"),
            MaxConnectionsPlace = read.Find("limits.maxConnections")!.Place.ToString(),
            MaxConnectionsKey = read.Get<string?>("limits.maxConnectionsKey"),
        };
        return options with { Planning = options.Planning with { Reserved = OwnPorts.Of(options) } };
    }

    private static EdgeOptions Edge(SchemaReader read) => new()
    {
        Listeners = [.. EdgeListeners(read, "external.http", tls: false), .. EdgeListeners(read, "external.https", tls: true)],
        Certificates = read.Get<string>("external.certificates"),
        DefaultCertificate = read.Get<string?>("external.defaultCertificate"),
        StrictSni = read.Get<bool>("external.strictSni"),
        Headers = [.. read.Entries["external.headers"].Select(e => new EdgeHeader(e.Name, read.Get<string>($"external.headers.{e.Name}")))],
    };

    // Every address is two of them to the kernel; the listener set knows them by the asterisk.
    private static IEnumerable<EdgeListener> EdgeListeners(SchemaReader read, string key, bool tls) =>
        read.Get<List<object>>(key).Cast<IPEndPoint>().Select(e => new EdgeListener(
            e.Address.Equals(IPAddress.IPv6Any) ? "*" : e.Address.ToString(), e.Port, tls));

    private static EdgeHost EdgeHost(string name, ReadValue value)
    {
        string service = (string)value.Typed!;
        int slash = name.IndexOf('/', StringComparison.Ordinal);
        int at = service.LastIndexOf('@');
        return new EdgeHost(
            slash < 0 ? name : name[..slash],
            slash < 0 ? "/" : name[slash..],
            at < 0 ? service : service[..at],
            at < 0 ? null : service[(at + 1)..].ToLowerInvariant(),
            value.Place.ToString());
    }

    private static ConsulOptions Consul(SchemaReader read) => new()
    {
        Address = read.Get<Uri>("catalog.consul.address"),
        TokenFile = read.Get<string?>("catalog.consul.tokenFile"),
        Datacenter = read.Get<string?>("catalog.consul.datacenter"),
        Stale = read.Get<bool>("catalog.consul.stale"),
        Wait = read.Get<TimeSpan>("catalog.consul.wait"),
        TlsCa = read.Get<string?>("catalog.consul.tls.ca"),
        TlsCertificate = read.Get<string?>("catalog.consul.tls.cert"),
        TlsKey = read.Get<string?>("catalog.consul.tls.key"),
    };

    private static PlanningOptions Planning(SchemaReader read)
    {
        PlanningOptions defaults = new();
        EquatableArray<EdgeListener> edge = read.Written.ContainsKey("external") ? Edge(read).Listeners : [];
        return defaults with
        {
            DefaultEnvironment = read.Get<string>("defaultEnvironment"),
            Environments =
            [
                .. read.Entries["environments"].Select(e => new EnvironmentRule(
                    e.Name,
                    read.Get<string>($"environments.{e.Name}.port"),
                    read.Get<string>($"environments.{e.Name}.host"))),
            ],
            Services = [.. read.Services.Select(Service)],
            Edge = edge.Count > 0,
            EdgeListeners = edge,
            EdgeHosts = read.Entries.TryGetValue("external.hosts", out List<(string Name, Place Place)>? hosts)
                ? [.. hosts.Select(h => EdgeHost(h.Name, read.Find($"external.hosts.{h.Name}")!))]
                : [],
            Static =
            [
                .. read.Static.Select(s => new StaticService(
                    s.Name, read.Get<int>($"static.{s.Name}.port"), Strings(read, $"static.{s.Name}.servers"), s.Entries, s.Place.ToString())),
            ],

            // What we are bound to is ourselves, whatever name an instance gives it.
            OwnAddresses =
            [
                .. defaults.OwnAddresses.AsEnumerable()
                    .Union(Strings(read, "internal.addresses").AsEnumerable().Where(IsOneAddress)),
            ],
        };
    }

    private static ServiceSettings Service(ReadService service)
    {
        int at = service.Name.LastIndexOf('@');
        return at < 0
            ? new ServiceSettings(service.Name, null, service.Entries)
            : new ServiceSettings(service.Name[..at], service.Name[(at + 1)..].ToLowerInvariant(), service.Entries);
    }

    private static bool IsOneAddress(string text) => IPAddress.TryParse(text, out _) && text is not ("0.0.0.0" or "::");

    private static EquatableArray<string> Strings(SchemaReader read, string path) =>
        [.. read.Get<List<object>>(path).Cast<string>()];
}
