using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>What one set of options comes down to, worked out once for all services.</summary>
internal sealed class PlanContext
{
    /// <summary>An instance's environments are one 64-bit mask.</summary>
    public const int EnvironmentsMax = 64;

    private readonly List<Problem> _problems = [];

    public PlanContext(PlanningOptions options)
    {
        Options = options;
        Dictionary<string, int> byName = new(StringComparer.OrdinalIgnoreCase);
        List<EnvironmentRule> environments = [];
        foreach (EnvironmentRule rule in options.Environments.AsSpan())
        {
            // A cluster id is SERVICE@ENV or SERVICE@ENV:PORT, and services are called anything: only because no environment has
            // an @ or a : in its name, no two clusters can have the same id.
            if (!IsName(rule.Name) || environments.Count == EnvironmentsMax || IsStatic(rule.Name, options))
            {
                _problems.Add(new Problem
                {
                    Code = ProblemCodes.EnvironmentUnknown,
                    Place = "environments",
                    Value = rule.Name,
                    Allowed = $"a name of letters, digits, - and _; {EnvironmentsMax} environments at most; not static beside static services",
                    Now = "environment ignored; rename or remove it",
                });
            }
            else if (byName.TryAdd(rule.Name, environments.Count))
            {
                environments.Add(rule);
            }
        }

        Environments = environments;
        PortRules = [.. environments.Select(e => new PortRule(e.Port))];
        EnvironmentNames = string.Join(", ", environments.Select(e => e.Name));
        DefaultEnvironment = byName.GetValueOrDefault(options.DefaultEnvironment, -1);
        EnvironmentIndexes = byName;
        Grammar = new TagGrammar(byName);
        File = new FileSettings(options);
        Addresses = new InstanceAddresses(options.OwnAddresses);
        _problems.AddRange(File.Problems);
        Hosts = new FileHosts(options, byName);
        _problems.AddRange(Hosts.Problems);
        EdgeListeners = EdgeListenersOf(options);
    }

    /// <summary>What is wrong. The config room refuses such a file; an embedding program may not have asked.</summary>
    public IReadOnlyList<Problem> Problems => _problems;

    /// <summary>The options themselves.</summary>
    public PlanningOptions Options { get; }

    /// <summary>Environments in the order of the file, each name once.</summary>
    public IReadOnlyList<EnvironmentRule> Environments { get; }

    /// <summary>Their port rules, ready to use.</summary>
    public IReadOnlyList<PortRule> PortRules { get; }

    /// <summary>Their names, for messages.</summary>
    public string EnvironmentNames { get; }

    /// <summary>Index by name, without case.</summary>
    public IReadOnlyDictionary<string, int> EnvironmentIndexes { get; }

    /// <summary>Index of the default environment; -1 when the options name one that they do not define.</summary>
    public int DefaultEnvironment { get; }

    /// <summary>Reads tags.</summary>
    public TagGrammar Grammar { get; }

    /// <summary>Hand tuning.</summary>
    public FileSettings File { get; }

    /// <summary>Hosts of the edge from the file.</summary>
    public FileHosts Hosts { get; }

    /// <summary>Listeners of the edge, by key.</summary>
    public IReadOnlyList<ListenerPlan> EdgeListeners { get; }

    /// <summary>Judges addresses.</summary>
    public InstanceAddresses Addresses { get; }

    // Clusters of static services are called NAME@static.
    private static bool IsStatic(string name, PlanningOptions options) =>
        options.Static.Count > 0 && name.Equals(StaticServices.Environment, StringComparison.OrdinalIgnoreCase);

    /// <summary>Whether an environment may be called that.</summary>
    public static bool IsName(string name) =>
        name.Length is > 0 and <= 63 && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_');

    private static ListenerPlan[] EdgeListenersOf(PlanningOptions options) =>
    [
        .. options.EdgeListeners.AsEnumerable()
            .Select(l => new ListenerPlan
            {
                Key = new ListenerKey(l.Address, l.Port),
                Protocol = ListenProtocol.Http,
                Tls = l.Tls,
                Service = "",
                Environment = "",
                Cluster = "",
            })
            .DistinctBy(l => l.Key)
            .Order(Comparer<ListenerPlan>.Create(PlanOrder.Listeners)),
    ];
}
