using System.Net;
using System.Runtime.CompilerServices;
using Gateway.Planning;
using Yarp.ReverseProxy.Forwarder;

namespace Gateway.DataPlane.Http.KestrelLane;

/// <summary>Texts of one destination that every request needs, made once for each plan of it.</summary>
internal sealed class DestinationLabels
{
    private static readonly ConditionalWeakTable<DestinationPlan, DestinationLabels> s_known = [];

    private DestinationLabels(DestinationPlan plan)
    {
        Instance = plan.Instance.ToString();
        EndPoint = plan.EndPoint;
        Origin = $"http://{plan.EndPoint}";
    }

    /// <summary><c>NODE/ID</c>.</summary>
    public string Instance { get; }

    /// <summary><c>ADDRESS:PORT</c>.</summary>
    public string EndPoint { get; }

    /// <summary><c>http://ADDRESS:PORT</c>.</summary>
    public string Origin { get; }

    /// <summary>Those of <paramref name="plan"/>.</summary>
    public static DestinationLabels Of(DestinationPlan plan) => s_known.GetValue(plan, static p => new DestinationLabels(p));
}

/// <summary>How YARP is to send the requests of one cluster, made once for each plan of it.</summary>
internal sealed class ForwardConfigs
{
    private static readonly ConditionalWeakTable<ClusterPlan, ForwardConfigs> s_known = [];

    private ForwardConfigs(ClusterPlan plan)
    {
        // YARP's activity timeout is the time without a byte in either direction: ours by phase. Of a request that wants a tunnel
        // it is the tunnel's from the start, because YARP takes one value for both; its head has a timer of ours beside it.
        Version version = plan.Upstream == UpstreamProtocol.H2c ? HttpVersion.Version20 : HttpVersion.Version11;
        Plain = Config(version, plan.Timeouts.Response);
        Tunnel = Config(version, plan.Timeouts.Tunnel);

        // HTTP/1.1 cannot carry gRPC: its status comes in trailers, and both sides stream.
        Grpc = Config(
            plan.Upstream == UpstreamProtocol.Http1 ? HttpVersion.Version11 : HttpVersion.Version20, plan.Timeouts.Response);
    }

    /// <summary>For most requests.</summary>
    public ForwarderRequestConfig Plain { get; }

    /// <summary>For requests that want a tunnel.</summary>
    public ForwarderRequestConfig Tunnel { get; }

    /// <summary>For gRPC.</summary>
    public ForwarderRequestConfig Grpc { get; }

    /// <summary>Those of <paramref name="plan"/>.</summary>
    public static ForwardConfigs Of(ClusterPlan plan) => s_known.GetValue(plan, static p => new ForwardConfigs(p));

    private static ForwarderRequestConfig Config(Version version, TimeSpan timeout) => new()
    {
        Version = version,
        VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        ActivityTimeout = timeout,
        AllowResponseBuffering = false,
    };
}
