using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text;

namespace Gateway.IntegrationTests;

/// <summary>
/// A real Consul in development mode on random loopback ports. One per test class (<c>IClassFixture&lt;ConsulAgent&gt;</c>) or one
/// per test (<c>await using ConsulAgent consul = await ConsulAgent.StartAsync();</c>). What the agent was told to register lives
/// in its data directory and survives <see cref="KillAsync"/> and <see cref="StartAgainAsync"/>.
/// </summary>
public sealed class ConsulAgent : IAsyncLifetime
{
    private readonly DirectoryInfo _data = Directory.CreateTempSubdirectory("gateway-consul-");
    private readonly StringBuilder _log = new();
    private int[] _ports = [];
    private Process? _process;

    /// <summary>Further arguments of <c>consul agent</c>, for example <c>-hcl=limits { http_max_conns_per_client = 20 }</c>.</summary>
    public IReadOnlyList<string> Arguments { get; init; } = [];

    /// <summary>Whether the program is here at all.</summary>
    public static bool Installed { get; } = (Environment.GetEnvironmentVariable("PATH") ?? "")
        .Split(Path.PathSeparator).Any(d => File.Exists(Path.Combine(d, "consul")));

    /// <summary>Name of its one node.</summary>
    public string Node { get; } = $"node-{Guid.NewGuid():N}"[..13];

    /// <summary>Base address of its HTTP API; the same after a restart.</summary>
    public Uri Address => new($"http://127.0.0.1:{_ports[0]}");

    /// <summary>A client for the test's own requests.</summary>
    public HttpClient Http { get; } = new() { Timeout = TimeSpan.FromSeconds(20) };

    /// <summary>Starts an agent and waits until it has a leader and lists itself; skips the test where Consul is not installed.</summary>
    public static async Task<ConsulAgent> StartAsync(params string[] arguments)
    {
        ConsulAgent agent = new() { Arguments = arguments };
        await agent.InitializeAsync();
        return agent;
    }

    public async ValueTask InitializeAsync()
    {
        if (!Installed)
        {
            Assert.Skip("The program 'consul' is not on the PATH: nothing was proven against the real Consul.");
        }

        // A free port may be taken by a neighbour before Consul binds it, so a failed start gets other ones.
        for (int attempt = 1; ; attempt++)
        {
            _ports = FreePorts(4);
            try
            {
                await StartAgainAsync();
                return;
            }
            catch (InvalidOperationException) when (attempt < 3)
            {
                await KillAsync();
            }
        }
    }

    /// <summary>Starts it on the same ports and data directory after <see cref="KillAsync"/>.</summary>
    public async Task StartAgainAsync()
    {
        // 'timeout' ends the agent should this test host be killed; it lives at most ten minutes.
        ProcessStartInfo start = new("timeout")
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        string[] arguments =
        [
            "-s", "KILL", "600", "consul", "agent", "-dev", $"-node={Node}", "-bind=127.0.0.1", "-client=127.0.0.1",
            $"-http-port={_ports[0]}", $"-server-port={_ports[1]}", $"-serf-lan-port={_ports[2]}", $"-serf-wan-port={_ports[3]}",
            "-dns-port=-1", "-grpc-port=-1", "-log-level=warn", $"-data-dir={_data.FullName}", .. Arguments,
        ];
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        _process = Process.Start(start) ?? throw new InvalidOperationException("consul did not start");
        _process.OutputDataReceived += Keep;
        _process.ErrorDataReceived += Keep;
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();

        long started = Stopwatch.GetTimestamp();
        while (!await IsReadyAsync())
        {
            if (_process.HasExited || Stopwatch.GetElapsedTime(started) > TimeSpan.FromSeconds(30))
            {
                throw new InvalidOperationException($"consul is not ready: {Log}");
            }

            await Task.Delay(25);
        }
    }

    /// <summary>What it wrote so far.</summary>
    public string Log
    {
        get
        {
            lock (_log)
            {
                return _log.ToString();
            }
        }
    }

    /// <summary>SIGKILL: its connections break off without an answer.</summary>
    public async Task KillAsync()
    {
        if (_process is { } process)
        {
            _process = null;
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
            process.Dispose();
        }
    }

    /// <summary>Registers with the agent: the body of <c>/v1/agent/service/register</c>, an anonymous object or JSON text.</summary>
    public Task RegisterAsync(object registration) => PutAsync("/v1/agent/service/register", registration);

    /// <summary>Deregisters a service id from the agent.</summary>
    public Task DeregisterAsync(string id) => PutAsync($"/v1/agent/service/deregister/{Uri.EscapeDataString(id)}");

    /// <summary>Sets a TTL check: <c>pass</c>, <c>warn</c> or <c>fail</c>. A service's only check is <c>service:ID</c>.</summary>
    public Task CheckAsync(string verdict, string checkId) =>
        PutAsync($"/v1/agent/check/{verdict}/{Uri.EscapeDataString(checkId)}");

    /// <summary>Switches maintenance of one service id, or of the whole node where it is null.</summary>
    public Task MaintenanceAsync(string? serviceId, bool on) => PutAsync(serviceId is null
        ? $"/v1/agent/maintenance?enable={(on ? "true" : "false")}"
        : $"/v1/agent/service/maintenance/{Uri.EscapeDataString(serviceId)}?enable={(on ? "true" : "false")}");

    /// <summary>PUT with an optional JSON body; throws unless Consul says 200.</summary>
    public async Task PutAsync(string path, object? body = null)
    {
        using HttpContent? content = body switch
        {
            null => null,
            string text => new StringContent(text, Encoding.UTF8, "application/json"),
            _ => JsonContent.Create(body),
        };
        using HttpResponseMessage response = await Http.PutAsync(new Uri(Address, path), content);
        if (response.StatusCode != HttpStatusCode.OK)
        {
            throw new InvalidOperationException($"PUT {path}: {response.StatusCode} {await response.Content.ReadAsStringAsync()}");
        }
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        Http.Dispose();
        try
        {
            _data.Delete(recursive: true);
        }
        catch (IOException)
        {
            // A last write of the killed agent; the system's temporary directory is cleaned anyway.
        }
    }

    private async Task<bool> IsReadyAsync()
    {
        try
        {
            string leader = await Http.GetStringAsync(new Uri(Address, "/v1/status/leader"));
            string services = await Http.GetStringAsync(new Uri(Address, "/v1/catalog/services"));
            string nodes = await Http.GetStringAsync(new Uri(Address, $"/v1/health/node/{Node}"));
            return leader.Contains(':') && services.Contains("\"consul\"") && nodes.Contains("serfHealth");
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
        {
            return false;
        }
    }

    private void Keep(object sender, DataReceivedEventArgs line)
    {
        lock (_log)
        {
            _log.AppendLine(line.Data);
        }
    }

    private static int[] FreePorts(int count)
    {
        Socket[] sockets = [.. Enumerable.Range(0, count).Select(_ => new Socket(SocketType.Stream, ProtocolType.Tcp))];
        try
        {
            foreach (Socket socket in sockets)
            {
                socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            }

            return [.. sockets.Select(s => ((IPEndPoint)s.LocalEndPoint!).Port)];
        }
        finally
        {
            foreach (Socket socket in sockets)
            {
                socket.Dispose();
            }
        }
    }
}
