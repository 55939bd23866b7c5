using System.Net;
using Gateway.DataPlane.Listening;
using Gateway.Observability;
using Gateway.Planning;
using Microsoft.Extensions.Logging;

namespace Gateway.DataPlane.Tcp;

/// <summary>Takes the record of a relay that ended.</summary>
internal delegate void RelayRecorded(in AccessRecord record);

/// <summary>How a relay ended. A later value beats an earlier one while the relay is ending.</summary>
internal enum RelayEnd
{
    /// <summary>It goes on, or was never established.</summary>
    None,

    /// <summary>The client's FIN came first, and both directions finished.</summary>
    ClientClosed,

    /// <summary>The destination's FIN came first, and both directions finished.</summary>
    ServerClosed,

    /// <summary>One side reset, so the other was reset.</summary>
    Reset,

    /// <summary>No byte in either direction for the tunnel timeout.</summary>
    Idle,

    /// <summary>Ended by us, at the deadline of a drain.</summary>
    Aborted,
}

/// <summary>All that is told of a relay once it is over.</summary>
internal readonly record struct RelayOutcome
{
    /// <summary>Where it came in.</summary>
    public required ListenerState Listener { get; init; }

    /// <summary>The plan it began with.</summary>
    public required ListenerPlan Plan { get; init; }

    /// <summary>The client.</summary>
    public required EndPoint? Client { get; init; }

    /// <summary>The destination that was tried last; null: none.</summary>
    public required DestinationPlan? Destination { get; init; }

    /// <summary>How it ended.</summary>
    public required RelayEnd End { get; init; }

    /// <summary>Reason code of one that was never established.</summary>
    public required string FailedBy { get; init; }

    /// <summary>Destinations tried before the last.</summary>
    public required int Retries { get; init; }

    /// <summary>When it was accepted.</summary>
    public required DateTimeOffset Started { get; init; }

    /// <summary>From accept to connected; null: never.</summary>
    public required TimeSpan? Connect { get; init; }

    /// <summary>From accept to the end.</summary>
    public required TimeSpan Total { get; init; }

    /// <summary>Bytes passed to the destination.</summary>
    public required long BytesToDestination { get; init; }

    /// <summary>Bytes passed to the client.</summary>
    public required long BytesToClient { get; init; }
}

/// <summary>Records and byte counts of relays, the same for both engines. Never throws: a relay's end depends on it.</summary>
internal sealed class RelayRecords(RelayRecorded recorded, GatewayMetrics metrics, ILogger logger)
{
    /// <summary>Counts bytes that were passed on.</summary>
    public void CountBytes(ListenerState listener, ListenerPlan plan, long toDestination, long toClient)
    {
        if (toDestination + toClient > 0)
        {
            metrics.BytesRelayed(listener.Name, plan.Service, plan.Environment, toDestination, toClient);
        }
    }

    /// <summary>Writes the record of a relay.</summary>
    public void Write(in RelayOutcome outcome)
    {
        try
        {
            AccessRecord record = new()
            {
                Started = outcome.Started,
                Client = outcome.Client,
                Listener = outcome.Listener.Name,
                Service = outcome.Plan.Service,
                Environment = outcome.Plan.Environment,
                Destination = outcome.Destination?.Instance.ToString() ?? "",
                DestinationAddress = outcome.Destination?.EndPoint ?? "",
                Protocol = "TCP",
                Method = "",
                Host = "",
                Target = "",
                Reason = ReasonOf(outcome),
                RequestId = "",
                BytesIn = outcome.BytesToDestination,
                BytesOut = outcome.BytesToClient,
                Retries = outcome.Retries,
                ConnectMs = outcome.Connect?.TotalMilliseconds ?? -1,
                ResponseMs = -1,
                TotalMs = outcome.Total.TotalMilliseconds,
            };
            recorded(in record);
        }
        catch (Exception e)
        {
            logger.LogError(e, "{Listener}: relay not recorded", outcome.Listener.Name);
        }
    }

    private static string ReasonOf(in RelayOutcome outcome) => outcome.End switch
    {
        RelayEnd.ClientClosed => "client-closed",
        RelayEnd.ServerClosed => "server-closed",
        RelayEnd.Reset => "reset",
        RelayEnd.Idle => "idle",
        RelayEnd.Aborted => "aborted",
        _ => outcome.FailedBy,
    };
}
