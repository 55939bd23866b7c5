using System.Net.Sockets;
using Gateway.Admin;
using Gateway.DataPlane.Listening;
using Gateway.Discovery.Consul;
using Gateway.Discovery.EmbeddedCatalog;
using Gateway.Lifecycle;
using Microsoft.Extensions.Logging;

namespace Gateway;

/// <summary>
/// The sockets that are Gateway's own and in no plan: the embedded catalog, the admin address and the admin's unix socket. Opens
/// them, and the servers behind them.
/// </summary>
internal sealed class OwnSockets(string stateDirectory, ProcessStatus process, TimeProvider clock, ILoggerFactory logs)
{
    /// <summary>Name of the embedded catalog's socket in the listener set.</summary>
    public const string CatalogSocket = "embedded catalog";

    /// <summary>Name of the admin address in the listener set.</summary>
    public const string AdminSocket = "admin";

    private static readonly TimeSpan s_adminRetry = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_whoIsThere = TimeSpan.FromSeconds(3);

    /// <summary>Opens the embedded catalog.</summary>
    /// <exception cref="GatewayStartException">Its address can't be bound.</exception>
    public async Task OpenCatalogAsync(RunningParts parts, EmbeddedCatalogOptions options, CancellationToken cancel)
    {
        ILogger log = logs.CreateLogger("Gateway.EmbeddedCatalog");
        ConnectionFeed feed = new("embedded", log);
        OwnSocket opened = await parts.Listeners.OpenOwnAsync(CatalogSocket, options.Listen, feed.Accept);
        if (opened.Problem is { } problem)
        {
            // The usual mistake: a Consul agent already answers there, and nobody told Gateway to use it.
            using ConsulClient client = new(new ConsulOptions { Address = new Uri($"http://{options.Listen}") }, clock);
            using CancellationTokenSource silence = new(s_whoIsThere, clock);
            using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(cancel, silence.Token);
            ConsulSelf? self = null;
            try
            {
                self = (await client.ReadSelfAsync(either.Token)).Value;
            }
            catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
            {
                // Whoever has the port does not speak HTTP.
            }

            throw self is { IsGateway: false }
                ? new GatewayStartException(
                    $"catalog.embedded.listen '{options.Listen}': a Consul agent answers there; name it in the configuration as "
                    + $"catalog.consul.address: http://{options.Listen}, or give the embedded catalog another address", badInput: true)
                : new GatewayStartException($"catalog.embedded.listen: {problem}", badInput: false);
        }

        parts.Embedded = new EmbeddedCatalogServer(stateDirectory, clock, logs);
        await parts.Embedded.StartAsync(feed, feed.EndPoint, cancel);
    }

    /// <summary>Opens the unix socket; the admin address too, or as soon as it can be bound.</summary>
    /// <exception cref="GatewayStartException">The unix socket can't be bound.</exception>
    public async Task OpenAdminAsync(RunningParts parts, AdminOptions options, AdminApi api, CancellationToken cancel)
    {
        ConnectionFeed feed = new(AdminSocket, logs.CreateLogger("Gateway.Admin"));
        parts.Admin = new AdminServer(api, options, feed, logs);
        await parts.Admin.StartAsync(cancel);
        string socket = Path.Combine(stateDirectory, "run", "gateway.sock");
        try
        {
            parts.AdminSocket = UnixListener.Open(socket, accepted => feed.Accept(null, accepted), clock);
        }
        catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException)
        {
            throw new GatewayStartException(
                $"admin socket '{socket}' can't be bound: {e.Message}; remove what is in its place, or name another state directory", badInput: true);
        }

        // Taken or not permitted: a problem that is shown and retried, because traffic matters more than the page about it.
        parts.OpeningAdmin = KeepAdminOpenAsync(parts, options, feed);
    }

    private async Task KeepAdminOpenAsync(RunningParts parts, AdminOptions options, ConnectionFeed feed)
    {
        CancellationToken ended = parts.AdminNotWanted;
        while (!ended.IsCancellationRequested && process.State is (ProcessState.Starting or ProcessState.Ready))
        {
            OwnSocket opened = await parts.Listeners.OpenOwnAsync(AdminSocket, options.Listen, feed.Accept);
            parts.Control.Report("admin", opened.Problem is { } problem ? [problem with { Place = $"admin.listen {problem.Place}" }] : []);
            if (opened.Problem is null)
            {
                return;
            }

            await Task.Delay(s_adminRetry, clock, ended).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
