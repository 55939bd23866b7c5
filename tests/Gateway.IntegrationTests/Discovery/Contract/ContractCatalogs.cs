using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Gateway.Discovery.EmbeddedCatalog;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Gateway.IntegrationTests.Discovery.Contract;

/// <summary>A catalog that the contract suite talks to.</summary>
public abstract class ContractCatalog : IAsyncLifetime
{
    /// <summary>Base address, or null with the reason in <see cref="Missing"/>.</summary>
    public Uri? Address { get; protected set; }

    /// <summary>Why there is none.</summary>
    public string Missing { get; protected set; } = "";

    public abstract ValueTask InitializeAsync();

    public abstract ValueTask DisposeAsync();

    internal static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}

/// <summary>Consul 1.8.7 in development mode on ports of its own.</summary>
public sealed class ContractConsulAgent : ContractCatalog
{
    private Process? _agent;

    public override async ValueTask InitializeAsync()
    {
        // A port that was free a moment ago may be taken by now: several suites run at once.
        for (int attempt = 0; attempt < 5 && Address is null; attempt++)
        {
            int http = FreePort();
            ProcessStartInfo start = new("consul")
            {
                UseShellExecute = false,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            foreach (string argument in (string[])[
                "agent", "-dev", "-node=contract", "-bind=127.0.0.1", "-log-level=err", $"-http-port={http}",
                $"-server-port={FreePort()}", $"-serf-lan-port={FreePort()}", $"-serf-wan-port={FreePort()}",
                "-dns-port=-1", "-grpc-port=-1"])
            {
                start.ArgumentList.Add(argument);
            }

            try
            {
                _agent = Process.Start(start)!;
            }
            catch (System.ComponentModel.Win32Exception failure)
            {
                Missing = $"the consul binary cannot be started: {failure.Message}";
                return;
            }

            _agent.OutputDataReceived += (_, _) => { };
            _agent.ErrorDataReceived += (_, _) => { };
            _agent.BeginOutputReadLine();
            _agent.BeginErrorReadLine();
            Uri address = new($"http://127.0.0.1:{http}/");
            using HttpClient client = new() { BaseAddress = address, Timeout = TimeSpan.FromSeconds(5) };
            await ContractWait.Until(async () => _agent.HasExited || await IsSettled(client), "Consul has elected itself");
            if (!_agent.HasExited)
            {
                Address = address;
            }
        }

        Assert.NotNull(Address);
    }

    public override async ValueTask DisposeAsync()
    {
        if (_agent is { HasExited: false })
        {
            _agent.Kill();
            await _agent.WaitForExitAsync();
        }

        _agent?.Dispose();
    }

    private static async Task<bool> IsSettled(HttpClient client)
    {
        try
        {
            // serfHealth and the node's own synchronization are the last things a fresh agent writes.
            return (await client.GetStringAsync("v1/status/leader")).Length > 4
                && (await client.GetStringAsync("v1/health/state/any")).Contains("serfHealth", StringComparison.Ordinal)
                && (await client.GetStringAsync("v1/catalog/nodes")).Contains("consul-network-segment", StringComparison.Ordinal);
        }
        catch (Exception failure) when (failure is HttpRequestException or TaskCanceledException)
        {
            return false;
        }
    }
}

/// <summary>The embedded catalog on a port of its own, its journal in a directory of its own.</summary>
public sealed class ContractEmbeddedCatalog : ContractCatalog
{
    private readonly string _directory = Directory.CreateTempSubdirectory("gateway-contract-").FullName;
    private EmbeddedCatalogServer? _server;

    public override async ValueTask InitializeAsync()
    {
        int port = FreePort();
        _server = new EmbeddedCatalogServer(_directory, TimeProvider.System, NullLoggerFactory.Instance, "contract", "127.0.0.1");
        await _server.StartAsync(
            new SocketTransportFactory(Options.Create(new SocketTransportOptions()), NullLoggerFactory.Instance),
            new IPEndPoint(IPAddress.Loopback, port),
            CancellationToken.None);
        Address = new Uri($"http://127.0.0.1:{port}/");
    }

    public override async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }

        Directory.Delete(_directory, recursive: true);
    }
}

/// <summary>Polls until a deadline; <c>GATEWAY_TEST_STRETCH</c> stretches it on slow machines.</summary>
internal static class ContractWait
{
    public static TimeSpan Deadline => TimeSpan.FromSeconds(30) * (
        double.TryParse(Environment.GetEnvironmentVariable("GATEWAY_TEST_STRETCH"), CultureInfo.InvariantCulture, out double stretch)
            ? stretch : 1);

    public static async Task Until(Func<Task<bool>> condition, string what)
    {
        Stopwatch clock = Stopwatch.StartNew();
        while (!await condition())
        {
            Assert.True(clock.Elapsed < Deadline, $"not reached within {Deadline}: {what}");
            await Task.Delay(20);
        }
    }
}
