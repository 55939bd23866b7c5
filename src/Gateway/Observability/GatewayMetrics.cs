namespace Gateway.Observability;

/// <summary>Every number Gateway counts. Rooms call it; nobody reads it back but the exporter.</summary>
internal sealed class GatewayMetrics
{
    /// <summary>A request ended; <paramref name="code"/> is the status sent, 0 where the client left before one.</summary>
    public void RequestEnded(string listener, string service, string environment, int code, TimeSpan duration)
    {
    }

    /// <summary>A connection was accepted.</summary>
    public void ConnectionOpened(string listener, string protocol)
    {
    }

    /// <summary>A connection ended.</summary>
    public void ConnectionClosed(string listener, string protocol)
    {
    }

    /// <summary>A destination was given a request or a connection.</summary>
    public void DestinationRequest(string service, string environment, string instance)
    {
    }

    /// <summary>An attempt failed and another destination was tried.</summary>
    public void DestinationRetry(string service, string environment, string instance, string reason)
    {
    }

    /// <summary>Bytes relayed by a TCP listener.</summary>
    public void BytesRelayed(string listener, string service, string environment, long toDestination, long toClient)
    {
    }

    /// <summary>A probe ended.</summary>
    public void ProbeEnded(string service, string environment, bool success)
    {
    }

    /// <summary>A request was made to a catalog source; <paramref name="outcome"/> is <c>changed</c>, <c>unchanged</c>, <c>error</c>.</summary>
    public void SourceRequest(string source, string outcome)
    {
    }

    /// <summary>An access record was dropped because the writer could not keep up.</summary>
    public void AccessRecordDropped()
    {
    }
}
