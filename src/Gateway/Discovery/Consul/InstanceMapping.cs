using Gateway.Catalog;

namespace Gateway.Discovery.Consul;

/// <summary>Consul's answer about one service, as facts.</summary>
internal static class InstanceMapping
{
    private static readonly WireWeights DefaultWeights = new(1, 1);

    /// <summary>Maps the answer. Instances that are as before are the same objects, and so is the service where all are.</summary>
    /// <param name="name">What was asked for.</param>
    /// <param name="entries">What came.</param>
    /// <param name="before">What was known.</param>
    /// <param name="wrong">Why this cannot be the answer, or null.</param>
    public static Service Map(string name, List<WireEntry> entries, Service? before, out string? wrong)
    {
        wrong = null;
        List<Instance> instances = new(entries.Count);
        foreach (WireEntry? entry in entries)
        {
            if (entry?.Service is not { Service: { } service, Id: { Length: > 0 } id } || entry.Node?.Node is not { Length: > 0 } node)
            {
                // Leaving it out would be a removal, and an error removes nothing.
                wrong = "an entry without node, service or id";
                break;
            }

            if (string.Equals(service, name, StringComparison.Ordinal))
            {
                instances.Add(Map(name, node, id, entry));
            }
            else if (!string.Equals(service, name, StringComparison.OrdinalIgnoreCase))
            {
                wrong = $"instance '{node}/{id}' of service '{service}'";
                break;
            }

            // Consul looks names up without case: asked for 'web' it returns the instances of 'Web' too. They have their own read.
        }

        return Merge(name, instances, before);
    }

    /// <summary>What was known and what is new, without what is gone or different: all that a doubtful answer may change.</summary>
    public static Service Additions(Service? before, Service next)
    {
        if (before is null)
        {
            return next;
        }

        HashSet<InstanceKey> known = [.. before.Instances.Select(i => i.Key)];
        return Merge(next.Name, [.. before.Instances, .. next.Instances.Where(i => !known.Contains(i.Key))], before);
    }

    /// <summary>Whether <paramref name="next"/> holds everything of <paramref name="before"/> unchanged.</summary>
    public static bool OnlyAdds(Service? before, Service next) => before is null || Additions(before, next).Equals(next);

    private static Service Merge(string name, List<Instance> instances, Service? before)
    {
        Dictionary<InstanceKey, Instance> old = before?.Instances.ToDictionary(i => i.Key) ?? [];
        SortedDictionary<InstanceKey, Instance> sorted = [];
        foreach (Instance instance in instances)
        {
            sorted[instance.Key] = old.TryGetValue(instance.Key, out Instance? same) && same.Equals(instance) ? same : instance;
        }

        Service next = new(name, sorted.Values.ToEquatableArray());
        return next.Equals(before) ? before! : next;
    }

    private static Instance Map(string name, string node, string id, WireEntry entry)
    {
        WireService service = entry.Service!;
        WireWeights weights = service.Weights ?? DefaultWeights;
        return new Instance
        {
            Service = name,
            Node = node,
            ServiceId = id,
            Address = string.IsNullOrEmpty(service.Address) ? entry.Node!.Address ?? "" : service.Address,
            Port = Clamp(service.Port),
            Tags = service.Tags is null ? [] : service.Tags.OfType<string>().ToEquatableArray(),
            Meta = service.Meta is null
                ? []
                : service.Meta.Select(m => new MetaEntry(m.Key, m.Value ?? ""))
                    .OrderBy(m => m.Key, StringComparer.Ordinal).ToEquatableArray(),
            Health = WorstOf(id, entry.Checks ?? []),
            WeightPassing = Clamp(Math.Max(weights.Passing, 0)),
            WeightWarning = Clamp(Math.Max(weights.Warning, 0)),
            CreateIndex = service.CreateIndex,
        };
    }

    private static int Clamp(long number) => (int)Math.Clamp(number, int.MinValue, int.MaxValue);

    /// <summary>Node checks (no service id) and the instance's own; maintenance is said by the id of a check that is critical.</summary>
    private static ReportedHealth WorstOf(string id, List<WireCheck?> checks)
    {
        ReportedHealth worst = ReportedHealth.Unchecked;
        foreach (WireCheck? check in checks)
        {
            if (check is null || !(string.IsNullOrEmpty(check.ServiceId) || check.ServiceId == id))
            {
                continue;
            }

            if (check.CheckId is { } name
                && (name == "_node_maintenance" || name.StartsWith("_service_maintenance:", StringComparison.Ordinal)))
            {
                return ReportedHealth.Maintenance;
            }

            // A status that we do not know is no reason to send traffic.
            ReportedHealth health = check.Status switch
            {
                "passing" => ReportedHealth.Passing,
                "warning" => ReportedHealth.Warning,
                "maintenance" => ReportedHealth.Maintenance,
                _ => ReportedHealth.Critical,
            };
            worst = worst == ReportedHealth.Unchecked || health > worst ? health : worst;
        }

        return worst;
    }
}
