using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Lifecycle;

/// <summary>
/// SPEC §3, guard; T16, P1, P2. Goal: an almost empty catalog removes nothing that probes still reach, while single
/// deregistrations and real scale-downs take effect at once. Method: a real Consul that is rebuilt empty, or told to deregister,
/// with instances that live in this process; what the gateway has is read from its API.
/// </summary>
[Trait("Needs", "consul")]
public sealed class GuardTests
{
    [ConsulFact]
    public async Task P2_A_rebuilt_empty_Consul_removes_nobody_who_answers()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        using Listeners five = new(5);
        int port = Ports.Production();
        await five.Register(consul, "mass", port);
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(consul));
        await Has(gateway, "mass", [1, 2, 3, 4, 5]);

        // 1. Everything is gone there, and nobody here.
        await consul.Rebuild();
        JsonElement held = await gateway.ProblemWithin(40, "removal-held", "mass-3", "gateway accept mass/mass-3", "5 of 5 instances");
        await Eventually.Stays(
            async () => await Instances(gateway, "mass") is { Length: 5 } && await Wire.Accepts(port), "all five serve", seconds: 3);
        Assert.Contains("in ", held.GetProperty("now").GetString(), StringComparison.Ordinal);
        CommandResult problems = await gateway.Command("problems");
        Assert.Contains("removal-held", problems.Out, StringComparison.Ordinal);

        // 2. Who stops answering goes.
        five.Stop(1);
        await Has(gateway, "mass", [2, 3, 4, 5]);

        // 3. Who is accepted goes, by any of its names.
        Assert.Equal(0, (await gateway.Command("accept", "mass/mass-2")).Exit);
        await Has(gateway, "mass", [3, 4, 5]);
        Assert.Equal(1, (await gateway.Command("accept", "mass/mass-2")).Exit);
        Assert.Equal(1, (await gateway.Command("accept", "nobody")).Exit);
        Assert.Equal(0, (await gateway.Command("accept", $"mass@production/{five.EndPoint(3)}")).Exit);
        await Has(gateway, "mass", [4, 5]);

        // 4. Who registers again is held no more.
        await five.Register(consul, "mass", port, 4);
        await Eventually.True(
            async () => (await gateway.Problems()).Count(p => GatewayProcess.Plain(p).Contains("removal-held", StringComparison.Ordinal)) == 1,
            "only the fifth is held");
        await Has(gateway, "mass", [4, 5]);
        Assert.Equal(0, (await gateway.Command("accept", "mass")).Exit);
        await Has(gateway, "mass", [4]);
    }

    [ConsulFact]
    public async Task P2_While_those_dropped_are_asked_they_serve()
    {
        // A probe that takes a while shows what happens until its answer: nothing.
        await using ConsulProcess consul = await ConsulProcess.Start();
        using NodeServer server = await NodeServer.Start("served");
        int port = Ports.Production();
        for (int i = 1; i <= 3; i++)
        {
            await consul.Register(new Registration(
                "asked", $"asked-{i}", server.Port, "production", $"internal-listen-http-{port}", "gateway-check.http=/slow?ms=700"));
        }

        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(consul));
        await Platform.Serves(port, "served");
        await Has(gateway, "asked", [1, 2, 3]);
        LoadClient load = new LoadClient().Http(port, keepAlive: 2, fresh: 1);
        for (int i = 1; i <= 3; i++)
        {
            await consul.Deregister($"asked-{i}");
        }

        await gateway.ProblemWithin(40, "removal-held", "asked-3");
        await Has(gateway, "asked", [1, 2, 3]);
        LoadReport report = await load.Stop();
        Assert.True(report is { Failures: 0, Renewals: 0 }, report.ToString());
    }

    [ConsulFact]
    public async Task P1_A_restart_between_the_rebuild_and_the_return_keeps_what_answers()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        using Listeners five = new(5);
        int port = Ports.Production();
        await five.Register(consul, "kept", port);
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(consul));
        await Has(gateway, "kept", [1, 2, 3, 4, 5]);
        await Eventually.True(() => OnDisk(gateway, "kept-5"), "the last known good is on disk");

        // SIGKILL of both; the gateway comes back alone, then meets a Consul that knows nothing.
        consul.Kill();
        gateway.KillAndStart();
        await Eventually.True(() => Wire.Accepts(port), "the port is open");
        await gateway.Ready();
        Assert.StartsWith("degraded: serving the last known good of consul from ", (await gateway.Readiness()).Text, StringComparison.Ordinal);
        await gateway.Problem("last-known-good", "source consul");
        Assert.Contains("degraded", (await gateway.Command("status")).Out, StringComparison.Ordinal);
        await consul.Rebuild();
        await gateway.ProblemWithin(40, "removal-held", "kept-5");
        await Has(gateway, "kept", [1, 2, 3, 4, 5]);
        await Eventually.True(async () => (await gateway.Readiness()).Text == "ready", "no longer degraded");

        // Held ones are held over one more restart.
        await Eventually.True(() => OnDisk(gateway, "gone within"), "the holds are on disk");
        gateway.KillAndStart();
        await gateway.Ready();
        await gateway.ProblemWithin(40, "removal-held", "kept-5");
        await Has(gateway, "kept", [1, 2, 3, 4, 5]);
    }

    [ConsulFact]
    public async Task One_of_five_goes_at_once_although_it_answers()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        using Listeners five = new(5);
        await five.Register(consul, "single", Ports.Production());
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(consul));
        await Has(gateway, "single", [1, 2, 3, 4, 5]);

        await consul.Deregister("single-2");

        await Has(gateway, "single", [1, 3, 4, 5]);
        Assert.DoesNotContain(await gateway.Problems(), p => GatewayProcess.Plain(p).Contains("removal-held", StringComparison.Ordinal));
    }

    [ConsulFact]
    public async Task A_scale_down_from_ten_to_two_whose_processes_are_gone_goes_at_once()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        using Listeners ten = new(10);
        int port = Ports.Production();
        await ten.Register(consul, "scaled", port);
        using GatewayProcess gateway = await GatewayProcess.StartReady(Platform.Configuration(consul));
        await Has(gateway, "scaled", [.. Enumerable.Range(1, 10)]);

        for (int i = 3; i <= 10; i++)
        {
            ten.Stop(i);
            await consul.Deregister($"scaled-{i}");
        }

        await Has(gateway, "scaled", [1, 2]);
        Assert.DoesNotContain(await gateway.Problems(), p => GatewayProcess.Plain(p).Contains("removal-held", StringComparison.Ordinal));
        Assert.True(await Wire.Accepts(port));
    }

    [ConsulFact]
    public async Task After_its_time_Consul_is_asked_and_what_it_confirms_goes()
    {
        await using ConsulProcess consul = await ConsulProcess.Start();
        using Listeners five = new(5);
        await five.Register(consul, "timed", Ports.Production());
        string configuration = Platform.Configuration(consul).Replace("portGrace", "guard: { holdFor: 6s }\n  portGrace", StringComparison.Ordinal);
        using GatewayProcess gateway = await GatewayProcess.StartReady(configuration);
        await Has(gateway, "timed", [1, 2, 3, 4, 5]);

        for (int i = 2; i <= 5; i++)
        {
            await consul.Deregister($"timed-{i}");
        }

        await gateway.Problem("removal-held", "timed-5");
        await Has(gateway, "timed", [1], seconds: 30);
    }

    private static Task Has(GatewayProcess gateway, string service, int[] instances, double seconds = 20)
    {
        string[] wanted = [.. instances.Select(i => $"{service}-{i}").Order(StringComparer.Ordinal)];
        string[] last = [];
        return Eventually.True(
            async () => (last = await Instances(gateway, service)).SequenceEqual(wanted, StringComparer.Ordinal),
            $"{service} has {string.Join(", ", instances)}",
            seconds,
            now: () => string.Join(", ", last) + "\n" + gateway.Output);
    }

    /// <summary>Service ids of those that take new work, sorted.</summary>
    private static async Task<string[]> Instances(GatewayProcess gateway, string service)
    {
        WireAnswer answer = await Wire.Get(gateway.AdminPort, "/api/v1/destinations");
        return
        [
            .. answer.Json.RootElement.EnumerateArray().Where(d => d.GetProperty("usable").GetBoolean())
                .Select(d => d.GetProperty("instance").GetString()!.Split('/')[1])
                .Where(id => id.StartsWith(service + "-", StringComparison.Ordinal)).Order(StringComparer.Ordinal),
        ];
    }

    private static bool OnDisk(GatewayProcess gateway, string text) =>
        Directory.EnumerateFiles(Path.Combine(gateway.StateDirectory, "catalog-lkg"), "*.json").Order(StringComparer.Ordinal)
            .Any(file => File.ReadAllText(file).Contains(text, StringComparison.Ordinal));

    /// <summary>Instances of a TCP service, numbered from 1: they accept and say nothing.</summary>
    private sealed class Listeners : IDisposable
    {
        private readonly TcpListener[] _listeners;

        public Listeners(int count)
        {
            _listeners = [.. Enumerable.Range(0, count).Select(_ => new TcpListener(IPAddress.Loopback, 0))];
            foreach (TcpListener listener in _listeners)
            {
                listener.Start(512);
            }
        }

        public string EndPoint(int number) => _listeners[number - 1].LocalEndpoint.ToString()!;

        public async Task Register(ConsulProcess consul, string service, int port, params int[] numbers)
        {
            foreach (int i in numbers.Length > 0 ? numbers : [.. Enumerable.Range(1, _listeners.Length)])
            {
                int own = ((IPEndPoint)_listeners[i - 1].LocalEndpoint).Port;
                await consul.Register(new Registration(service, $"{service}-{i}", own, "production", $"internal-listen-tcp-{port}"));
            }
        }

        public void Stop(int number) => _listeners[number - 1].Stop();

        public void Dispose()
        {
            foreach (TcpListener listener in _listeners)
            {
                listener.Dispose();
            }
        }
    }
}
