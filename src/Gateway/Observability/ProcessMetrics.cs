using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;

namespace Gateway.Observability;

/// <summary>The <c>process_*</c> series that every Prometheus dashboard expects, read from /proc/self at scrape time.</summary>
internal static class ProcessMetrics
{
    /// <summary>Adds them to <paramref name="metrics"/>.</summary>
    public static void Register(GatewayMetrics metrics)
    {
        double started = new DateTimeOffset(Process.GetCurrentProcess().StartTime).ToUnixTimeMilliseconds() / 1000d;
        metrics.Observe("process_cpu_seconds_total", "User and system CPU time.", counter: true, () => One(Environment.CpuUsage.TotalTime.TotalSeconds));
        metrics.Observe("process_start_time_seconds", "Start of the process, Unix time.", counter: false, () => One(started));
        metrics.Observe("process_resident_memory_bytes", "Resident memory.", counter: false, () => Status("VmRSS:", 1024));
        metrics.Observe("process_virtual_memory_bytes", "Virtual memory.", counter: false, () => Status("VmSize:", 1024));
        metrics.Observe("process_threads", "Threads.", counter: false, () => Status("Threads:", 1));
        metrics.Observe("process_open_fds", "Open descriptors.", counter: false, () => OpenDescriptors() is int n ? One(n) : []);
        metrics.Observe("process_max_fds", "Limit of open descriptors.", counter: false, () => DescriptorLimit() is int n ? One(n) : []);
    }

    /// <summary>Soft limit of open descriptors, or null where /proc does not tell.</summary>
    public static int? DescriptorLimit()
    {
        string? line = Lines("/proc/self/limits").FirstOrDefault(l => l.StartsWith("Max open files", StringComparison.Ordinal));
        string? soft = line?["Max open files".Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries).FirstOrDefault();
        return soft == "unlimited" ? int.MaxValue
            : int.TryParse(soft, NumberStyles.None, CultureInfo.InvariantCulture, out int n) ? n : null;
    }

    /// <summary>Open descriptors, or null where /proc does not tell.</summary>
    public static int? OpenDescriptors()
    {
        try
        {
            return Directory.EnumerateFileSystemEntries("/proc/self/fd").Count();
        }
        catch (IOException)
        {
            return null;
        }
    }

    private static IEnumerable<Measurement<double>> Status(string key, double scale)
    {
        string? line = Lines("/proc/self/status").FirstOrDefault(l => l.StartsWith(key, StringComparison.Ordinal));
        string? number = line?[key.Length..].Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries).FirstOrDefault();
        return double.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out double value) ? One(value * scale) : [];
    }

    private static string[] Lines(string path)
    {
        try
        {
            return File.ReadAllLines(path);
        }
        catch (IOException)
        {
            return [];
        }
    }

    private static Measurement<double>[] One(double value) => [new Measurement<double>(value)];
}
