using System.Globalization;
using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>One value in force and where it comes from.</summary>
/// <param name="Key">A key of a <c>services</c> entry.</param>
/// <param name="Value">As it would be written.</param>
/// <param name="From"><c>default</c>, <c>tag …</c>, <c>meta …</c>, or the place in the file or the variable.</param>
internal sealed record EffectiveSetting(string Key, string Value, string From);

/// <summary>
/// Tells where each value of a cluster comes from. Read again from the facts and options of the plan in force, by the same steps as
/// the planner, only when somebody asks: a plan that carried it would differ whenever a line of the file moved.
/// </summary>
internal sealed class SettingOrigins(PlanningOptions options)
{
    private const string Default = "default";

    private readonly PlanContext _context = new(options);

    /// <summary>Every value of a cluster, in the order of the keys.</summary>
    public IReadOnlyList<EffectiveSetting> Of(ClusterPlan cluster, IEnumerable<CatalogSnapshot> catalogs)
    {
        string?[] slots = new string?[ClusterSettings.Slots];
        string?[] from = new string?[ClusterSettings.Slots];
        if (StaticOf(cluster) is { } service)
        {
            StaticServices.ReadSettings(service, slots, from);
            from[(int)SettingSlot.CheckRise] ??= "default of static services";
            from[(int)SettingSlot.CheckFall] ??= "default of static services";
        }
        else
        {
            FromCatalog(cluster, catalogs, slots, from);
            _context.File.Overlay(cluster.Service, cluster.Environment, slots, from);
        }

        List<EffectiveSetting> result = [];
        for (int i = 0; i < slots.Length; i++)
        {
            if ((SettingSlot)i != SettingSlot.Weight || slots[i] is not null)
            {
                result.Add(Effective(cluster, (SettingSlot)i, slots[i], from[i] ?? Default));
            }
        }

        return result;
    }

    private StaticService? StaticOf(ClusterPlan cluster) =>
        cluster.Environment == StaticServices.Environment && !_context.EnvironmentIndexes.ContainsKey(cluster.Environment)
            ? options.Static.AsEnumerable().FirstOrDefault(s => s.Name == cluster.Service)
            : null;

    private void FromCatalog(ClusterPlan cluster, IEnumerable<CatalogSnapshot> catalogs, string?[] slots, string?[] from)
    {
        List<Instance> instances = [];
        foreach (CatalogSnapshot catalog in catalogs)
        {
            if (catalog.Services.TryGetValue(cluster.Service, out Service? service))
            {
                instances.AddRange(service.Instances);
            }
        }

        ServiceDraft draft = new(_context, cluster.Service, instances, anyway: true);
        List<InstanceDraft> members = ServiceReader.MembersOf(_context, draft, cluster.Environment, cluster.Id);
        InstanceVote.Count(draft, members, cluster.Id, slots);
        for (int i = 0; i < slots.Length; i++)
        {
            if (slots[i] is { } value)
            {
                from[i] = Speakers(members, (SettingSlot)i, value) ?? $"{Default} (of most instances)";
            }
        }

        // Weight is an instance's own: it has as many values as the instances give it.
        string[] weights = [.. members.Select(m => m.Values?[(int)SettingSlot.Weight]).OfType<string>().Distinct(StringComparer.Ordinal)];
        if (weights.Length > 0)
        {
            slots[(int)SettingSlot.Weight] = weights.Length == 1 ? weights[0] : "differs";
            from[(int)SettingSlot.Weight] = Speakers(members, SettingSlot.Weight, weights[0]);
        }
    }

    // Who says it, and by which tag or Meta entry; null where nobody does.
    private string? Speakers(List<InstanceDraft> members, SettingSlot slot, string value)
    {
        InstanceDraft[] speakers = [.. members.Where(m => m.Values?[(int)slot] == value)];
        if (speakers.Length == 0)
        {
            return null;
        }

        Instance first = speakers[0].Instance;
        string? tag = first.Tags.AsEnumerable().FirstOrDefault(t => Says(_context.Grammar.Read(t), slot, value));
        MetaEntry meta = first.Meta.AsEnumerable().FirstOrDefault(m => Says(TagGrammar.ReadMeta(m.Key, m.Value), slot, value));
        string others = speakers.Length switch
        {
            1 => "",
            2 => " and 1 other",
            _ => string.Create(CultureInfo.InvariantCulture, $" and {speakers.Length - 1} others"),
        };
        return $"{(tag is not null ? $"tag {tag.Trim()}" : $"meta {meta.Key}={meta.Value}")} ({first.Key}{others})";
    }

    private static bool Says(Tag tag, SettingSlot slot, string value) =>
        tag.Kind == TagKind.Setting && tag.Slot == slot && tag.Value == value;

    private static EffectiveSetting Effective(ClusterPlan cluster, SettingSlot slot, string? text, string from)
    {
        string value = text ?? ClusterSettings.DefaultOf(slot);
        return slot switch
        {
            SettingSlot.Check when value[0] == '/' => new EffectiveSetting("check.http", value, from),
            SettingSlot.Check when value == "auto" && cluster.Check.Kind == CheckKind.Tcp =>
                new EffectiveSetting("check", "tcp", $"{from} (auto, of a TCP service)"),
            SettingSlot.CheckFastInterval when Units.Duration(cluster.Check.FastInterval) != value =>
                new EffectiveSetting("check.fastInterval", Units.Duration(cluster.Check.FastInterval), $"{from}, not above check.interval"),
            SettingSlot.Protocol when cluster.Environment == StaticServices.Environment && value == "auto" =>
                new EffectiveSetting("protocol", cluster.Protocol == ListenProtocol.Tcp ? "tcp" : "http", from),
            _ => new EffectiveSetting(ClusterSettings.NameOf(slot), value, from),
        };
    }
}
