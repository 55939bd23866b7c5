using System.Reflection;
using Gateway.Admin;
using Gateway.Admin.Doctor;
using Gateway.Configuration;
using Gateway.Control;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Health;
using Gateway.DataPlane.Http;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Loops;
using Gateway.DataPlane.Tcp;
using Gateway.Lifecycle;
using Gateway.Observability;
using Gateway.Planning;
using Microsoft.Extensions.Logging;

namespace Gateway;

/// <summary>Makes the parts and joins them. The order matters: each part finds those that it needs, and facts come in last.</summary>
internal sealed class Composition(
    OptionSources sources, AdminCommands commands, ProcessStatus process, GatewayMetrics metrics, MetricsExporter exporter, TimeProvider clock,
    ILoggerFactory logs)
{
    /// <summary>What the control loop needs of the options.</summary>
    public static ControlSettings SettingsOf(GatewayOptions options) => new(
        options.Planning with
        {
            Reserved = OwnPorts.Of(options),
            OwnAddresses = OwnAddresses.Of(options.Listening),
            Edge = options.Edge is { Listeners.Count: > 0 },
            EdgeListeners = options.Edge?.Listeners ?? [],
        },
        options.PortGrace)
    {
        Guard = options.Guard,
    };

    /// <summary>Makes everything and starts it; what fails leaves the rest in <paramref name="parts"/>, to be disposed.</summary>
    /// <exception cref="GatewayStartException">A socket of our own can't be bound.</exception>
    public async Task ComposeAsync(RunningParts parts, GatewayOptions options, CancellationToken cancel)
    {
        // 1. What the others write to.
        ILogger LogOf(string room) => logs.CreateLogger("Gateway." + room);
        ProcessMetrics.Register(metrics);
        parts.Options = options;
        parts.AccessLog = AccessLogs.Open(options.Log, metrics, clock);

        // 2. The data plane, bottom up.
        parts.Prober = new HealthProber(clock, LogOf("Health"), metrics);
        parts.Clusters = new ClusterTable(parts.Prober, clock);
        parts.Loops = options.Engine == "loops" && LoopGroup.IsSupported
            ? new LoopGroup(Environment.ProcessorCount, clock, LogOf("Loops"))
            : null;
        parts.Http = new HttpLane(parts.Clusters, clock, logs, metrics, parts.AccessLog, CdnLoopId(), loops: parts.Loops);
        parts.Tcp = new TcpLane(parts.Clusters, clock, LogOf("Tcp"), metrics, parts.AccessLog, parts.Loops);
        parts.Listeners = new ListenerSet(
            options.Listening, clock, LogOf("Listening"), parts.Http.Accept, parts.Tcp.Accept, options.MaxConnections,
            loops: parts.Loops is null ? null : new LoopDispatch(parts.Loops, (listener, loop, fd) => AcceptOnLoop(parts, listener, loop, fd)));
        parts.Http.Configure(options.Edge, options.TrustedProxies);
        parts.Limit = new LiveLimit(clock, LogOf("Limits"), metrics, () => parts.ApplyLimit());
        await parts.Http.StartAsync(cancel);

        // 3. Our own sockets: the embedded catalog first, because a source hangs on it.
        OwnSockets sockets = new(options.StateDirectory, process, clock, logs);
        if (options.Embedded is { } embedded)
        {
            await sockets.OpenCatalogAsync(parts, embedded, cancel);
        }

        parts.Control = new ControlLoop(
            SettingsOf(options), parts.Clusters, parts.Listeners, parts.Http, metrics, clock, LogOf("Control"))
        {
            Applied = _ => parts.ApplyLimit(),
            LastKnownGood = new LastKnownGoodFiles(Path.Combine(options.StateDirectory, "catalog-lkg")),
            OtherProblems = () =>
            [
                .. AccessLogs.Problems(parts.AccessLog, parts.Options.Log), .. parts.Embedded?.Problems ?? [],
                .. parts.Http.Certificates.Problems(), .. parts.Limit.Problems,
            ],
        };
        await sockets.OpenAdminAsync(parts, options.Admin, Api(parts, options), cancel);
        GatewayGauges.Register(metrics, parts.Control, parts.Clusters, parts.Listeners, parts.Http, parts.Tcp, clock);
        metrics.AnnounceZeros();

        // 4. Only now facts may come in.
        await parts.Limit.FollowAsync(options);
        parts.ApplyLimit();
        parts.Control.Start(sources.All(options));
    }

    private static void AcceptOnLoop(RunningParts parts, ListenerState listener, EventLoop loop, int fd)
    {
        if (listener.Plan.Protocol == ListenProtocol.Tcp)
        {
            parts.Tcp.AcceptOnLoop(listener, loop, fd);
        }
        else
        {
            parts.Http.AcceptOnLoop(listener, loop, fd);
        }
    }

    private AdminApi Api(RunningParts parts, GatewayOptions options)
    {
        string engine = parts.Loops is not null ? "loops" : options.Engine == "kestrel" ? "kestrel" : "kestrel (no epoll here)";
        ProcessFacts facts = new(Version, engine, options.StateDirectory);
        parts.Doctor = new RunningDoctor(
            facts, process, parts.Control, parts.Listeners, parts.Clusters, parts.Http, clock, logs.CreateLogger("Gateway.Admin"))
        {
            Limits = () => LimitsOf(parts),
            OwnPorts = () => GatewayDoctor.OwnPortsOf(parts.Options),
        };
        return new AdminApi(
            facts, process, parts.Control, parts.Listeners, parts.Clusters, parts.Http, parts.Tcp, exporter, clock, commands)
        {
            Doctor = parts.Doctor.LookAsync,
            LimitFrom = () => parts.Limit.InForce(parts.Control.State.Plan.Listeners.Count).From,
        };
    }

    private static LimitFacts LimitsOf(RunningParts parts)
    {
        (int value, string from) = parts.Limit.InForce(parts.Control.State.Plan.Listeners.Count);
        return new LimitFacts(
            parts.Limit.Wanted, value, from, ProcessMetrics.DescriptorLimit(), ProcessMetrics.OpenDescriptors(), parts.Listeners.Gate.Open);
    }

    /// <summary>Our id in CDN-Loop (RFC 8586): a name for this host, so that a request that comes round is recognized.</summary>
    private static string CdnLoopId() => $"gateway-{Environment.MachineName.ToLowerInvariant()}";

    private static string Version =>
        typeof(GatewayHost).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0";
}
