using System.Globalization;
using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>A listen tag of a service: the union over its instances.</summary>
internal readonly record struct ListenTag(int Port, ListenProtocol Protocol, InstanceKey Carrier)
{
    /// <summary>The tag in its one spelling.</summary>
    public string Text => string.Create(
        CultureInfo.InvariantCulture, $"internal-listen-{(Protocol == ListenProtocol.Http ? "http" : "tcp")}-{Port}");
}

/// <summary>A host tag of a service: the union over its instances.</summary>
internal sealed record HostTag(string Host, string Prefix)
{
    /// <summary>Instances that carry it, by identity.</summary>
    public List<InstanceDraft> Carriers { get; } = [];

    /// <summary>The tag in its one spelling.</summary>
    public string Text => $"external-host-{Host}{(Prefix == "/" ? "" : Prefix)}";
}

/// <summary>One instance with everything its tags and Meta say.</summary>
internal sealed class InstanceDraft(Instance instance)
{
    public Instance Instance { get; } = instance;

    /// <summary>Environments it is a member of, a bit per index in the options.</summary>
    public ulong Environments { get; set; }

    /// <summary>Whether it is a member of an environment.</summary>
    public bool IsIn(int environment) => (Environments & (1UL << environment)) != 0;

    /// <summary>Values by slot, Meta below tags; null when it says nothing at all.</summary>
    public string?[]? Values { get; set; }

    /// <summary>Left out of every cluster.</summary>
    public bool Out { get; set; }

    /// <summary>Registered on one of our own addresses.</summary>
    public bool Own { get; set; }

    /// <summary>The port at the end of its service id, or 0: registrators put the container's port there.</summary>
    public int IdPort { get; set; }
}

/// <summary>
/// The first half of reading a service, instance by instance: tags and Meta, environment, address. The invariant: whatever is
/// wrong with one tag or one instance becomes a problem and changes nothing else.
/// </summary>
internal sealed class ServiceDraft
{
    private readonly PlanContext _context;

    // Most services have one listen tag and nothing wrong with them: what they do not need is not made.
    private readonly List<ListenTag> _listens = new(1);
    private Dictionary<(string Host, string Prefix), HostTag>? _hosts;
    private HashSet<(int Port, ListenProtocol Protocol)>? _listenSeen;
    private HashSet<Problem>? _problems;
    private bool _ours;

    /// <summary>Reads every instance.</summary>
    /// <param name="context">The options.</param>
    /// <param name="service">Name of the service.</param>
    /// <param name="instances">Its instances in the order of the catalogs.</param>
    /// <param name="anyway">Judge environments and addresses although nobody asks for anything (any more).</param>
    public ServiceDraft(PlanContext context, string service, IReadOnlyList<Instance> instances, bool anyway = false)
    {
        _context = context;
        Service = service;
        Rules = context.Hosts.Of(service);
        _ours = Rules.Count > 0;
        Instances = new List<InstanceDraft>(instances.Count);
        foreach (InstanceDraft instance in Sorted(instances))
        {
            ReadTags(instance);
            ReadMeta(instance);
        }

        if (!_ours && !anyway)
        {
            // Nobody asked for anything: how such services name their tags and addresses is none of our business.
            return;
        }

        JudgeEnvironments();
        JudgeAddresses();
        if (_listens.Count > 1)
        {
            _listens.Sort(static (a, b) => a.Port != b.Port ? a.Port.CompareTo(b.Port) : a.Protocol.CompareTo(b.Protocol));
        }

        if (_hosts is not null)
        {
            Hosts = [.. _hosts.Values.OrderBy(h => h.Host, StringComparer.Ordinal).ThenBy(h => h.Prefix, StringComparer.Ordinal)];
        }
    }

    /// <summary>Name of the service.</summary>
    public string Service { get; }

    /// <summary>Instances by identity, each once.</summary>
    public List<InstanceDraft> Instances { get; }

    /// <summary>Listen tags by port, HTTP first.</summary>
    public IReadOnlyList<ListenTag> Listens => _listens;

    /// <summary>Host tags by host and prefix.</summary>
    public IReadOnlyList<HostTag> Hosts { get; } = [];

    /// <summary>Hosts that the file gives to this service.</summary>
    public IReadOnlyList<EdgeHost> Rules { get; }

    /// <summary>Whether nobody asked for anything.</summary>
    public bool AsksForNothing => _listens.Count == 0 && _hosts is null && Rules.Count == 0;

    /// <summary>What is wrong so far.</summary>
    public IReadOnlyCollection<Problem> Problems => _problems ?? (IReadOnlyCollection<Problem>)[];

    /// <summary>Adds a problem of the service or of one instance.</summary>
    public void Report(string code, InstanceKey? instance, string place, string? value, string? allowed, string now) =>
        (_problems ??= []).Add(new Problem
        {
            Code = code,
            Service = Service,
            Instance = instance?.ToString(),
            Place = place,
            Value = value,
            Allowed = allowed,
            Now = now,
        });

    // Catalogs are in the order of configuration, so of two descriptions of one instance the first stands.
    private List<InstanceDraft> Sorted(IReadOnlyList<Instance> instances)
    {
        foreach (Instance instance in instances)
        {
            Instances.Add(new InstanceDraft(instance));
        }

        for (int i = 1; i < Instances.Count; i++)
        {
            if (Instances[i - 1].Instance.Key.CompareTo(Instances[i].Instance.Key) >= 0)
            {
                SortAndDeduplicate();
                break;
            }
        }

        return Instances;
    }

    private void SortAndDeduplicate()
    {
        List<InstanceDraft> sorted = [.. Instances.OrderBy(i => i.Instance.Key)];
        Instances.Clear();
        foreach (InstanceDraft draft in sorted)
        {
            if (Instances.Count == 0 || Instances[^1].Instance.Key != draft.Instance.Key)
            {
                Instances.Add(draft);
            }
            else if (Instances[^1].Instance.EndPoint != draft.Instance.EndPoint)
            {
                Report(ProblemCodes.InstanceTwice, draft.Instance.Key, "address", draft.Instance.EndPoint,
                    "one registration per node and id",
                    $"ignored; {Instances[^1].Instance.EndPoint} of the catalog named first is used");
            }
        }
    }

    private void ReadTags(InstanceDraft draft)
    {
        foreach (string raw in draft.Instance.Tags.AsSpan())
        {
            Tag tag = _context.Grammar.Read(raw);
            switch (tag.Kind)
            {
                case TagKind.Environment:
                    draft.Environments |= 1UL << tag.Environment;
                    break;
                case TagKind.Listen:
                    _ours = true;
                    AddListen(tag, draft);
                    break;
                case TagKind.Host:
                    _ours = true;
                    AddHost(tag, draft);
                    break;
                case TagKind.Setting:
                    _ours = true;
                    Say(draft, tag);
                    break;
                case TagKind.Wrong:
                    _ours = true;
                    Report(tag.Code, draft.Instance.Key, "tag", raw, tag.Allowed, tag.Now);
                    break;
                default:
                    break;
            }
        }
    }

    private void AddListen(Tag tag, InstanceDraft draft)
    {
        // One after the other while there are few; 10,000 tags on one service need better.
        if (_listenSeen is null)
        {
            foreach (ListenTag known in _listens)
            {
                if (known.Port == tag.Port && known.Protocol == tag.Protocol)
                {
                    return;
                }
            }

            if (_listens.Count == 8)
            {
                _listenSeen = [.. _listens.Select(l => (l.Port, l.Protocol))];
            }
        }

        if (_listenSeen?.Add((tag.Port, tag.Protocol)) ?? true)
        {
            _listens.Add(new ListenTag(tag.Port, tag.Protocol, draft.Instance.Key));
        }
    }

    private void AddHost(Tag tag, InstanceDraft draft)
    {
        _hosts ??= [];
        if (!_hosts.TryGetValue((tag.Host, tag.Prefix), out HostTag? host))
        {
            _hosts[(tag.Host, tag.Prefix)] = host = new HostTag(tag.Host, tag.Prefix);
        }

        if (host.Carriers.Count == 0 || host.Carriers[^1] != draft)
        {
            host.Carriers.Add(draft);
        }
    }

    // Meta counts less than tags: it fills only what they leave open.
    private void ReadMeta(InstanceDraft draft)
    {
        if (draft.Instance.Meta.Count == 0)
        {
            return;
        }

        string?[]? fromTags = draft.Values;
        draft.Values = null;
        foreach (MetaEntry entry in draft.Instance.Meta.AsSpan())
        {
            Tag tag = TagGrammar.ReadMeta(entry.Key, entry.Value);
            _ours |= tag.Kind != TagKind.Other;
            if (tag.Kind == TagKind.Setting)
            {
                Say(draft, tag);
            }
            else if (tag.Kind == TagKind.Wrong)
            {
                Report(tag.Code, draft.Instance.Key, $"meta {entry.Key}", entry.Value, tag.Allowed, tag.Now);
            }
        }

        if (draft.Values is not { } fromMeta || fromTags is null)
        {
            draft.Values ??= fromTags;
            return;
        }

        for (int i = 0; i < fromMeta.Length; i++)
        {
            fromMeta[i] = fromTags[i] ?? fromMeta[i];
        }
    }

    private void Say(InstanceDraft draft, Tag tag)
    {
        if (tag.Slot is not { } slot || tag.Value is not { } value)
        {
            return;
        }

        draft.Values ??= new string?[ClusterSettings.Slots];
        ref string? said = ref draft.Values[(int)slot];
        if (said is null || said == value)
        {
            said = value;
            return;
        }

        // The order of tags means nothing in Consul, so it must not decide.
        string loser = string.CompareOrdinal(said, value) < 0 ? value : said;
        said = loser == value ? said : value;
        Report(ProblemCodes.SettingTwice, draft.Instance.Key, ClusterSettings.NameOf(slot), loser, "one value per instance",
            "ignored; the first of its values in alphabetical order is used, so keep one");
    }

    private void JudgeEnvironments()
    {
        bool someNameOne = Instances.Exists(i => i.Environments != 0);
        foreach (InstanceDraft draft in Instances)
        {
            if (draft.Environments != 0)
            {
                continue;
            }

            string? typo = null;
            string? meant = null;
            foreach (string raw in draft.Instance.Tags.AsSpan())
            {
                if (_context.Grammar.NearMiss(raw) is { } near && (typo is null || string.CompareOrdinal(raw, typo) < 0))
                {
                    (typo, meant) = (raw, near);
                }
            }

            if (typo is not null)
            {
                LeaveOut(draft, ProblemCodes.EnvironmentUnclear, "tag", typo, _context.EnvironmentNames,
                    $"the instance takes no traffic; write '{meant}' if that is meant");
            }
            else if (someNameOne)
            {
                LeaveOut(draft, ProblemCodes.EnvironmentUnclear, "tags", null, _context.EnvironmentNames,
                    "the instance takes no traffic: others of this service carry an environment tag and it does not");
            }
            else if (_context.DefaultEnvironment < 0)
            {
                LeaveOut(draft, ProblemCodes.EnvironmentUnclear, "tags", null, _context.EnvironmentNames,
                    "the instance takes no traffic: it carries no environment tag and there is no default environment");
            }
            else
            {
                draft.Environments = 1UL << _context.DefaultEnvironment;
            }
        }
    }

    private void JudgeAddresses()
    {
        foreach (InstanceDraft draft in Instances)
        {
            Instance instance = draft.Instance;
            int colon = instance.ServiceId.LastIndexOf(':');
            draft.IdPort = colon >= 0 && Units.TryPort(instance.ServiceId.AsSpan(colon + 1), out int port) ? port : 0;

            if (instance.ServiceId.EndsWith(":udp", StringComparison.OrdinalIgnoreCase))
            {
                LeaveOut(draft, ProblemCodes.UdpUnsupported, "service id", instance.ServiceId, "a TCP or HTTP service",
                    "the instance takes no traffic: registrators mark UDP ports this way");
            }
            else if (instance.Port is < 1 or > 65535)
            {
                LeaveOut(draft, ProblemCodes.PortUnusable, "port", $"{instance.Port}", "1-65535",
                    "the instance takes no traffic; register the port it listens on");
            }
            else if (!_context.Addresses.TryJudge(instance.Address, out bool own))
            {
                LeaveOut(draft, ProblemCodes.AddressUnusable, "address", instance.Address, InstanceAddresses.AddressForm,
                    "the instance takes no traffic; register the address it listens on");
            }
            else
            {
                draft.Own = own;
            }
        }
    }

    private void LeaveOut(InstanceDraft draft, string code, string place, string? value, string allowed, string now)
    {
        draft.Out = true;
        Report(code, draft.Instance.Key, place, value, allowed, now);
    }
}
