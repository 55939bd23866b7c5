using System.Net;
using System.Net.Sockets;
using Gateway.Admin;
using Gateway.Admin.Doctor;
using Gateway.Configuration;
using Gateway.DataPlane.Listening;

namespace Gateway.Tests;

/// <summary>What the doctor finds where no gateway runs: on a machine that the test lays out.</summary>
public sealed class GatewayDoctorTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("gwd-").FullName;

    private string State => Path.Combine(_folder, "state");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_machine_without_a_fault_has_only_the_missing_gateway()
    {
        DoctorView view = await LookAsync("catalog: { files: ['*.none'] }");
        Assert.False(view.Reached);
        DoctorFinding finding = Assert.Single(view.Findings);
        Assert.Equal(("gateway-unreachable", "error"), (finding.Code, finding.Severity));
        Assert.Equal("there is no such socket", finding.What);
        Assert.Contains(view.Checked, c => c is { Name: "last known good", Seen: "none" });
    }

    [Fact]
    public async Task A_process_that_holds_the_directory_and_does_not_answer_is_named()
    {
        Directory.CreateDirectory(Path.Combine(State, "run"));
        File.SetUnixFileMode(Path.Combine(State, "run"), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        File.WriteAllText(Path.Combine(State, "run", "gateway.pid"), $"{Environment.ProcessId}\n");
        DoctorFinding finding = Assert.Single((await LookAsync("catalog: { files: ['*.none'] }")).Findings);
        Assert.Contains($"pid {Environment.ProcessId}", finding.Do, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ports_that_others_hold_are_named_with_their_owner_and_who_wants_them()
    {
        DoctorView view = await LookAsync(
            """
            catalog: { files: ['*.none'] }
            admin: { listen: "127.0.0.1:9900" }
            internal: { addresses: [127.0.0.1] }
            static: { marathon: { port: 18080, servers: ["10.0.0.1:8080"] } }
            """,
            held: [new IPEndPoint(IPAddress.Loopback, 18080)]);
        DoctorFinding finding = Assert.Single(view.Findings, f => f.Code == "port-in-use");
        Assert.Equal("127.0.0.1:18080", finding.Place);
        Assert.Equal("held by pid 7 (haproxy); static service marathon wants it", finding.What);
        Assert.Contains("pid 7", finding.Do, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_configuration_with_an_error_is_a_finding_and_the_machine_is_looked_at_all_the_same()
    {
        DoctorView view = await LookAsync("catalgo: 1");
        DoctorFinding finding = Assert.Single(view.Findings, f => f.Code == "configuration-invalid");
        Assert.Contains("catalgo", finding.What, StringComparison.Ordinal);
        Assert.Contains("g.yaml:1:1", finding.Place, StringComparison.Ordinal);
        Assert.Contains(view.Checked, c => c.Name == "ephemeral ports");
    }

    [Fact]
    public async Task Sockets_that_others_may_reach_and_a_file_in_place_of_the_directory_are_findings()
    {
        string run = Directory.CreateDirectory(Path.Combine(State, "run")).FullName;
        File.SetUnixFileMode(run, File.GetUnixFileMode(run) | UnixFileMode.OtherRead);
        DoctorFinding open = Assert.Single((await LookAsync("catalog: { files: ['*.none'] }")).Findings, f => f.Code == "state-directory-open");
        Assert.Equal(run, open.Place);
        Directory.Delete(State, recursive: true);
        File.WriteAllText(State, "");
        Assert.Contains((await LookAsync("catalog: { files: ['*.none'] }")).Findings, f => f.Code == "state-directory-unusable");
    }

    [Fact]
    public async Task A_damaged_last_known_good_is_a_finding()
    {
        string folder = Directory.CreateDirectory(Path.Combine(State, "catalog-lkg")).FullName;
        File.WriteAllText(Path.Combine(folder, "0000000001.json"), "{}");
        Assert.Contains((await LookAsync("catalog: { files: ['*.none'] }")).Findings, f => f.Code == "last-known-good-corrupt");
    }

    [Fact]
    public async Task A_Consul_that_is_not_there_is_a_finding()
    {
        using Socket bound = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        bound.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        DoctorView view = await LookAsync($$"""catalog: { consul: { address: "http://{{bound.LocalEndPoint}}" } }""");
        DoctorFinding finding = Assert.Single(view.Findings, f => f.Code == "consul-unreachable");
        Assert.Equal($"http://{bound.LocalEndPoint}", finding.Place);
    }

    private Task<DoctorView> LookAsync(string yaml, IPEndPoint[]? held = null) => GatewayDoctor.LookAsync(
        GatewayConfiguration.Parse(yaml, "g.yaml"), State, Path.Combine(State, "run", "gateway.sock"), "there is no such socket",
        new HostReader(_folder, _ => null), _ => (held ?? []).ToDictionary(e => e, _ => new PortOwner(7, "haproxy")), TimeProvider.System,
        TestContext.Current.CancellationToken);
}
