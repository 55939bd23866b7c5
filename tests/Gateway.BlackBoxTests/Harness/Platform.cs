namespace Gateway.BlackBoxTests.Harness;

/// <summary>
/// A platform of one host: one Consul agent, one gateway that follows it, and the instances that a test starts. Shared by the
/// tests of a class; each takes services and ports of its own.
/// </summary>
public sealed class Platform : IAsyncLifetime
{
    private readonly List<IDisposable> started = [];
    private readonly SemaphoreSlim sharing = new(1, 1);
    private int sharedPort;

    internal ConsulProcess Consul { get; private set; } = null!;

    internal GatewayProcess Gateway { get; private set; } = null!;

    /// <summary>The configuration of the shared gateway: defaults, with what makes a test quick or safe beside others.</summary>
    internal static string Configuration(ConsulProcess consul, string more = "") => Configuration(consul.Address, more);

    /// <summary>As the other, for something that stands before Consul.</summary>
    internal static string Configuration(string address, string more = "") =>
        $$"""
        catalog:
          consul: { address: "{{address}}" }
          portGrace: 500ms
        internal: { addresses: [127.0.0.1, "::1", 127.0.0.2] }
        """ + "\n" + more;

    public async ValueTask InitializeAsync()
    {
        if (ConsulProcess.IsInstalled)
        {
            Consul = await ConsulProcess.Start();
            Gateway = await GatewayProcess.StartReady(Configuration(Consul));
        }
    }

    /// <summary>Starts a test-server and registers it.</summary>
    internal async Task<NodeServer> Serve(string service, string id, params string[] tags)
    {
        NodeServer server = Keep(await NodeServer.Start(id));
        await Consul.Register(server.AsService(service, tags));
        return server;
    }

    /// <summary>The port of one plain service, <c>shared</c>, for every test of the class that only needs somebody to answer.</summary>
    internal async Task<int> Shared()
    {
        await sharing.WaitAsync();
        try
        {
            if (sharedPort == 0)
            {
                int port = Ports.Production();
                await Serve("shared", "shared", "production", $"internal-listen-http-{port}");
                await Serves(port, "shared");
                sharedPort = port;
            }

            return sharedPort;
        }
        finally
        {
            sharing.Release();
        }
    }

    /// <summary>Disposes it with the platform.</summary>
    internal T Keep<T>(T thing)
        where T : IDisposable
    {
        lock (started)
        {
            started.Add(thing);
        }

        return thing;
    }

    /// <summary>Waits until the port answers 200, by whom is asked for.</summary>
    internal static Task Serves(int port, string? servedBy = null, string address = "127.0.0.1", double seconds = 20) => Eventually.True(
        async () =>
        {
            WireAnswer answer = await Wire.Get(port, "/", address: address);
            return answer.Status == 200 && (servedBy is null || answer.ServedBy == servedBy)
                ? true
                : throw new IOException($"{answer.Status} {answer.Reason} from {answer.ServedBy ?? "gateway"}");
        },
        $"{address}:{port} answers 200{(servedBy is null ? "" : $" from {servedBy}")}",
        seconds);

    /// <summary>Waits until the port answers with this status.</summary>
    internal static Task Answers(int port, int status, double seconds = 20) => Eventually.True(
        async () =>
        {
            WireAnswer answer = await Wire.Get(port);
            return answer.Status == status ? true : throw new IOException($"{answer.Status} {answer.Reason}");
        },
        $":{port} answers {status}",
        seconds);

    /// <summary>Waits until nothing accepts there.</summary>
    internal static Task Closed(int port, double seconds = 20) =>
        Eventually.True(async () => !await Wire.Accepts(port), $":{port} is closed", seconds);

    /// <summary>How often each instance answered in so many requests, each on a connection of its own.</summary>
    internal static async Task<Dictionary<string, int>> Spread(int port, int requests, string path = "/")
    {
        Dictionary<string, int> counts = new(StringComparer.Ordinal);
        for (int i = 0; i < requests; i++)
        {
            WireAnswer answer = await Wire.Get(port, path);
            string who = answer.ServedBy ?? $"{answer.Status} {answer.Reason}";
            counts[who] = counts.GetValueOrDefault(who) + 1;
        }

        return counts;
    }

    public async ValueTask DisposeAsync()
    {
        sharing.Dispose();
        Gateway?.Dispose();
        foreach (IDisposable thing in started)
        {
            thing.Dispose();
        }

        if (Consul is not null)
        {
            await Consul.DisposeAsync();
        }
    }
}
