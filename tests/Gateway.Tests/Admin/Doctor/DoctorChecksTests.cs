using Gateway.Admin;
using Gateway.Admin.Doctor;
using Gateway.Catalog;
using Gateway.Control;
using Gateway.DataPlane.Balancing;
using Gateway.Discovery;
using Gateway.Discovery.Consul;
using Gateway.Planning;
using Gateway.Tests.DataPlane.Balancing;

namespace Gateway.Tests.Admin.Doctor;

/// <summary>What the doctor makes of sources, services and limits.</summary>
public sealed class DoctorChecksTests
{
    private static readonly DateTimeOffset s_now = new(2026, 1, 1, 3, 0, 0, TimeSpan.Zero);
    private static readonly IReadOnlyDictionary<InstanceKey, string> s_nothing = new Dictionary<InstanceKey, string>();

    [Fact]
    public void A_healthy_source_is_told_in_one_line_and_has_no_findings()
    {
        Diagnosis diagnosis = Judge(new ConsulSight("http://c:8500", null, "10.0.0.1:8300", TimeSpan.FromSeconds(0.4)), age: 2.1);
        Assert.Empty(diagnosis.Findings);
        Assert.Equal(
            "http://c:8500 answers, leader 10.0.0.1:8300, clock agrees, catalog confirmed 2.1 s ago, 12 service watches, no error", Seen(diagnosis, "source consul"));
    }

    [Theory]
    [InlineData(-7)]
    [InlineData(61)]
    public void Clocks_that_differ_are_a_finding_of_the_host(int seconds)
    {
        DoctorFinding finding = Assert.Single(Judge(new ConsulSight("http://c:8500", null, "x", TimeSpan.FromSeconds(seconds))).Findings);
        Assert.Equal(("clock-skew", "host"), (finding.Code, finding.Fault));
        Assert.Contains(seconds > 0 ? "ahead of" : "behind", finding.What, StringComparison.Ordinal);
    }

    [Fact]
    public void No_leader_is_an_error_of_Consul() => Assert.Equal(
        ("consul-no-leader", "error", "consul"), Shape(Assert.Single(Judge(new ConsulSight("http://c:8500", null, "", null)).Findings)));

    [Theory]
    [InlineData((int)ConsulFailureKind.Unreachable, "consul-unreachable", "consul")]
    [InlineData((int)ConsulFailureKind.Silent, "consul-unreachable", "consul")]
    [InlineData((int)ConsulFailureKind.Forbidden, "consul-forbidden", "configuration")]
    [InlineData((int)ConsulFailureKind.BadAnswer, "consul-bad-answer", "consul")]
    [InlineData((int)ConsulFailureKind.Status, "consul-error", "consul")]
    public void A_look_that_fails_is_told_by_its_kind(int kind, string code, string fault) => Assert.Equal(
        (code, "error", fault),
        Shape(Assert.Single(Judge(new ConsulSight("http://c:8500", new ConsulFailure((ConsulFailureKind)kind, "seen"), null, null)).Findings)));

    [Fact]
    public void What_the_watches_have_said_is_not_said_again()
    {
        Diagnosis diagnosis = new();
        diagnosis.Found(new Problem { Code = "consul-unreachable", Place = "http://c:8500/v1/catalog/services", Now = "stays" }, s_now);
        ConsulChecks.Judge(diagnosis, new SourceSight("consul", new SourceStatus(), new ConsulSight("http://c:8500", new ConsulFailure(ConsulFailureKind.Reset, "x"), null, null)), s_now);
        Assert.Single(diagnosis.Findings);
    }

    [Fact]
    public void A_catalog_that_nobody_confirms_without_a_word_is_a_finding()
    {
        DoctorFinding finding = Assert.Single(Judge(new ConsulSight("http://c:8500", null, "x", null), age: 400).Findings);
        Assert.Equal("catalog-old", finding.Code);
        Assert.Equal(s_now.AddSeconds(-400), finding.Since);
    }

    [Fact]
    public void Why_each_instance_is_out_is_named_and_the_advice_fits()
    {
        DestinationPlan critical = Clusters.Destination("a", reported: ReportedHealth.Critical);
        ClusterTable clusters = Table(critical, Clusters.Destination("b", reported: ReportedHealth.Maintenance), Clusters.Destination("c", weight: 0));
        Diagnosis diagnosis = Services(clusters, new Dictionary<InstanceKey, string> { [critical.Instance] = "Consul check 'web alive' is critical: refused" });
        DoctorFinding finding = Assert.Single(diagnosis.Findings);
        Assert.Equal(("service-without-instance", "error", "instance"), Shape(finding));
        Assert.Equal("web", finding.Service);
        Assert.Equal(":3000", finding.Place);
        Assert.Equal(s_now, finding.Since);
        Assert.Contains("0 of 3 instances", finding.What, StringComparison.Ordinal);
        Assert.Contains("n/a at 10.0.0.1:1097 (Consul check 'web alive' is critical: refused)", finding.What, StringComparison.Ordinal);
        Assert.Contains("n/b at 10.0.0.1:1098 (it is in maintenance)", finding.What, StringComparison.Ordinal);
        Assert.Contains("n/c at 10.0.0.1:1099 (its weight is 0)", finding.What, StringComparison.Ordinal);
        Assert.Contains("503", finding.Now, StringComparison.Ordinal);
    }

    [Fact]
    public void A_service_wholly_in_maintenance_is_told_to_be_meant()
    {
        DoctorFinding finding = Assert.Single(Services(Table(Clusters.Destination("a", reported: ReportedHealth.Maintenance))).Findings);
        Assert.Equal("catalog", finding.Fault);
        Assert.Contains("end the maintenance", finding.Do, StringComparison.Ordinal);
    }

    [Fact]
    public void One_usable_instance_is_enough_and_an_environment_that_never_had_one_is_nobodys_outage()
    {
        Assert.Empty(Services(Table(Clusters.Destination("a"), Clusters.Destination("b", reported: ReportedHealth.Critical))).Findings);
        Assert.Empty(Services(Table()).Findings);
    }

    [Fact]
    public void An_outage_is_dated_by_the_first_look_that_saw_it_and_ends_with_it()
    {
        ClusterTable clusters = Table(Clusters.Destination("a"));
        ServiceOutages outages = new(clusters);
        Assert.Empty(outages.Look(s_now));
        Change(clusters, Clusters.Destination("a", reported: ReportedHealth.Critical));
        Assert.Equal(s_now.AddSeconds(5), Assert.Single(outages.Look(s_now.AddSeconds(5))).Since);
        Assert.Equal(s_now.AddSeconds(5), Assert.Single(outages.Look(s_now.AddSeconds(50))).Since);
        Change(clusters, Clusters.Destination("a"));
        Assert.Empty(outages.Look(s_now.AddSeconds(60)));
    }

    [Fact]
    public void A_service_whose_last_instance_left_the_catalog_is_one()
    {
        ClusterTable clusters = Table(Clusters.Destination("a"));
        ServiceOutages outages = new(clusters);
        outages.Look(s_now);
        Change(clusters);
        Diagnosis diagnosis = new();
        ServiceChecks.Judge(diagnosis, State(), clusters.Clusters, outages.Look(s_now.AddSeconds(5)), s_nothing, []);
        Assert.Equal(("service-without-instance", "warning", "catalog"), Shape(Assert.Single(diagnosis.Findings)));
    }

    [Fact]
    public void Instances_that_were_all_set_aside_are_named_with_the_reason()
    {
        ClusterTable clusters = Table();
        Instance registered = new() { Service = "web", Node = "n", ServiceId = "a", Address = "10.0.0.1", Port = 80 };
        ControlState state = State() with { Catalogs = new Dictionary<string, CatalogSnapshot> { ["consul"] = CatalogSnapshot.Of([registered]) } };
        Problem unclear = new() { Code = "environment-unclear", Service = "web", Instance = "n/a", Place = "tag", Value = "stagging", Now = "out" };
        Diagnosis diagnosis = new();
        ServiceChecks.Judge(diagnosis, state, clusters.Clusters, [], s_nothing, [new StandingProblem(unclear, s_now)]);
        DoctorFinding finding = Assert.Single(diagnosis.Findings);
        Assert.Equal(("service-without-instance", "error", "catalog"), Shape(finding));
        Assert.Contains("n/a (environment-unclear: tag 'stagging')", finding.What, StringComparison.Ordinal);
        Assert.Equal(s_now, finding.Since);
    }

    [Theory]
    [InlineData(100, 100, 10, "gateway.yaml:1:1", null, null)]
    [InlineData(200, 100, 10, "gateway.yaml:1:1: 200, lowered", "limit-lowered", "warning")]
    [InlineData(200, 100, 10, "default: 200, lowered", "limit-lowered", "info")]
    [InlineData(100, 100, 80, "default", "connections-near-limit", "warning")]
    [InlineData(100, 100, 100, "default", "connections-at-limit", "error")]
    public void Limits_are_judged_by_what_is_open(int wanted, int inForce, int open, string from, string? code, string? severity)
    {
        Diagnosis diagnosis = new();
        TrafficChecks.Limits(diagnosis, new LimitFacts(wanted, inForce, from, 1024, 50, open));
        DoctorFinding? finding = diagnosis.Findings.SingleOrDefault();
        Assert.Equal((code, severity), (finding?.Code, finding?.Severity));
        Assert.StartsWith($"{open} of {inForce} ({from})", Seen(diagnosis, "connections"), StringComparison.Ordinal);
    }

    [Fact]
    public void Worst_comes_first_and_causes_before_what_they_cause()
    {
        Diagnosis diagnosis = new();
        foreach (string code in (string[])["needs-upgrade", "tag-malformed", "service-without-instance", "consul-unreachable", "gateway-unreachable", "foreign"])
        {
            diagnosis.Found(new Problem { Code = code, Place = "p", Now = "n" }, s_now);
        }

        Assert.Equal(
            ["gateway-unreachable", "service-without-instance", "consul-unreachable", "foreign", "tag-malformed", "needs-upgrade"],
            diagnosis.View(s_now, true).Findings.Select(f => f.Code));
    }

    private static (string, string, string) Shape(DoctorFinding finding) => (finding.Code, finding.Severity, finding.Fault);

    private static string Seen(Diagnosis diagnosis, string name) => diagnosis.View(s_now, true).Checked.Single(c => c.Name == name).Seen;

    private static Diagnosis Judge(ConsulSight sight, double age = 1)
    {
        Diagnosis diagnosis = new();
        SourceStatus status = new() { HasReported = true, LastContact = s_now.AddSeconds(-age), Mode = "12 service watches" };
        ConsulChecks.Judge(diagnosis, new SourceSight("consul", status, sight), s_now);
        return diagnosis;
    }

    private static Diagnosis Services(ClusterTable clusters, IReadOnlyDictionary<InstanceKey, string>? why = null)
    {
        Diagnosis diagnosis = new();
        ServiceChecks.Judge(diagnosis, State(), clusters.Clusters, new ServiceOutages(clusters).Look(s_now), why ?? s_nothing, []);
        return diagnosis;
    }

    private static ControlState State() => new()
    {
        Plan = Plan.Empty with
        {
            Listeners =
            [
                new ListenerPlan
                {
                    Key = new ListenerKey(ListenerKey.Internal, 3000), Protocol = ListenProtocol.Http, Service = "web", Environment = "production", Cluster = "web@production",
                },
            ],
        },
    };

    private static ClusterTable Table(params DestinationPlan[] destinations)
    {
        ClusterTable clusters = new();
        clusters.Publish([Clusters.Plan(destinations)], []);
        return clusters;
    }

    private static void Change(ClusterTable clusters, params DestinationPlan[] destinations) =>
        clusters.Publish([], [new Change<ClusterPlan>(clusters.Clusters[0].Plan, Clusters.Plan(destinations))]);
}
