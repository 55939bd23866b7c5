using System.Net;
using Gateway.Planning;

namespace Gateway.IntegrationTests.DataPlane.Http;

/// <summary>What serves plain HTTP/1.1.</summary>
public enum Engine
{
    /// <summary>Kestrel in front, YARP's forwarder behind.</summary>
    Kestrel,

    /// <summary>The fast lane on the event loops; what it does not serve goes to Kestrel.</summary>
    Loops,
}

/// <summary>
/// Tests of one suite that holds for both engines: a class of tests is abstract, and two sealed ones below it name the engine. What is
/// asserted is what SPEC §5 promises for both; order and case of header names, joined lists and chunk sizes may differ.
/// </summary>
public abstract class LaneTests(Engine engine)
{
    private protected Engine Engine => engine;

    private protected Task<LaneUnderTest> StartAsync(ClusterPlan cluster, TimeProvider? clock = null) =>
        LaneUnderTest.StartAsync(engine, cluster, clock);

    private protected Task<LaneUnderTest> StartAsync(params IPEndPoint[] destinations) => StartAsync(LaneUnderTest.Cluster(destinations));
}
