namespace Gateway.DataPlane.Http;

/// <summary>How one attempt failed.</summary>
/// <param name="Reason">What the client is told if nobody else can answer.</param>
/// <param name="Unsent">No byte of the request has left: any instance may have it, whatever its method.</param>
internal readonly record struct AttemptFailure(Reason Reason, bool Unsent);

/// <summary>
/// Whether a request that failed goes to another instance. Unsent: to one not yet tried, three in all, uncharged. Sent: only if
/// repeating it is harmless and the budget allows. Never after the first byte of a response; whoever asks has seen none.
/// </summary>
internal static class RetryRule
{
    /// <summary>Attempts at a request, the first included.</summary>
    public const int AttemptsMax = 3;

    /// <summary>Decides; when it says yes to a sent request it has taken from <paramref name="budget"/>.</summary>
    /// <param name="failure">What happened.</param>
    /// <param name="attempts">Attempts so far, 1 or more.</param>
    /// <param name="method">Method of the request.</param>
    /// <param name="hasBody">Whether it has a body; its bytes are gone once they are sent.</param>
    /// <param name="budget">Retries that the cluster affords.</param>
    /// <param name="charged">Whether this request holds a retry from the budget already.</param>
    public static bool MayRetry(
        AttemptFailure failure, int attempts, string method, bool hasBody, RetryBudget budget, ref bool charged) =>
        MayRetry(failure, attempts, IsIdempotent(method), hasBody, budget, ref charged);

    /// <summary>As above, for whoever knows whether repeating is harmless.</summary>
    public static bool MayRetry(
        AttemptFailure failure, int attempts, bool idempotent, bool hasBody, RetryBudget budget, ref bool charged)
    {
        if (attempts >= AttemptsMax)
        {
            return false;
        }

        if (failure.Unsent)
        {
            return true;
        }

        // A request that timed out has spent the client's patience; one that got garbage would get it again.
        if (failure.Reason != Reason.InstanceReset || hasBody || !idempotent)
        {
            return false;
        }

        return charged || (charged = budget.TryTake());
    }

    /// <summary>RFC 9110 §9.2.2: repeating it has the effect of sending it once.</summary>
    public static bool IsIdempotent(FastLane.MethodKind method) =>
        method is FastLane.MethodKind.Get or FastLane.MethodKind.Head or FastLane.MethodKind.Options or FastLane.MethodKind.Trace
            or FastLane.MethodKind.Put or FastLane.MethodKind.Delete;

    /// <summary>RFC 9110 §9.2.2: repeating it has the effect of sending it once.</summary>
    public static bool IsIdempotent(string method) => method is "GET" or "HEAD" or "OPTIONS" or "TRACE" or "PUT" or "DELETE";
}

/// <summary>
/// How many retries of sent requests a cluster affords at one moment: 20 % of its requests in flight, at least 3. When everything
/// fails, retries would otherwise double or triple the load on whoever is left.
/// </summary>
internal sealed class RetryBudget
{
    /// <summary>Retries at a time that are always allowed.</summary>
    public const int Floor = 3;

    // Both written and read by every request of the cluster.
    private int _requests;
    private int _retries;

    /// <summary>A request begins; pair with <see cref="End"/>.</summary>
    public void Begin() => Interlocked.Increment(ref _requests);

    /// <summary>A request ended.</summary>
    /// <param name="charged">It took a retry.</param>
    public void End(bool charged)
    {
        Interlocked.Decrement(ref _requests);
        if (charged)
        {
            Interlocked.Decrement(ref _retries);
        }
    }

    /// <summary>Takes one retry, held until the request ends; false when there is none left.</summary>
    public bool TryTake()
    {
        if (Interlocked.Increment(ref _retries) <= Math.Max(Floor, Volatile.Read(ref _requests) / 5))
        {
            return true;
        }

        Interlocked.Decrement(ref _retries);
        return false;
    }
}
