using Gateway.Catalog;

namespace Gateway.Admin.Doctor;

/// <summary>
/// What one look of the doctor comes to. In: what each check saw, and findings by the codes of <see cref="ProblemTable"/>. Out: the
/// view, worst first. How bad a finding is, whose fault, and what to do come from the table, unless a check knows better.
/// </summary>
internal sealed class Diagnosis
{
    private readonly List<DoctorCheck> _checked = [];
    private readonly List<(ProblemSeverity Severity, DoctorFinding Finding)> _findings = [];

    /// <summary>Codes found so far.</summary>
    public IReadOnlySet<string> Codes => _findings.Select(f => f.Finding.Code).ToHashSet(StringComparer.Ordinal);

    /// <summary>Findings so far, in the order in which they were found.</summary>
    public IReadOnlyList<DoctorFinding> Findings => [.. _findings.Select(f => f.Finding)];

    /// <summary>Something was looked at.</summary>
    public void Saw(string name, string seen) => _checked.Add(new DoctorCheck(name, seen));

    /// <summary>Something is wrong.</summary>
    public void Found(
        string code,
        string place,
        string what,
        string now,
        string? service = null,
        string? instance = null,
        DateTimeOffset? since = null,
        string? @do = null,
        ProblemSeverity? severity = null,
        ProblemFault? fault = null)
    {
        ProblemKind kind = ProblemTable.Find(code);
        ProblemSeverity bad = severity ?? kind.Severity;
        _findings.Add((bad, new DoctorFinding
        {
            Code = code,
            Severity = Text(bad),
            Fault = Text(fault ?? kind.Fault),
            Service = service,
            Instance = instance,
            Place = place,
            What = what,
            Now = now,
            Since = since,
            Do = @do ?? kind.Do,
        }));
    }

    /// <summary>A problem that stands.</summary>
    public void Found(Problem problem, DateTimeOffset? since, ProblemSeverity? severity = null)
    {
        string means = ProblemTable.Find(problem.Code).Means;
        string allowed = problem.Allowed is null ? "" : $"; allowed is {problem.Allowed}";

        Found(
            problem.Code, problem.Place, problem.Value is null ? $"{means}{allowed}" : $"'{problem.Value}': {means}{allowed}", problem.Now,
            problem.Service, problem.Instance, since, severity: severity);
    }

    /// <summary>Gives each finding without a time the one that <paramref name="since"/> knows.</summary>
    public void Date(Func<DoctorFinding, DateTimeOffset> since)
    {
        for (int i = 0; i < _findings.Count; i++)
        {
            (ProblemSeverity severity, DoctorFinding finding) = _findings[i];
            _findings[i] = (severity, finding.Since is null ? finding with { Since = since(finding) } : finding);
        }
    }

    /// <summary>Everything, worst first; of equals what affects a service before the rest, then by code, so that looks compare.</summary>
    public DoctorView View(DateTimeOffset at, bool reached) => new()
    {
        At = at,
        Reached = reached,
        Checked = _checked,
        Findings =
        [
            .. _findings.OrderBy(f => f.Severity)
                .ThenBy(f => Rank(f.Finding.Code))
                .ThenBy(f => f.Finding.Service is null)
                .ThenBy(f => f.Finding.Code, StringComparer.Ordinal)
                .ThenBy(f => f.Finding.Service, StringComparer.Ordinal)
                .ThenBy(f => f.Finding.Place, StringComparer.Ordinal)
                .Select(f => f.Finding),
        ],
    };

    // Causes before what they cause: without a gateway or a Consul the rest follows.
    private static int Rank(string code) => code switch
    {
        ProblemCodes.GatewayUnreachable => 0,
        ProblemCodes.ConfigurationInvalid or ProblemCodes.StateDirectoryUnusable => 1,
        ProblemCodes.DescriptorLimit or ProblemCodes.ConnectionsAtLimit or ProblemCodes.MemoryShort => 2,
        ProblemCodes.ServiceWithoutInstance => 3,
        _ => 4,
    };

    private static string Text<T>(T value)
        where T : struct, Enum => value.ToString().ToLowerInvariant();
}
