using System.Globalization;
using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.Configuration;

/// <summary>Options as a flat list of keys and texts, so that two of them can be compared and the difference be read.</summary>
internal static class OptionsListing
{
    /// <summary>Every value that options hold, by the key of the file that sets it.</summary>
    public static IEnumerable<KeyValuePair<string, string>> Of(GatewayOptions options)
    {
        Dictionary<string, string> list = new(StringComparer.Ordinal);
        if (options.Consul is { } consul)
        {
            list["catalog.consul.address"] = consul.Address.GetLeftPart(UriPartial.Authority);
            list["catalog.consul.tokenFile"] = consul.TokenFile ?? "null";
            list["catalog.consul.datacenter"] = consul.Datacenter ?? "null";
            list["catalog.consul.stale"] = consul.Stale ? "on" : "off";
            list["catalog.consul.wait"] = Units.Duration(consul.Wait);
            list["catalog.consul.tls.ca"] = consul.TlsCa ?? "null";
            list["catalog.consul.tls.cert"] = consul.TlsCertificate ?? "null";
            list["catalog.consul.tls.key"] = consul.TlsKey ?? "null";
        }

        if (options.Embedded is { } embedded)
        {
            list["catalog.embedded.listen"] = AddressForms.Listen(embedded.Listen);
        }

        list["catalog.files"] = Text(options.Files?.Paths ?? []);
        list["catalog.guard.above"] = $"{options.Guard.AbovePercent}%";
        list["catalog.guard.minInstances"] = options.Guard.MinInstances.ToString(CultureInfo.InvariantCulture);
        list["catalog.guard.holdFor"] = Units.Duration(options.Guard.HoldFor);
        list["catalog.portGrace"] = Units.Duration(options.PortGrace);
        list["stateDirectory"] = options.StateDirectory;
        list["defaultEnvironment"] = options.Planning.DefaultEnvironment;
        foreach (EnvironmentRule rule in options.Planning.Environments)
        {
            list[$"environments.{rule.Name}.port"] = rule.Port;
            list[$"environments.{rule.Name}.host"] = rule.Host;
        }

        list["engine"] = options.Engine;
        list["internal.addresses"] = Text(options.Listening.Addresses);
        if (options.Edge is { } edge)
        {
            list["external.http"] = Text([.. edge.Listeners.AsEnumerable().Where(l => !l.Tls).Select(l => Planning.ListenerKey.Text(l.Address, l.Port))]);
            list["external.https"] = Text([.. edge.Listeners.AsEnumerable().Where(l => l.Tls).Select(l => Planning.ListenerKey.Text(l.Address, l.Port))]);
            list["external.certificates"] = edge.Certificates;
            list["external.defaultCertificate"] = edge.DefaultCertificate ?? "null";
            list["external.strictSni"] = edge.StrictSni ? "on" : "off";
            list["external.headers"] = string.Join(", ", edge.Headers.AsEnumerable().Select(h => $"{h.Name}: {h.Value}"));
            foreach (EdgeHost host in options.Planning.EdgeHosts)
            {
                list[$"external.hosts.{host.Host}{(host.PathPrefix == "/" ? "" : host.PathPrefix)}"] =
                    host.Environment is null ? host.Service : $"{host.Service}@{host.Environment}";
            }
        }

        list["trustedProxies"] = Text(options.TrustedProxies);
        foreach (ServiceSettings service in options.Planning.Services)
        {
            string name = service.Environment is null ? service.Name : $"{service.Name}@{service.Environment}";
            foreach (SettingEntry entry in service.Entries)
            {
                list[$"services.{name}.{entry.Key}"] = entry.Value;
            }
        }

        foreach (StaticService service in options.Planning.Static)
        {
            list[$"static.{service.Name}.port"] = service.Port.ToString(CultureInfo.InvariantCulture);
            list[$"static.{service.Name}.servers"] = Text(service.Servers);
            foreach (SettingEntry entry in service.Entries)
            {
                list[$"static.{service.Name}.{entry.Key}"] = entry.Value;
            }
        }

        list["limits.maxConnectionsKey"] = options.MaxConnectionsKey ?? "null";
        list["limits.maxConnections"] = options.MaxConnections.ToString(CultureInfo.InvariantCulture);
        list["admin.listen"] = AddressForms.Listen(options.Admin.Listen);
        list["admin.names"] = Text(options.Admin.Names);
        list["drain.grace"] = Units.Duration(options.Drain.Grace);
        list["drain.idle"] = Units.Duration(options.Drain.Idle);
        list["drain.timeout"] = Units.Duration(options.Drain.Timeout);
        list["upgrade.ready"] = Units.Duration(options.Upgrade.Ready);
        list["upgrade.timeout"] = Units.Duration(options.Upgrade.Timeout);
        list["log.access"] = options.Log.AccessFile is { } file ? $"{options.Log.AccessFormat} to {file}" : "off";
        return list;
    }

    private static string Text(EquatableArray<string> values) => $"[{string.Join(", ", values.AsEnumerable())}]";
}
