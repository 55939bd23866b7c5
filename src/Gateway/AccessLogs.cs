using Gateway.Catalog;
using Gateway.Observability;

namespace Gateway;

/// <summary>Opens the access log that the options name.</summary>
internal static class AccessLogs
{
    /// <summary>Standard output, a file that is appended to, or null for nothing.</summary>
    public static Func<Stream>? Opener(LogOptions options) => options.AccessFile switch
    {
        null => null,
        "-" => Console.OpenStandardOutput,
        string path => () => new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete),
    };

    /// <summary>Opens it.</summary>
    public static AccessLog Open(LogOptions options, GatewayMetrics metrics, TimeProvider clock) =>
        Opener(options) is { } open ? AccessLog.Json(metrics, open, clock) : AccessLog.Off(metrics);

    /// <summary>What is wrong with it, or nothing.</summary>
    public static IReadOnlyList<Problem> Problems(AccessLog log, LogOptions options) => log.Failure is not { } failure ? [] :
    [
        new Problem
        {
            Code = ProblemCodes.AccessLogUnwritable,
            Place = "log.access.file",
            Value = options.AccessFile,
            Allowed = "a file that can be appended to, or '-'",
            Now = $"{failure} Requests are served, their lines are lost and counted; opened again with the next line",
        },
    ];
}
