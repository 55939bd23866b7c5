using Gateway.Admin;
using Gateway.Admin.Doctor;

namespace Gateway.Tests.Admin.Doctor;

/// <summary>Machines on paper, and machines laid out as /proc and /sys in a folder.</summary>
public sealed class HostChecksTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("gw-host-").FullName;

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [Fact]
    public void A_good_machine_is_looked_at_and_has_no_findings()
    {
        Diagnosis diagnosis = Judge(new HostFacts
        {
            Ephemeral = new PortRange(32768, 60999),
            AcceptQueueMax = 4096,
            MemoryMax = 1L << 30,
            MemoryUsed = 1L << 28,
            CpuMax = 2,
            CpuPeriods = (1000, 10),
            StateDisk = (1L << 40, 1L << 41),
        }, new WantedPort(3000, "web"));
        Assert.Empty(diagnosis.Findings);
        Assert.Equal(
            ["ephemeral ports", "accept queue", "memory", "cpu", "state directory"],
            diagnosis.View(DateTimeOffset.UnixEpoch, true).Checked.Select(c => c.Name));
    }

    [Fact]
    public void A_machine_that_tells_nothing_has_no_findings() => Assert.Empty(Judge(new HostFacts(), new WantedPort(40000, "web")).Findings);

    [Fact]
    public void Ports_among_those_of_outgoing_connections_are_named_with_the_sysctl_that_keeps_what_was_reserved()
    {
        HostFacts facts = new() { Ephemeral = new PortRange(32768, 60999), Reserved = [new PortRange(40000, 40000), new PortRange(50000, 50010)] };
        DoctorFinding finding = Assert.Single(Judge(
            facts, new WantedPort(3000, "low"), new WantedPort(40000, "kept"), new WantedPort(50005, "kept too"), new WantedPort(33000, "web"),
            new WantedPort(33001, "api"), new WantedPort(33001, "api twice"), new WantedPort(60999, "last"), new WantedPort(61000, "after")).Findings);
        Assert.Equal(("ports-in-ephemeral-range", "warning", "host"), (finding.Code, finding.Severity, finding.Fault));
        Assert.StartsWith("33000 (web), 33001 (api), 60999 (last): inside 32768-60999", finding.What, StringComparison.Ordinal);
        Assert.Contains("ip_local_reserved_ports=40000,50000-50010,33000-33001,60999,", finding.Do, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(128, true)]
    [InlineData(1024, false)]
    public void A_short_accept_queue_is_a_finding(int queue, bool found) =>
        Assert.Equal(found, Judge(new HostFacts { AcceptQueueMax = queue }).Codes.Contains("accept-queue-short"));

    [Theory]
    [InlineData(95, true)]
    [InlineData(90, false)]
    public void Memory_near_its_limit_is_an_error(long used, bool found)
    {
        Diagnosis diagnosis = Judge(new HostFacts { MemoryMax = 100, MemoryUsed = used });
        Assert.Equal(found, diagnosis.Findings.Any(f => f is { Code: "memory-short", Severity: "error" }));
    }

    [Theory]
    [InlineData(2.0, 100, true)]
    [InlineData(2.0, 50, false)]
    [InlineData(null, 100, false)]
    public void Being_held_back_by_a_cpu_limit_is_a_finding(double? max, long throttled, bool found) =>
        Assert.Equal(found, Judge(new HostFacts { CpuMax = max, CpuPeriods = (1000, throttled) }).Codes.Contains("cpu-throttled"));

    [Theory]
    [InlineData(0, "error")]
    [InlineData(1024 * 1024, "warning")]
    public void A_full_disk_is_a_finding_and_worse_than_an_almost_full_one(long free, string severity) =>
        Assert.Equal(severity, Assert.Single(Judge(new HostFacts { StateDisk = (free, 1L << 40) }).Findings).Severity);

    [Fact]
    public void A_machine_of_control_groups_2_is_read_with_the_tightest_limit_above()
    {
        Lay("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n");
        Lay("proc/sys/net/ipv4/ip_local_reserved_ports", "8080,30000-30010\n");
        Lay("proc/sys/net/core/somaxconn", "128\n");
        Lay("proc/self/cgroup", "0::/system.slice/gateway.service\n");
        Lay("sys/fs/cgroup/cgroup.controllers", "cpu memory");
        Lay("sys/fs/cgroup/system.slice/memory.max", "1000000\n");
        Lay("sys/fs/cgroup/system.slice/gateway.service/cgroup.procs", "1");
        Lay("sys/fs/cgroup/system.slice/gateway.service/memory.max", "max\n");
        Lay("sys/fs/cgroup/system.slice/gateway.service/memory.current", "600000\n");
        Lay("sys/fs/cgroup/system.slice/gateway.service/memory.stat", "anon 5\ninactive_file 100000\n");
        Lay("sys/fs/cgroup/system.slice/gateway.service/cpu.max", "150000 100000\n");
        Lay("sys/fs/cgroup/system.slice/gateway.service/cpu.stat", "usage_usec 1\nnr_periods 200\nnr_throttled 20\n");
        HostFacts facts = new HostReader(_root, _ => (5, 10)).Read("/state");
        Assert.Equal(new PortRange(32768, 60999), facts.Ephemeral);
        Assert.Equal([new PortRange(8080, 8080), new PortRange(30000, 30010)], facts.Reserved);
        Assert.Equal(
            (128, 1000000L, 500000L, 1.5, (200L, 20L), (5L, 10L)),
            (facts.AcceptQueueMax, facts.MemoryMax, facts.MemoryUsed, facts.CpuMax, facts.CpuPeriods, facts.StateDisk));
    }

    [Fact]
    public void A_machine_of_control_groups_1_is_read_and_its_way_of_saying_no_limit_understood()
    {
        Lay("proc/self/cgroup", "5:cpu,cpuacct:/\n4:memory:/docker/abc\n");
        Lay("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        Lay("sys/fs/cgroup/memory/memory.usage_in_bytes", "1000\n");
        Lay("sys/fs/cgroup/memory/memory.stat", "total_inactive_file 400\n");
        HostFacts facts = new HostReader(_root, _ => null).Read("/state");
        Assert.Equal((null, 600L), (facts.MemoryMax, facts.MemoryUsed));
    }

    [Fact]
    public void A_machine_without_anything_tells_nothing()
    {
        HostFacts facts = new HostReader(_root, _ => null).Read("/state");
        Assert.Equal(new HostFacts { Reserved = facts.Reserved }, facts);
        Assert.Empty(facts.Reserved);
    }

    [Fact]
    public void This_machine_tells_its_ports_and_its_disk()
    {
        HostFacts facts = new HostReader().Read(Path.Combine(_root, "not", "there", "yet"));
        Assert.True(facts.Ephemeral is { From: > 0, To: <= 65535 });
        Assert.True(facts.StateDisk is ( >= 0, > 0));
    }

    private static Diagnosis Judge(HostFacts facts, params WantedPort[] ports)
    {
        Diagnosis diagnosis = new();
        HostChecks.Judge(diagnosis, facts, "/var/lib/gateway", ports);
        return diagnosis;
    }

    private void Lay(string path, string text)
    {
        string full = Path.Combine(_root, path);
        Directory.CreateDirectory(Path.GetDirectoryName(full)!);
        File.WriteAllText(full, text);
    }
}
