namespace Gateway.Cli;

/// <summary>What the program's exit codes mean, for every command.</summary>
internal static class ExitCode
{
    /// <summary>Done.</summary>
    public const int Done = 0;

    /// <summary>It failed: not reachable, refused, or the answer is no.</summary>
    public const int Failed = 1;

    /// <summary>Bad arguments or configuration; nothing was started.</summary>
    public const int BadInput = 2;
}
