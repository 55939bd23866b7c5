using System.Text.Json;

namespace Gateway.BlackBoxTests.Harness;

/// <summary>One instance of a Node program from <c>tests/fixtures</c>.</summary>
internal sealed class NodeServer : IDisposable
{
    private readonly ChildProcess process;

    private NodeServer(ChildProcess process, string id, string address, int port, int? tcpPort)
    {
        this.process = process;
        Id = id;
        Address = address;
        Port = port;
        TcpPort = tcpPort ?? 0;
    }

    public string Id { get; }

    public string Address { get; }

    public int Port { get; }

    /// <summary>Its TCP echo, 0 without one.</summary>
    public int TcpPort { get; }

    /// <summary>Whether <c>npm ci</c> was run in tests/fixtures: WebSockets and gRPC need it.</summary>
    public static bool HasPackages { get; } = Directory.Exists(Path.Combine(Repository.Fixtures, "node_modules", "ws"));

    /// <summary>The article's test-server.</summary>
    public static Task<NodeServer> Start(
        string id, string address = "127.0.0.1", bool tcp = false, string? banner = null, int bannerDelay = 0, int port = 0)
    {
        Dictionary<string, string?> environment = new()
        {
            ["ID"] = id,
            ["ADDRESS"] = address,
            ["PORT"] = (port == 0 ? Ports.Any() : port).ToString(),
            ["TCP_PORT"] = tcp ? Ports.Any().ToString() : null,
            ["BANNER"] = banner,
            ["BANNER_DELAY"] = bannerDelay.ToString(),
        };
        return Launch("test-server/server.js", id, address, environment);
    }

    /// <summary>The gRPC server.</summary>
    public static Task<NodeServer> StartGrpc(string id) => Launch(
        "grpc/server.js",
        id,
        "127.0.0.1",
        new Dictionary<string, string?> { ["ID"] = id, ["PORT"] = Ports.Any().ToString() });

    /// <summary>A Consul that lies about one service once it is told to (<c>/liar/on</c>).</summary>
    public static Task<NodeServer> StartLiar(int consulPort, string about, string with) => Launch(
        "consul-liar.js",
        "liar",
        "127.0.0.1",
        new Dictionary<string, string?>
        {
            ["PORT"] = Ports.Any().ToString(),
            ["CONSUL_PORT"] = consulPort.ToString(),
            ["LIE_ABOUT"] = about,
            ["LIE_WITH"] = with,
        });

    /// <summary>A service-wrapper that polls a prefix through Gateway's listener to Consul.</summary>
    public static Task<NodeServer> StartServiceWrapper(int port, string prefix, string wait) => Launch(
        "service-wrapper.js",
        "service-wrapper",
        "127.0.0.1",
        new Dictionary<string, string?> { ["PORT"] = port.ToString(), ["PREFIX"] = prefix, ["WAIT"] = wait });

    /// <summary>What it printed so far.</summary>
    public string Output => process.StandardOutput;

    /// <summary>The service registration of this instance.</summary>
    public Registration AsService(string name, params string[] tags) => new(name, $"{name}-{Id}", Port, tags) { Address = Address };

    public bool Send(int signal) => process.Send(signal);

    /// <summary>SIGKILL, waited for: from now on its port refuses.</summary>
    public void Kill() => process.Dispose();

    /// <summary>Asks the instance itself, past Gateway.</summary>
    public Task<WireAnswer> Ask(string path) => Wire.Get(Port, path, address: Address);

    /// <summary>How often it was asked for a path so far.</summary>
    public async Task<int> Seen(string path)
    {
        WireAnswer answer = await Ask("/seen");
        return answer.Json.RootElement.TryGetProperty(path, out JsonElement count) ? count.GetInt32() : 0;
    }

    public void Dispose() => process.Dispose();

    private static async Task<NodeServer> Launch(
        string script, string id, string address, IReadOnlyDictionary<string, string?> environment)
    {
        string node = Repository.Which("node") ?? throw new InvalidOperationException("node is not installed: run tests/run.sh");
        ChildProcess launched = ChildProcess.Start(node, [Path.Combine(Repository.Fixtures, script)], environment);
        try
        {
            string line = await Eventually.Something(
                () => Task.FromResult(launched.StandardOutput.Split('\n').FirstOrDefault(text => text.Contains("\"ready\"", StringComparison.Ordinal))
                    ?? (launched.HasExited ? throw new HopelessException($"{script} has exited:\n{launched.Output}") : null)),
                $"{script} listens");
            using JsonDocument ready = JsonDocument.Parse(line);
            int? tcpPort = ready.RootElement.TryGetProperty("tcpPort", out JsonElement tcp) && tcp.ValueKind == JsonValueKind.Number
                ? tcp.GetInt32()
                : null;
            return new NodeServer(launched, id, address, ready.RootElement.GetProperty("port").GetInt32(), tcpPort);
        }
        catch
        {
            launched.Dispose();
            throw;
        }
    }
}
