using System.Globalization;
using System.Runtime.InteropServices;

namespace Gateway.Admin.Doctor;

/// <summary>A range of ports, both ends included.</summary>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct PortRange(int From, int To)
{
    /// <summary>Whether it holds a port.</summary>
    public bool Holds(int port) => port >= From && port <= To;

    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{From}-{To}");
}

/// <summary>This machine as far as it concerns a load balancer; null where the system does not tell.</summary>
internal sealed record HostFacts
{
    /// <summary>net.ipv4.ip_local_port_range: ports of outgoing connections.</summary>
    public PortRange? Ephemeral { get; init; }

    /// <summary>net.ipv4.ip_local_reserved_ports: those of them that are never taken.</summary>
    public IReadOnlyList<PortRange> Reserved { get; init; } = [];

    /// <summary>net.core.somaxconn: longest queue of connections that wait for accept.</summary>
    public int? AcceptQueueMax { get; init; }

    /// <summary>Memory that the control group allows, bytes; null: no limit.</summary>
    public long? MemoryMax { get; init; }

    /// <summary>Memory that the control group uses and the kernel cannot take back, bytes.</summary>
    public long? MemoryUsed { get; init; }

    /// <summary>CPUs that the control group allows; null: no limit.</summary>
    public double? CpuMax { get; init; }

    /// <summary>Periods in which the control group ran, and in how many of them it was held back.</summary>
    public (long Periods, long Throttled)? CpuPeriods { get; init; }

    /// <summary>Free and all bytes of the disk that holds the state directory.</summary>
    public (long Free, long Total)? StateDisk { get; init; }
}

/// <summary>Reads <see cref="HostFacts"/> below a root, so that tests can lay out a machine of their own.</summary>
/// <param name="root">Holds <c>proc</c> and <c>sys</c>.</param>
/// <param name="disk">Free and all bytes of the disk that holds a path, or null.</param>
internal sealed class HostReader(string root = "/", Func<string, (long Free, long Total)?>? disk = null)
{
    private readonly Func<string, (long Free, long Total)?> _disk = disk ?? DiskOf;

    /// <summary>Reads all; touches no network and asks nobody.</summary>
    public HostFacts Read(string stateDirectory)
    {
        (string? group, bool unified) = ControlGroup();
        return new HostFacts
        {
            Ephemeral = Text("proc/sys/net/ipv4/ip_local_port_range")?.Split((char[])['\t', ' '], StringSplitOptions.RemoveEmptyEntries) is [var from, var to]
                && int.TryParse(from, CultureInfo.InvariantCulture, out int low) && int.TryParse(to, CultureInfo.InvariantCulture, out int high)
                    ? new PortRange(low, high)
                    : null,
            Reserved = Ranges(Text("proc/sys/net/ipv4/ip_local_reserved_ports")),
            AcceptQueueMax = (int?)Number(Text("proc/sys/net/core/somaxconn")),
            MemoryMax = group is null ? null : unified ? Tightest(group, "memory.max") : Real(Number(Text($"{group}/memory.limit_in_bytes"))),
            MemoryUsed = group is null ? null : Used(group, unified),
            CpuMax = group is null || !unified ? null : Cpu(Text($"{group}/cpu.max")),
            CpuPeriods = group is null || !unified ? null : Periods(Text($"{group}/cpu.stat")),
            StateDisk = _disk(stateDirectory),
        };
    }

    /// <summary>A list of ports and ranges, <c>8080,30000-31000</c>.</summary>
    internal static IReadOnlyList<PortRange> Ranges(string? text)
    {
        List<PortRange> ranges = [];
        foreach (string part in (text ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            string[] ends = part.Split('-');
            if (int.TryParse(ends[0], CultureInfo.InvariantCulture, out int from)
                && int.TryParse(ends[^1], CultureInfo.InvariantCulture, out int to))
            {
                ranges.Add(new PortRange(from, to));
            }
        }

        return ranges;
    }

    // "0::/system.slice/gateway.service" is version 2; version 1 has a line per controller. Inside a container the path is often
    // that of the host, and the group itself is mounted at the top.
    private (string? Group, bool Unified) ControlGroup()
    {
        string[] lines = (Text("proc/self/cgroup") ?? "").Split('\n');
        if (Exists("sys/fs/cgroup/cgroup.controllers"))
        {
            string path = lines.FirstOrDefault(l => l.StartsWith("0::", StringComparison.Ordinal))?[3..].Trim('/') ?? "";
            string group = path.Length == 0 ? "sys/fs/cgroup" : $"sys/fs/cgroup/{path}";
            return (Exists($"{group}/cgroup.procs") ? group : "sys/fs/cgroup", true);
        }

        string own = lines.Select(l => l.Split(':', 3)).FirstOrDefault(l => l is [_, "memory", _])?[2].Trim('/') ?? "";
        string memory = own.Length == 0 ? "sys/fs/cgroup/memory" : $"sys/fs/cgroup/memory/{own}";
        return Exists($"{memory}/memory.limit_in_bytes") ? (memory, false)
            : Exists("sys/fs/cgroup/memory/memory.limit_in_bytes") ? ("sys/fs/cgroup/memory", false)
            : (null, false);
    }

    // The tightest limit of the groups above counts.
    private long? Tightest(string group, string file)
    {
        long? tightest = null;
        for (string at = group; at.StartsWith("sys/fs/cgroup", StringComparison.Ordinal); at = Path.GetDirectoryName(at) ?? "")
        {
            if (Number(Text($"{at}/{file}")) is { } limit && !(tightest < limit))
            {
                tightest = limit;
            }
        }

        return tightest;
    }

    private long? Used(string group, bool unified)
    {
        long? all = Number(Text($"{group}/{(unified ? "memory.current" : "memory.usage_in_bytes")}"));
        long? cache = Field(Text($"{group}/memory.stat"), unified ? "inactive_file" : "total_inactive_file");
        return all - (cache ?? 0);
    }

    // Version 1 says "no limit" by a number near the largest there is.
    private static long? Real(long? limit) => limit < 1L << 60 ? limit : null;

    private static double? Cpu(string? text) =>
        text?.Split(' ') is [var quota, var period] && Number(quota) is { } q && Number(period) is > 0 and { } p ? (double)q / p : null;

    private static (long, long)? Periods(string? stat) =>
        Field(stat, "nr_periods") is > 0 and { } periods && Field(stat, "nr_throttled") is { } throttled ? (periods, throttled) : null;

    private static long? Field(string? text, string name) =>
        Number(text?.Split('\n').FirstOrDefault(l => l.StartsWith(name + " ", StringComparison.Ordinal))?[(name.Length + 1)..]);

    private static long? Number(string? text) =>
        long.TryParse(text?.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long number) ? number : null;

    private static (long Free, long Total)? DiskOf(string path)
    {
        // Where the directory does not exist yet, the disk that it would be on.
        string? existing = path;
        while (existing is { Length: > 1 } && !Directory.Exists(existing))
        {
            existing = Path.GetDirectoryName(existing);
        }

        try
        {
            DriveInfo drive = new(string.IsNullOrEmpty(existing) ? "/" : existing);
            return (drive.AvailableFreeSpace, drive.TotalSize);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return null;
        }
    }

    private bool Exists(string path) => File.Exists(Path.Combine(root, path));

    private string? Text(string path)
    {
        try
        {
            return File.ReadAllText(Path.Combine(root, path)).Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
