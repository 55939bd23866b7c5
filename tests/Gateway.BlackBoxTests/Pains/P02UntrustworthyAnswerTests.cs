using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Pains;

/// <summary>
/// P2, empty or short answers taken for the truth. Goal: an answer without a leader, of a token that sees nothing, of a server that
/// fails, or cut in half removes nothing, and the first sound one afterwards counts. Method: a real Consul with something before it
/// that spoils its answers in turn, load meanwhile; a real Consul whose ACL takes the token's rights away. (The rebuilt, empty
/// Consul is in <c>GuardTests</c>.)
/// </summary>
[Trait("Needs", "consul")]
public sealed class P02UntrustworthyAnswerTests
{
    private static readonly (string What, Func<string, Interference> Answer)[] Spoiled =
    [
        ("403", static _ => new Interference { Status = 403, Body = "Permission denied" }),
        ("500", static _ => new Interference { Status = 500, Body = "No cluster leader" }),
        ("empty, no leader", static path => Empty(path, "X-Consul-KnownLeader: false\r\n")),
        ("empty, and the leader does not confirm it", static path =>
            path.Contains("stale", StringComparison.Ordinal) ? Empty(path, "") : new Interference()),
        ("empty of everything, Consul itself included", static path => Empty(path, "")),
        ("filtered by ACLs", static path => Empty(path, "X-Consul-Results-Filtered-By-ACLs: true\r\n")),
        ("cut in half", static _ => new Interference { Truncates = true }),
        ("no body", static _ => new Interference { Body = "" }),
        ("a page of something else", static _ => new Interference { Body = "<html>hello</html>" }),
        ("silence", static _ => new Interference { Hangs = true }),
    ];

    [ConsulFact]
    public async Task Spoiled_answers_remove_nothing_and_the_first_sound_one_counts()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        using ConsulBetween between = new(consul);
        using NodeServer server = await NodeServer.Start("one", tcp: true);
        int http = Ports.Production(), tcp = Ports.Production();
        await consul.Register(server.AsService("kept", "production", $"internal-listen-http-{http}"));
        await consul.Register(new Registration("kept-tcp", "kept-tcp-1", server.TcpPort, "production", $"internal-listen-tcp-{tcp}"));
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(between.Address).Replace(
            $"\"{between.Address}\"", $"\"{between.Address}\", wait: 1s", StringComparison.Ordinal));
        await Platform.Serves(http, "one");
        await Eventually.True(() => Wire.Accepts(tcp), "the TCP port opens");

        LoadClient load = new LoadClient().Http(http, keepAlive: 2, fresh: 1).Tcp(tcp, kept: 1, fresh: 1);
        foreach ((string what, Func<string, Interference> answer) in Spoiled)
        {
            int spoiled = 0;
            between.Script = path =>
            {
                Interlocked.Increment(ref spoiled);
                return answer(path);
            };
            await Eventually.True(() => Volatile.Read(ref spoiled) >= 4, $"{what}: some spoiled answers");
            WireAnswer meanwhile = await Wire.Get(http);
            Assert.True(meanwhile.ServedBy == "one", $"{what}: {meanwhile.Status} {meanwhile.Reason}");

            // What changed meanwhile counts with the first sound answer; silence is broken off after the deadline of a query.
            int port = Ports.Production();
            await consul.Register(server.AsService($"after-{spoiled}-{port}", "production", $"internal-listen-http-{port}"));
            between.Script = static _ => null;
            await Platform.Serves(port, "one", seconds: 30);
            string left = "";
            await Eventually.True(
                async () => (left = string.Join('\n', (await gateway.Problems()).Select(GatewayProcess.Plain))).Length == 0,
                $"{what}: no problem is left",
                now: () => left);
        }

        LoadReport report = await load.Stop();
        Assert.True(report.Failures == 0 && report.Renewals == 0, report.ToString());
    }

    [ConsulFact]
    public async Task Token_that_loses_its_rights_removes_nothing()
    {
        string master = Guid.NewGuid().ToString();
        await using ConsulProcess consul = await ConsulProcess.Start(aclMaster: master);
        using NodeServer server = await NodeServer.Start("one");
        int port = Ports.Production(), later = Ports.Production();
        await consul.Register(server.AsService("guarded", "production", $"internal-listen-http-{port}"));
        string rules = """{ "Name": "gateway", "Rules": "service_prefix \"\" { policy = \"read\" } node_prefix \"\" { policy = \"read\" } key_prefix \"\" { policy = \"read\" }" }""";
        string policy = await consul.PutJson("/v1/acl/policy", rules, "ID");
        string token = await consul.PutJson("/v1/acl/token", """{ "Policies": [{ "Name": "gateway" }] }""", "SecretID");

        using GatewayProcess gateway = await GatewayProcess.StartReady(
            Platform.Configuration(consul).Replace(
                $"\"{consul.Address}\"", $"\"{consul.Address}\", tokenFile: token, wait: 1s", StringComparison.Ordinal),
            files: ("token", token + "\n"));
        await Platform.Serves(port, "one");

        // Consul 1.8 says nothing of a filter: 200 and an empty catalog, confirmed by the leader.
        await consul.PutJson($"/v1/acl/policy/{policy}", """{ "Name": "gateway", "Rules": "" }""", "ID");
        await gateway.Problem("consul-");
        await Eventually.Stays(async () => (await Wire.Get(port)).ServedBy == "one", "it is served", seconds: 3);

        await consul.PutJson($"/v1/acl/policy/{policy}", rules, "ID");
        await consul.Register(server.AsService("later", "production", $"internal-listen-http-{later}"));
        await Platform.Serves(later, "one", seconds: 40);
        await Eventually.True(async () => (await gateway.Problems()).Length == 0, "no problem is left");
    }

    private static Interference Empty(string path, string headers) => new()
    {
        Headers = headers,
        Body = path.StartsWith("/v1/catalog/services", StringComparison.Ordinal) ? "{}" : "[]",
    };
}
