using System.Text.Json.Serialization;

namespace Gateway.Admin;

/// <summary>What <c>gateway doctor</c> found: <c>/api/v1/doctor</c>.</summary>
public sealed record DoctorView
{
    /// <summary>When it looked.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>Whether a running gateway answered; without one only the machine and the configuration were looked at.</summary>
    public required bool Reached { get; init; }

    /// <summary>What was looked at, and what was seen there.</summary>
    public required IReadOnlyList<DoctorCheck> Checked { get; init; }

    /// <summary>What is wrong, worst first; empty when all is well.</summary>
    public required IReadOnlyList<DoctorFinding> Findings { get; init; }
}

/// <summary>One thing that was looked at.</summary>
/// <param name="Name">What.</param>
/// <param name="Seen">What was seen, in one line.</param>
public sealed record DoctorCheck(string Name, string Seen);

/// <summary>One thing that is wrong. Absent parts are null.</summary>
public sealed record DoctorFinding
{
    /// <summary>Stable code; those of problems and some more.</summary>
    public required string Code { get; init; }

    /// <summary><c>error</c>: something is not served, or will not be after a restart; <c>warning</c>: at risk; <c>info</c>.</summary>
    public required string Severity { get; init; }

    /// <summary>Whose it is: <c>catalog</c>, <c>instance</c>, <c>host</c>, <c>configuration</c>, <c>consul</c>, <c>gateway</c>.</summary>
    public required string Fault { get; init; }

    /// <summary>Service concerned, or null.</summary>
    public string? Service { get; init; }

    /// <summary>Instance concerned as <c>NODE/ID</c>, or null.</summary>
    public string? Instance { get; init; }

    /// <summary>Where it is.</summary>
    public required string Place { get; init; }

    /// <summary>What is wrong there.</summary>
    public required string What { get; init; }

    /// <summary>What happens now.</summary>
    public required string Now { get; init; }

    /// <summary>Since when, as far as this process knows; null: unknown.</summary>
    public DateTimeOffset? Since { get; init; }

    /// <summary>What to do next.</summary>
    public required string Do { get; init; }
}

/// <summary>Serializer of the doctor's view, generated at build time.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(DoctorView))]
public sealed partial class DoctorJson : JsonSerializerContext;
