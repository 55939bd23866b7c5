using Gateway.Observability;

namespace Gateway.DataPlane.Http;

/// <summary>Where every finished request is counted and recorded, whichever engine served it.</summary>
internal sealed class RequestRecords(GatewayMetrics metrics, AccessLog accessLog, Action<AccessRecord>? recorded)
{
    /// <summary>Takes one record; returns at once.</summary>
    public void Write(in AccessRecord record)
    {
        metrics.RequestEnded(
            record.Listener, record.Service, record.Environment, record.Status, TimeSpan.FromMilliseconds(record.TotalMs));
        accessLog.Write(record);
        recorded?.Invoke(record);
    }
}
