using Gateway.Observability;

namespace Gateway.DataPlane.Http;

/// <summary>Where every finished request is counted and recorded, whichever engine served it.</summary>
internal sealed class RequestRecords(GatewayMetrics metrics, AccessLog accessLog, Action<AccessRecord>? recorded)
{
    /// <summary>Whether anybody wants records; counts are always wanted.</summary>
    public bool WantsRecords => accessLog.IsOn || recorded is not null;

    /// <summary>Counts and takes one record; returns at once.</summary>
    public void Write(in AccessRecord record)
    {
        metrics.RequestEnded(
            record.Listener, record.Service, record.Environment, record.Status, TimeSpan.FromMilliseconds(record.TotalMs));
        Log(record);
    }

    /// <summary>Takes one record whose request is counted elsewhere; returns at once.</summary>
    public void Log(in AccessRecord record)
    {
        accessLog.Write(record);
        recorded?.Invoke(record);
    }

    /// <summary>A place to count requests in, for one writer.</summary>
    public RequestCell Open(in RequestLabels labels) => metrics.Requests.Open(labels);

    /// <summary>Counts a request in such a place.</summary>
    public void Count(RequestCell cell, in RequestLabels labels, int status, double seconds)
    {
        cell.Add(status, seconds);
        if (metrics.WantsDurations)
        {
            metrics.RecordDuration(labels, seconds);
        }
    }
}
