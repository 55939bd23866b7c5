using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Gateway.BlackBoxTests.Harness;

/// <summary>What a registrator says of one instance: the body of <c>/v1/agent/service/register</c>.</summary>
internal sealed record Registration(string Name, string Id, int Port, params string[] Tags)
{
    [JsonPropertyName("ID")]
    public string Id { get; init; } = Id;

    /// <summary>Null: Consul's clients fall back to the node's address.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Address { get; init; } = "127.0.0.1";

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public Dictionary<string, string>? Meta { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public object? Check { get; init; }
}

/// <summary>
/// A real Consul agent (server) of our own on ports of its own. Data live in a folder that survives <see cref="Kill"/>, so
/// that an agent that comes back still knows what it knew.
/// </summary>
internal sealed class ConsulProcess : IAsyncDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("gwc-").FullName;
    private readonly int serverPort = Ports.Any();
    private readonly int serfPort = Ports.Any();
    private readonly HttpClient client;
    private readonly string nodeAddress;
    private readonly ConsulProcess? server;
    private readonly string? aclMaster;
    private ChildProcess? process;

    private ConsulProcess(string nodeAddress, ConsulProcess? server, string? aclMaster = null)
    {
        this.nodeAddress = nodeAddress;
        this.server = server;
        this.aclMaster = aclMaster;
        HttpPort = Ports.Any();
        client = new HttpClient { BaseAddress = new Uri(Address), Timeout = Eventually.Seconds(15) };
        if (aclMaster is not null)
        {
            client.DefaultRequestHeaders.Add("X-Consul-Token", aclMaster);
        }
    }

    public static bool IsInstalled { get; } = Repository.Which("consul") is not null;

    public int HttpPort { get; }

    public string Address => $"http://127.0.0.1:{HttpPort}";

    public string Node => server is null ? "test-node" : "test-client";

    /// <summary>The agent's output, for a failure's message.</summary>
    public string Output => process?.Tail(50) ?? "";

    /// <summary>Starts a server; with <paramref name="aclMaster"/> its ACLs deny everybody everything but the bearer of that token, us.</summary>
    public static async Task<ConsulProcess> Start(string nodeAddress = "127.0.0.1", string? aclMaster = null)
    {
        ConsulProcess consul = new(nodeAddress, server: null, aclMaster);
        await consul.Launch();
        return consul;
    }

    /// <summary>
    /// Starts a client agent, as every host of a platform runs one: its services are on its own disk, the catalog is the server's,
    /// and on SIGTERM it leaves, which takes its node and services out of the catalog (Consul's default for clients).
    /// </summary>
    public static async Task<ConsulProcess> StartClient(ConsulProcess server)
    {
        ConsulProcess consul = new("127.0.0.1", server);
        await consul.Launch();
        return consul;
    }

    /// <summary>Starts the agent again on the same ports and data.</summary>
    public Task Restart() => Launch();

    /// <summary>SIGKILL: from now on connections to the agent are refused.</summary>
    public void Kill()
    {
        process?.Dispose();
        process = null;
    }

    /// <summary>SIGTERM, waited for: what <c>systemctl stop consul</c> does.</summary>
    public async Task Terminate()
    {
        process!.Send(Signal.Terminate);
        await process.WaitForExit(40);
        Kill();
    }

    /// <summary>SIGKILL, and another agent on the same ports that knows nothing: Consul was rebuilt.</summary>
    public Task Rebuild()
    {
        Kill();
        Directory.Delete(Path.Combine(folder, "data"), recursive: true);
        return Launch();
    }

    /// <summary>SIGSTOP: the agent accepts and never answers.</summary>
    public void Freeze() => process!.Send(Signal.Stop);

    public void Thaw() => process!.Send(Signal.Continue);

    public Task Register(Registration registration) => Put("/v1/agent/service/register", registration);

    public Task Deregister(string id) => Put($"/v1/agent/service/deregister/{Uri.EscapeDataString(id)}", null);

    /// <summary><c>consul maint</c> for one service of this agent.</summary>
    public Task ServiceMaintenance(string id, bool on) =>
        Put($"/v1/agent/service/maintenance/{Uri.EscapeDataString(id)}?enable={(on ? "true" : "false")}", null);

    /// <summary><c>consul maint</c> for the whole node.</summary>
    public Task NodeMaintenance(bool on) => Put($"/v1/agent/maintenance?enable={(on ? "true" : "false")}", null);

    /// <summary>Tells a TTL check <c>passing</c>, <c>warning</c> or <c>critical</c>.</summary>
    public Task UpdateCheck(string checkId, string status) => Put($"/v1/agent/check/update/{checkId}", new { Status = status });

    /// <summary>Writes to the catalog directly, for nodes that have no agent here.</summary>
    public Task RegisterInCatalog(object entry) => Put("/v1/catalog/register", entry);

    public Task DeregisterFromCatalog(object entry) => Put("/v1/catalog/deregister", entry);

    public async Task PutKey(string key, string value)
    {
        using StringContent content = new(value, Encoding.UTF8);
        using HttpResponseMessage answer = await client.PutAsync($"/v1/kv/{key}", content);
        answer.EnsureSuccessStatusCode();
    }

    /// <summary>A GET's body.</summary>
    public Task<string> Get(string path) => client.GetStringAsync(path);

    /// <summary>PUTs JSON and gives one member of the answer.</summary>
    public async Task<string> PutJson(string path, string json, string member)
    {
        using StringContent content = new(json, Encoding.UTF8, "application/json");
        using HttpResponseMessage answer = await client.PutAsync(path, content);
        string text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.IsSuccessStatusCode, $"PUT {path}: {(int)answer.StatusCode} {text}");
        using JsonDocument document = JsonDocument.Parse(text);
        return document.RootElement.GetProperty(member).GetString()!;
    }

    public async Task Put(string path, object? body)
    {
        using HttpContent? content = body is null ? null : JsonContent.Create(body, options: JsonSerializerOptions.Default);
        using HttpResponseMessage answer = await client.PutAsync(path, content);
        if (answer.StatusCode != HttpStatusCode.OK)
        {
            throw new InvalidOperationException($"PUT {path}: {(int)answer.StatusCode} {await answer.Content.ReadAsStringAsync()}");
        }
    }

    public ValueTask DisposeAsync()
    {
        Kill();
        client.Dispose();
        Directory.Delete(folder, recursive: true);
        return ValueTask.CompletedTask;
    }

    private async Task Launch()
    {
        // Raft as quick as it goes, and nothing that asks the outside.
        Dictionary<string, object> configuration = new()
        {
            ["node_name"] = Node,
            ["data_dir"] = Path.Combine(folder, "data"),
            ["bind_addr"] = "127.0.0.1",
            ["client_addr"] = "127.0.0.1",
            ["advertise_addr"] = nodeAddress,
            ["disable_update_check"] = true,
            ["disable_remote_exec"] = true,
            ["limits"] = new { http_max_conns_per_client = 2000 },
            ["ports"] = new { http = HttpPort, dns = -1, grpc = -1, serf_lan = serfPort, serf_wan = -1, server = serverPort },
        };
        if (server is null)
        {
            configuration["server"] = true;
            configuration["bootstrap_expect"] = 1;
            configuration["leave_on_terminate"] = false;
            configuration["performance"] = new { raft_multiplier = 1 };
        }
        else
        {
            configuration["retry_join"] = new[] { $"127.0.0.1:{server.serfPort}" };
            configuration["retry_interval"] = "1s";
        }

        if (aclMaster is not null)
        {
            configuration["primary_datacenter"] = "dc1";
            configuration["acl"] = new
            {
                enabled = true,
                default_policy = "deny",
                tokens = new { master = aclMaster, agent = aclMaster },
            };
        }

        string file = Path.Combine(folder, "agent.json");
        await File.WriteAllTextAsync(file, JsonSerializer.Serialize(configuration));
        process = ChildProcess.Start(Repository.Which("consul")!, ["agent", "-config-file", file, "-log-level", "warn"]);
        await Eventually.True(
            async () => (await Get("/v1/status/leader")).Contains(':', StringComparison.Ordinal)
                && (await Get("/v1/health/node/" + Node)).Contains("serfHealth", StringComparison.Ordinal),
            "Consul has a leader and knows its own node",
            seconds: 60,
            now: () => Output);
    }
}
