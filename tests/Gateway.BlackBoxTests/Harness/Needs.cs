using System.Runtime.CompilerServices;

namespace Gateway.BlackBoxTests.Harness;

/// <summary>A test that needs the consul program; skipped, loudly, where it is missing.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class ConsulFactAttribute : FactAttribute
{
    public ConsulFactAttribute([CallerFilePath] string? file = null, [CallerLineNumber] int line = -1)
        : base(file, line)
    {
        if (!ConsulProcess.IsInstalled)
        {
            Skip = "consul is not installed (tests/run.sh installs it where Debian bullseye's archive can be reached)";
        }
    }
}

/// <summary>As <see cref="ConsulFactAttribute"/>, for theories.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class ConsulTheoryAttribute : TheoryAttribute
{
    public ConsulTheoryAttribute([CallerFilePath] string? file = null, [CallerLineNumber] int line = -1)
        : base(file, line)
    {
        if (!ConsulProcess.IsInstalled)
        {
            Skip = "consul is not installed (tests/run.sh installs it where Debian bullseye's archive can be reached)";
        }
    }
}

/// <summary>Tests that measure, or that load both cores: never beside another.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class Alone
{
    public const string Name = "alone";
}
