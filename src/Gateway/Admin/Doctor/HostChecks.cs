using System.Globalization;
using Gateway.Catalog;

namespace Gateway.Admin.Doctor;

/// <summary>A port to listen on, and whose it is.</summary>
internal readonly record struct WantedPort(int Port, string Whose);

/// <summary>Judges <see cref="HostFacts"/>; a pure function, so that every machine can be tried on paper.</summary>
internal static class HostChecks
{
    private const int AcceptQueueMin = 1024;
    private const long DiskMin = 256L * 1024 * 1024;
    private const double MemoryShare = 0.9;
    private const double ThrottledShare = 0.05;
    private const int PortsNamed = 10;

    /// <summary>Judges.</summary>
    public static void Judge(Diagnosis diagnosis, HostFacts facts, string stateDirectory, IReadOnlyCollection<WantedPort> ports)
    {
        Ports(diagnosis, facts, ports);
        Queue(diagnosis, facts);
        Memory(diagnosis, facts);
        Cpu(diagnosis, facts);
        Disk(diagnosis, facts, stateDirectory);
    }

    /// <summary>Bytes for people.</summary>
    public static string Bytes(long bytes) => bytes switch
    {
        >= 1L << 30 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 30):0.#} GiB"),
        >= 1L << 20 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 20):0} MiB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1024} KiB"),
    };

    // A listening port is safe while it is bound. Between a stop and the next start, or before the service first appears, any
    // outgoing connection of this host may be given it, and bind fails for as long as that connection lives.
    private static void Ports(Diagnosis diagnosis, HostFacts facts, IReadOnlyCollection<WantedPort> ports)
    {
        if (facts.Ephemeral is not { } range)
        {
            diagnosis.Saw("ephemeral ports", "unknown");
            return;
        }

        WantedPort[] inside =
        [
            .. ports.Where(p => range.Holds(p.Port) && !facts.Reserved.Any(r => r.Holds(p.Port))).DistinctBy(p => p.Port).OrderBy(p => p.Port),
        ];
        string reserved = facts.Reserved.Count == 0 ? "none reserved" : $"reserved {string.Join(',', facts.Reserved.Select(Short))}";
        diagnosis.Saw("ephemeral ports", string.Create(
            CultureInfo.InvariantCulture, $"{range}, {reserved}; {inside.Length} of {ports.Count} listener ports inside"));
        if (inside.Length > 0)
        {
            string named = string.Join(", ", inside.Take(PortsNamed).Select(p => string.Create(CultureInfo.InvariantCulture, $"{p.Port} ({p.Whose})")))
                + (inside.Length > PortsNamed ? $" and {inside.Length - PortsNamed} more" : "");
            string list = string.Join(',', facts.Reserved.Concat(Runs(inside.Select(p => p.Port))).Select(Short));
            diagnosis.Found(
                ProblemCodes.PortsEphemeral, "net.ipv4.ip_local_port_range",
                $"{named}: inside {range}, the range of outgoing connections",
                "what is bound serves; while such a port is not bound, an outgoing connection of this host may take it, and binding fails until it ends",
                @do: $"sysctl -w net.ipv4.ip_local_reserved_ports={list}, and the same in /etc/sysctl.d");
        }
    }

    private static void Queue(Diagnosis diagnosis, HostFacts facts)
    {
        if (facts.AcceptQueueMax is not { } queue)
        {
            return;
        }

        diagnosis.Saw("accept queue", string.Create(CultureInfo.InvariantCulture, $"net.core.somaxconn {queue}"));
        if (queue < AcceptQueueMin)
        {
            diagnosis.Found(
                ProblemCodes.AcceptQueueShort, "net.core.somaxconn",
                string.Create(CultureInfo.InvariantCulture, $"{queue}: a port holds no more connections than that before they are accepted; allowed is {AcceptQueueMin} and more"),
                "a burst overflows the queue, and its clients connect again after a second");
        }
    }

    private static void Memory(Diagnosis diagnosis, HostFacts facts)
    {
        string used = facts.MemoryUsed is { } u ? $"{Bytes(u)} used" : "use unknown";
        diagnosis.Saw("memory", facts.MemoryMax is { } max ? $"{used} of {Bytes(max)} that the control group allows" : $"{used}, no limit of the control group");
        if (facts.MemoryMax is { } limit && facts.MemoryUsed is { } now && now > limit * MemoryShare)
        {
            diagnosis.Found(
                ProblemCodes.MemoryShort, "control group", $"{Bytes(now)} of {Bytes(limit)} are in use",
                "at the limit the kernel kills the process, and every connection with it");
        }
    }

    private static void Cpu(Diagnosis diagnosis, HostFacts facts)
    {
        string share = facts.CpuPeriods is var (all, held) && all > 0
            ? string.Create(CultureInfo.InvariantCulture, $", held back in {100.0 * held / all:0.#} % of the time")
            : "";
        diagnosis.Saw("cpu", facts.CpuMax is { } max
            ? string.Create(CultureInfo.InvariantCulture, $"{max:0.##} CPUs that the control group allows{share}")
            : string.Create(CultureInfo.InvariantCulture, $"{Environment.ProcessorCount} CPUs, no limit of the control group"));
        if (facts.CpuMax is not null && facts.CpuPeriods is var (periods, throttled) && throttled > periods * ThrottledShare)
        {
            diagnosis.Found(
                ProblemCodes.CpuThrottled, "control group",
                string.Create(CultureInfo.InvariantCulture, $"held back in {throttled} of {periods} periods by a limit of {facts.CpuMax:0.##} CPUs"),
                "requests wait for the next period, up to 100 ms each");
        }
    }

    private static void Disk(Diagnosis diagnosis, HostFacts facts, string stateDirectory)
    {
        if (facts.StateDisk is not var (free, total))
        {
            diagnosis.Saw("state directory", $"{stateDirectory}, free space unknown");
            return;
        }

        diagnosis.Saw("state directory", $"{stateDirectory}, {Bytes(free)} of {Bytes(total)} free");
        if (free < DiskMin)
        {
            diagnosis.Found(
                ProblemCodes.StateDiskShort, stateDirectory, $"{Bytes(free)} of {Bytes(total)} are free; allowed is {Bytes(DiskMin)} and more",
                free == 0 ? "nothing can be written: no last known good, no operator's state" : "when it is full, no last known good and no operator's state can be written",
                severity: free == 0 ? ProblemSeverity.Error : null);
        }
    }

    private static string Short(PortRange range) =>
        range.From == range.To ? range.From.ToString(CultureInfo.InvariantCulture) : range.ToString();

    private static IEnumerable<PortRange> Runs(IEnumerable<int> sorted)
    {
        PortRange? run = null;
        foreach (int port in sorted)
        {
            if (run is { } open && open.To + 1 == port)
            {
                run = open with { To = port };
                continue;
            }

            if (run is { } done)
            {
                yield return done;
            }

            run = new PortRange(port, port);
        }

        if (run is { } last)
        {
            yield return last;
        }
    }
}
