using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Edge;

/// <summary>
/// B19. Goal: the edge leads by host name to the service of the environment, exactly and without case; an unknown host is 404
/// (HAProxy: 503), one whose service has no instance 503, and never another service. Method: two services, a table of hosts, with
/// tags and with <c>external.hosts</c>.
/// </summary>
[Trait("Needs", "consul")]
public sealed class B19HostTests(EdgePlatform edge) : IClassFixture<EdgePlatform>
{
    [ConsulFact]
    public async Task Hosts_lead_to_their_service_and_environment_exactly()
    {
        string[] hosts = ["external-host-mesos-test.domain.com", "external-host-*.wild.domain.com"];
        await edge.Serve("b19", "production-1", ["production", .. hosts]);
        await edge.Serve("b19", "staging-1", ["staging", .. hosts]);
        await edge.Serve("b19-api", "api-1", "production", "external-host-mesos-test.domain.com/api");
        await edge.Serve("b19-empty", "gone", "production", "external-host-empty.domain.com");
        await edge.Serves("mesos-test.domain.com", "production-1");
        await edge.Serves("staging-mesos-test.domain.com", "staging-1");
        await edge.Serves("mesos-test.domain.com", "api-1", "/api");
        await edge.Serves("empty.domain.com", "gone");

        foreach ((string host, string path, string? servedBy, int status) in (ReadOnlySpan<(string, string, string?, int)>)
        [
            ("MESOS-Test.Domain.COM", "/", "production-1", 200),
            ("mesos-test.domain.com.", "/", "production-1", 200),
            ($"mesos-test.domain.com:{edge.Http}", "/", "production-1", 200),
            ("mesos-test.domain.com:443", "/", "production-1", 200),
            ("Staging-mesos-test.domain.com", "/", "staging-1", 200),
            ("mesos-test.domain.com", "/api/v1?x=1", "api-1", 200),
            ("mesos-test.domain.com", "/apiary", "production-1", 200),
            ("a.wild.domain.com", "/", "production-1", 200),
            ("a.b.wild.domain.com", "/", "production-1", 200),
            ("wild.domain.com", "/", null, 404),
            ("evil-mesos-test.domain.com", "/", null, 404),
            ("mesos-test.domain.com.evil.com", "/", null, 404),
            ("est.domain.com", "/", null, 404),
            ("domain.com", "/", null, 404),
            ("127.0.0.1", "/", null, 404),
            ("staging-empty.domain.com", "/", null, 503),
            ("nobody.domain.com", "/", null, 503),
        ])
        {
            EdgeAnswer got = edge.Get(tls: false, host, path).GetAwaiter().GetResult();
            Assert.True(got.Answer.Status == status && got.Answer.ServedBy == servedBy, $"{host}{path}: {got.Answer.Status} {got.Answer.Reason} {got.Answer.ServedBy}");
            Assert.Equal(status switch { 404 => "no-route", 503 => "no-instance", _ => null }, got.Answer.Reason);
        }
    }

    [ConsulFact]
    public async Task The_files_hosts_lead_to_services_without_tags_and_win_over_tags()
    {
        await edge.Serve("edge-file", "file-production", "production");
        await edge.Serve("edge-file", "file-staging", "staging");
        await edge.Serve("b19-thief", "thief", "production", "external-host-file.domain.com", "external-host-exact.domain.com");
        await edge.Serves("file.domain.com", "file-production");
        await edge.Serves("staging-file.domain.com", "file-staging");
        await edge.Serves("exact.domain.com", "file-staging", "/Only/this");
        await edge.Serves("exact.domain.com", "thief", "/only");
        await edge.Gateway.Problem("host-taken", "b19-thief", "external.hosts");
        Assert.Equal("file-production", (await edge.Get(tls: true, "file.domain.com")).Answer.ServedBy);

        CommandResult routes = await edge.Gateway.Command("routes");
        Assert.Contains("staging-file.domain.com", routes.Out, StringComparison.Ordinal);
        CommandResult listeners = await edge.Gateway.Command("listeners");
        Assert.Contains("https", listeners.Out, StringComparison.Ordinal);
        Assert.Contains($"*:{edge.Http}", listeners.Out, StringComparison.Ordinal);
    }
}
