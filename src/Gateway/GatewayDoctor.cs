using System.Globalization;
using System.Net;
using Gateway.Admin;
using Gateway.Admin.Doctor;
using Gateway.Catalog;
using Gateway.Configuration;
using Gateway.Control;
using Gateway.DataPlane.Listening;
using Gateway.Discovery.Consul;
using Gateway.Lifecycle;
using Gateway.Planning;

namespace Gateway;

/// <summary>
/// What <c>gateway doctor</c> does where no gateway answers: looks at the machine, the configuration and Consul, for what keeps one
/// from running. Binds nothing and changes nothing. A running gateway answers <c>/api/v1/doctor</c> itself.
/// </summary>
public static class GatewayDoctor
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);

    /// <summary>Looks, for two seconds and a bit at most.</summary>
    /// <param name="configPath">File named by the operator; null: <c>/etc/gateway/gateway.yaml</c> if it exists, else the defaults.</param>
    /// <param name="stateDirectory">State directory named by the operator; null: that of the configuration.</param>
    /// <param name="socket">The socket at which no gateway answered.</param>
    /// <param name="reason">Why it did not, in words.</param>
    /// <param name="cancel">Ends the look.</param>
    public static Task<DoctorView> LookAsync(
        string? configPath, string? stateDirectory, string socket, string reason, CancellationToken cancel = default) =>
        LookAsync(
            GatewayConfiguration.Load(configPath, GatewayConfiguration.ProcessEnvironment()), stateDirectory, socket, reason,
            new HostReader(), endPoints => new PortOwners().Find(endPoints), TimeProvider.System, cancel);

    /// <summary>As the other, on a machine that a test lays out.</summary>
    internal static async Task<DoctorView> LookAsync(
        ConfigurationResult loaded,
        string? stateDirectory,
        string socket,
        string reason,
        HostReader host,
        Func<IReadOnlyCollection<IPEndPoint>, IReadOnlyDictionary<IPEndPoint, PortOwner>> owners,
        TimeProvider clock,
        CancellationToken cancel)
    {
        Diagnosis diagnosis = new();
        GatewayOptions? options = loaded.Options;
        string state = stateDirectory ?? options?.StateDirectory ?? Path.GetDirectoryName(Path.GetDirectoryName(socket)) ?? "/";
        Unreachable(diagnosis, state, socket, reason);
        Configuration(diagnosis, loaded);
        State(diagnosis, state);
        LastKnownGood? restored = Restored(diagnosis, state);
        List<WantedPort> ports = [];
        if (options is not null)
        {
            ports = Ports(diagnosis, options, restored, owners);
            await ConsulAsync(diagnosis, options, clock, cancel);
        }

        HostChecks.Judge(diagnosis, host.Read(state), state, ports);
        return diagnosis.View(clock.GetUtcNow(), reached: false);
    }

    /// <summary>Ports that Gateway needs for itself.</summary>
    internal static IReadOnlyList<WantedPort> OwnPortsOf(GatewayOptions options) =>
    [
        new WantedPort(options.Admin.Listen.Port, "admin"),
        .. options.Embedded is { } embedded ? [new WantedPort(embedded.Listen.Port, "embedded catalog")] : Array.Empty<WantedPort>(),
    ];

    private static void Unreachable(Diagnosis diagnosis, string state, string socket, string reason)
    {
        int? pid = InstanceLock.Holder(state) is { } holder && Directory.Exists(string.Create(CultureInfo.InvariantCulture, $"/proc/{holder}")) ? holder : null;
        diagnosis.Saw("gateway", $"none answers at {socket}");
        diagnosis.Found(
            ProblemCodes.GatewayUnreachable, socket, reason,
            pid is null ? "nothing is served by it; what follows was found without it" : $"pid {pid} was the last to hold this state directory, and a process has that pid; what follows was found without asking it",
            @do: pid is null ? null : $"see the log of pid {pid}; be its user or root; where it hangs, end it and start it again");
    }

    private static void Configuration(Diagnosis diagnosis, ConfigurationResult loaded)
    {
        int errors = loaded.Diagnostics.Count(d => d.Severity == DiagnosticSeverity.Error);
        diagnosis.Saw("configuration", $"{loaded.File ?? "defaults (no file)"}, {errors} errors, {loaded.Diagnostics.Count - errors} warnings");
        foreach (Diagnostic finding in loaded.Diagnostics)
        {
            bool error = finding.Severity == DiagnosticSeverity.Error;
            diagnosis.Found(
                error ? ProblemCodes.ConfigurationInvalid : ProblemCodes.ConfigurationDoubtful, finding.Place, finding.Message,
                error ? "a gateway started now would exit 2; a running one refuses to reload and goes on" : "it is accepted");
        }
    }

    private static void State(Diagnosis diagnosis, string state)
    {
        string user = Environment.UserName;
        if (StateDirectory.PathProblem(state) is { } tooLong)
        {
            diagnosis.Found(ProblemCodes.StateDirectoryUnusable, state, tooLong, "a gateway started now would exit 2");
            return;
        }

        string run = Path.Combine(state, "run");
        try
        {
            if (File.Exists(state))
            {
                diagnosis.Found(ProblemCodes.StateDirectoryUnusable, state, "it is a file, not a directory", "a gateway started now would exit 2");
            }
            else if (Directory.Exists(state))
            {
                StateDirectory.TestWrite(state);
            }

            const UnixFileMode Others = UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.GroupExecute
                | UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute;
            if (!OperatingSystem.IsWindows() && Directory.Exists(run) && (File.GetUnixFileMode(run) & Others) is not UnixFileMode.None and var open)
            {
                diagnosis.Found(
                    ProblemCodes.StateDirectoryOpen, run, $"'{open}' may others than its owner; allowed is 0700",
                    "the next start sets it right", @do: $"chmod 700 {run}");
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            diagnosis.Found(
                ProblemCodes.StateDirectoryUnusable, state, $"user {user}, who asks, cannot write there: {e.Message.TrimEnd('.')}",
                "a gateway started by that user would exit 2", @do: $"ask as Gateway's user; if {user} is, chown -R {user} {state}");
        }
    }

    private static LastKnownGood? Restored(Diagnosis diagnosis, string state)
    {
        LastKnownGood? good = new LastKnownGoodFiles(Path.Combine(state, "catalog-lkg")).Load(out IReadOnlyList<Problem> problems);
        foreach (Problem problem in problems)
        {
            diagnosis.Found(problem, null);
        }

        diagnosis.Saw("last known good", good is null ? "none" : string.Join(", ", good.Sources.Select(s => string.Create(
            CultureInfo.InvariantCulture, $"{s.Catalog.Services.Count} services of {s.Name} from {s.At.UtcDateTime:yyyy-MM-dd HH:mm:ss} UTC"))));
        return good;
    }

    private static List<WantedPort> Ports(
        Diagnosis diagnosis, GatewayOptions options, LastKnownGood? restored,
        Func<IReadOnlyCollection<IPEndPoint>, IReadOnlyDictionary<IPEndPoint, PortOwner>> owners)
    {
        IReadOnlyList<IPAddress> addresses = BindAddresses.Resolve(options.Listening, BindAddresses.OfInterface).Addresses;
        Dictionary<IPEndPoint, string> wanted = new() { [options.Admin.Listen] = "admin" };
        if (options.Embedded is { } embedded)
        {
            wanted.TryAdd(embedded.Listen, "embedded catalog");
        }

        foreach (EdgeListener edge in options.Edge?.Listeners ?? [])
        {
            wanted.TryAdd(new IPEndPoint(edge.Address == "*" ? IPAddress.Any : IPAddress.Parse(edge.Address), edge.Port), "edge");
        }

        IEnumerable<(int Port, string Whose)> services =
        [
            .. options.Planning.Static.AsEnumerable().Select(s => (s.Port, $"static service {s.Name}")),
            .. restored?.Listeners.AsEnumerable().Where(l => !l.Key.IsEdge).Select(l => (l.Key.Port, $"service {l.Service}")) ?? [],
        ];
        foreach ((int port, string whose) in services)
        {
            foreach (IPAddress address in addresses)
            {
                wanted.TryAdd(new IPEndPoint(address, port), whose);
            }
        }

        IReadOnlyDictionary<IPEndPoint, PortOwner> held = owners(wanted.Keys);
        diagnosis.Saw("ports", string.Create(
            CultureInfo.InvariantCulture, $"{wanted.Count} wanted (own, static, last known good), {held.Count} held by other programs"));
        foreach ((IPEndPoint endPoint, PortOwner owner) in held.OrderBy(h => h.Key.Port).ThenBy(h => h.Key.Address.ToString(), StringComparer.Ordinal))
        {
            diagnosis.Found(
                ProblemCodes.PortInUse, endPoint.ToString(), $"held by {owner}; {wanted[endPoint]} wants it",
                "a gateway started now could not bind it, would serve the rest and try again",
                @do: string.Create(CultureInfo.InvariantCulture, $"if pid {owner.Pid} is not Gateway's own predecessor, stop it, or give {wanted[endPoint]} another port"));
        }

        return [.. wanted.Select(w => new WantedPort(w.Key.Port, w.Value))];
    }

    private static async Task ConsulAsync(Diagnosis diagnosis, GatewayOptions options, TimeProvider clock, CancellationToken cancel)
    {
        if (options.Consul is not { } consul)
        {
            return;
        }

        IReadOnlyList<Problem> problems = ConsulTransport.Check(consul);
        foreach (Problem problem in problems)
        {
            diagnosis.Found(problem, null);
        }

        if (!problems.Any(p => p.Code == ProblemCodes.ConsulTlsUnusable))
        {
            using ConsulClient client = new(consul, clock);
            ConsulChecks.Judge(diagnosis, new SourceSight("consul", null, await ConsulLook.AtAsync(client, clock, s_patience, cancel)), clock.GetUtcNow());
        }
    }
}
