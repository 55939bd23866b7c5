using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.Tests.Planning;

public sealed class PlanTextTests
{
    private static readonly Instance Web = new()
    {
        Service = "web",
        Node = "n1",
        ServiceId = "web-1",
        Address = "10.0.0.1",
        Port = 31000,
        Tags = ["production", "internal-listen-http-3000"],
    };

    [Fact]
    public void A_difference_reads_line_by_line()
    {
        PlanningOptions options = new() { Environments = [new("production", "{port}", "{host}")] };
        Plan old = Plan(options, Web, Web with { ServiceId = "web-2", Port = 31001 }, Web with { Service = "gone", ServiceId = "g", Tags = ["internal-listen-tcp-5432"] });
        Plan @new = Plan(
            options,
            Web with { Health = ReportedHealth.Critical, Tags = [.. Web.Tags, "balance-leastconn"] },
            Web with { ServiceId = "web-3", Port = 31002, Tags = [.. Web.Tags, "balance-leastconn"] },
            Web with { Service = "fresh", ServiceId = "f", Tags = ["internal-listen-tcp-5432", "balance-x"] });
        Assert.Equal(
            """
            ~ listener :5432 tcp fresh@production -> fresh@production (was listener :5432 tcp gone@production -> gone@production)
            + cluster fresh@production tcp balance=roundrobin check=tcp
            + destination n1/f 10.0.0.1:31000 unchecked weight=1 of fresh@production
            ~ cluster web@production http balance=leastconn check=auto (was cluster web@production http balance=roundrobin check=auto)
            + destination n1/web-3 10.0.0.1:31002 unchecked weight=1 of web@production
            ~ destination n1/web-1 10.0.0.1:31000 critical weight=1 (no new work) of web@production (was destination n1/web-1 10.0.0.1:31000 unchecked weight=1 of web@production)
            - destination n1/web-2 10.0.0.1:31001 unchecked weight=1 of web@production
            - cluster gone@production tcp balance=roundrobin check=tcp
            - destination n1/g 10.0.0.1:31000 unchecked weight=1 of gone@production
            + problem service 'fresh', instance 'n1/f', tag 'balance-x': value-invalid: allowed is roundrobin, leastconn; tag ignored: balance is roundrobin unless the file, Meta or other instances say more

            """,
            PlanText.RenderDiff(PlanDiff.Between(old, @new)),
            ignoreLineEndingDifferences: true);
    }

    [Fact]
    public void A_long_difference_is_cut_and_says_how_much_is_missing()
    {
        PlanDiff diff = PlanDiff.Between(Gateway.Planning.Plan.Empty, Plan(new PlanningOptions(), Web));
        Assert.Equal(
            "+ listener :3000 http web@production -> web@production\n… and 6 more changes\n",
            PlanText.RenderDiff(diff, linesMax: 1));
    }

    [Fact]
    public void No_difference_is_no_text()
    {
        Plan plan = Plan(new PlanningOptions(), Web);
        Assert.Empty(PlanText.RenderDiff(PlanDiff.Between(plan, plan)));
        Assert.True(PlanDiff.Between(plan, Plan(new PlanningOptions(), Web with { })).IsEmpty);
    }

    [Fact]
    public void A_name_cannot_forge_a_line()
    {
        string text = PlanText.Render(Plan(new PlanningOptions(), Web with { Service = "a\nlistener :1 http x@y -> z\u2028" }));
        Assert.DoesNotContain("\nlistener :1 ", text, StringComparison.Ordinal);
        Assert.DoesNotContain('\u2028', text);
        Assert.Contains("a\\u000Alistener :1", text, StringComparison.Ordinal);
    }

    private static Plan Plan(PlanningOptions options, params Instance[] instances) =>
        new Planner().Plan(new PlanInput { Catalogs = [CatalogSnapshot.Of(instances)], Options = options });
}
