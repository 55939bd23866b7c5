using Gateway.Observability;

namespace Gateway;

/// <summary>Opens the access log that the options name.</summary>
internal static class AccessLogs
{
    /// <summary>Standard output, a file that is appended to, or nothing.</summary>
    public static AccessLog Open(LogOptions options, GatewayMetrics metrics) => options.AccessFile switch
    {
        null => AccessLog.Off(metrics),
        "-" => AccessLog.Json(metrics, Console.OpenStandardOutput),
        string path => AccessLog.Json(metrics, () => new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete)),
    };
}
