using System.Globalization;
using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>
/// Services that the file describes itself (<c>static</c>): what is well known and must be reachable while no catalog is. In:
/// options. Out: the same claims as a service of the catalog makes, except that they win every port but Gateway's own, that the
/// port is literal, and that nobody votes on settings. The environment is called <c>static</c>.
/// </summary>
internal sealed class StaticServices
{
    /// <summary>The environment of every static service; no other environment may be called so while there is one.</summary>
    public const string Environment = "static";

    /// <summary>What <c>protocol</c> takes here, beside what the grammar knows: these two say what the port speaks.</summary>
    public const string ProtocolForm = "http, tcp, http1, h2c";

    // HAProxy's own defaults: masters are few, and one slow answer must not take one of them out.
    private const string Rise = "2";
    private const string Fall = "3";

    private readonly PlanContext _context;
    private readonly List<Problem> _problems = [];

    /// <summary>Reads all of them. Parts that equal those of <paramref name="before"/> are the same objects as there.</summary>
    public StaticServices(PlanContext context, StaticServices? before)
    {
        _context = context;
        List<MemoEntry> entries = [];
        HashSet<string> names = new(StringComparer.Ordinal);
        foreach (StaticService service in context.Options.Static.AsSpan())
        {
            if (!names.Add(service.Name) || service.Port is < 1 or > 65535)
            {
                bool twice = service.Port is >= 1 and <= 65535;
                _problems.Add(Wrong(
                    service, twice ? ProblemCodes.StaticTwice : ProblemCodes.PortInvalid, service.Place,
                    twice ? service.Name : $"{service.Port}", twice ? "one entry per name" : "a port of 1-65535", "entry ignored"));
                continue;
            }

            ServiceClaims? old = before?.Entries.FirstOrDefault(e => e.Claims.Service == service.Name)?.Claims;
            entries.Add(new MemoEntry([], Read(service, old)));
        }

        Entries = entries;
    }

    /// <summary>What each asks for, in the order of the file.</summary>
    public IReadOnlyList<MemoEntry> Entries { get; }

    /// <summary>Entries that were ignored.</summary>
    public IReadOnlyList<Problem> Problems => _problems;

    /// <summary>Null when a setting of a static entry is fine, else what is wrong with it.</summary>
    public static string? Check(string key, string value) => key == "protocol"
        ? IsProtocol(value) || SettingGrammar.Check(key, value) is null
            ? null
            : $"protocol '{value}' is not allowed; allowed is {ProtocolForm}"
        : SettingGrammar.Check(key, value);

    /// <summary>Reads the settings of an entry into slots, with where each was written; defaults of static services included.</summary>
    public static ListenProtocol ReadSettings(
        StaticService service, Span<string?> slots, string?[]? places = null, Action<SettingEntry, SettingKey?, SettingFault>? wrong = null)
    {
        ListenProtocol protocol = ListenProtocol.Http;
        foreach (SettingEntry entry in service.Entries.AsSpan())
        {
            if (entry.Key == "protocol" && IsProtocol(entry.Value))
            {
                protocol = entry.Value.Equals("tcp", StringComparison.OrdinalIgnoreCase) ? ListenProtocol.Tcp : ListenProtocol.Http;
                if (places is not null)
                {
                    places[(int)SettingSlot.Protocol] = entry.Place;
                }

                continue;
            }

            SettingKey? key = SettingGrammar.Find(entry.Key);
            SettingReading reading = key?.Read(entry.Value) ?? SettingReading.Invalid;
            if (reading.Fault != SettingFault.None)
            {
                wrong?.Invoke(entry, key, reading.Fault);
            }
            else if (key?.Slot is { } slot && reading.Canonical is { } canonical)
            {
                slots[(int)slot] = canonical;
                if (places is not null)
                {
                    places[(int)slot] = entry.Place;
                }
            }
        }

        slots[(int)SettingSlot.CheckRise] ??= Rise;
        slots[(int)SettingSlot.CheckFall] ??= Fall;
        return protocol;
    }

    private static bool IsProtocol(string value) =>
        value.Equals("http", StringComparison.OrdinalIgnoreCase) || value.Equals("tcp", StringComparison.OrdinalIgnoreCase);

    private ServiceClaims Read(StaticService service, ServiceClaims? before)
    {
        // 1. Settings, of this entry alone: `services` speaks of the catalog.
        List<Problem> problems = [];
        string?[] slots = new string?[ClusterSettings.Slots];
        ListenProtocol protocol = ReadSettings(service, slots, places: null, (entry, key, fault) => problems.Add(Wrong(
            service, SettingGrammar.CodeOf(key, fault), entry.Place, $"{entry.Key}: {entry.Value}",
            entry.Key == "protocol" ? ProtocolForm : key?.Allowed ?? SettingGrammar.NearestOrAll(entry.Key), "value ignored; the entry's other values stand")));
        ClusterSettings settings = ClusterSettings.From(slots);
        int weight = slots[(int)SettingSlot.Weight] is { } set ? int.Parse(set, CultureInfo.InvariantCulture) : 1;

        // 2. Servers, each an instance of its own: its health outlives changes of the entry.
        SortedDictionary<InstanceKey, DestinationPlan> destinations = [];
        HashSet<int> ownPorts = [];
        foreach (string server in service.Servers.AsSpan())
        {
            int colon = server.LastIndexOf(':');
            string address = colon < 0 ? server : server[..colon].Trim('[', ']');
            if (colon < 0 || !Units.TryPort(server.AsSpan(colon + 1), out int port)
                || !_context.Addresses.TryJudge(address, out bool own))
            {
                problems.Add(Wrong(
                    service, ProblemCodes.AddressUnusable, service.Place, server, "HOST:PORT or [V6]:PORT", "server ignored; the others stand"));
                continue;
            }

            InstanceKey key = new(Environment, $"{service.Name}-{server}");
            destinations[key] = new DestinationPlan { Instance = key, Address = address, Port = port, Weight = weight };
            _ = own && ownPorts.Add(port);
        }

        // 3. One cluster, one port.
        string id = $"{service.Name}@{Environment}";
        ClusterPlan[] clusters =
        [
            new ClusterPlan
            {
                Id = id,
                Service = service.Name,
                Environment = Environment,
                Protocol = protocol,
                Balance = settings.Balance,
                Upstream = settings.Upstream,
                Check = protocol == ListenProtocol.Tcp && settings.Check.Kind == CheckKind.Auto
                    ? settings.Check with { Kind = CheckKind.Tcp }
                    : settings.Check,
                Timeouts = settings.Timeouts,
                ForwardedFor = settings.ForwardedFor,
                Destinations = destinations.Values.ToEquatableArray(),
            },
        ];
        ListenerKey listener = new(ListenerKey.Internal, service.Port);
        ServiceClaims claims = new()
        {
            Service = service.Name,
            Seniority = ulong.MaxValue,
            StaticPlace = service.Place,
            Clusters = before is null ? clusters : Reuse.Clusters(clusters, before.Clusters),
            Ports =
            [
                new Claim
                {
                    Listener = new ListenerPlan
                    {
                        Key = listener, Protocol = protocol, Service = service.Name, Environment = Environment, Cluster = id,
                    },
                    Route = protocol == ListenProtocol.Http ? new RoutePlan { Listener = listener, Host = "*", Cluster = id } : null,
                    Cluster = 0,
                    Environment = -1,
                    Populated = true,
                    Carrier = default,
                },
            ],
            Problems = problems,
            OwnPorts = ownPorts,
        };
        claims.Sign();
        if (before is not null)
        {
            Reuse.Claims(claims.Ports, before.Ports);
        }

        return claims;
    }

    private static Problem Wrong(StaticService service, string code, string place, string? value, string allowed, string now) => new()
    {
        Code = code,
        Service = service.Name,
        Place = place,
        Value = value,
        Allowed = allowed,
        Now = now,
    };
}
