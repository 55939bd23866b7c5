using Gateway.Admin;
using Gateway.Admin.Doctor;
using Gateway.Control;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Health;
using Gateway.DataPlane.Http;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Loops;
using Gateway.DataPlane.Tcp;
using Gateway.Discovery.EmbeddedCatalog;
using Gateway.Lifecycle;
using Gateway.Observability;
using Microsoft.Extensions.Logging;

namespace Gateway;

/// <summary>Everything that runs, in the order in which it was made; it ends in the opposite order.</summary>
internal sealed class RunningParts(InstanceLock held, ILogger log) : IAsyncDisposable
{
    private readonly CancellationTokenSource _ended = new();
    private readonly CancellationTokenSource _adminNotWanted = new();

    /// <summary>The state directory is ours while it is held.</summary>
    public InstanceLock Lock { get; } = held;

    /// <summary>Cancelled when it all ends.</summary>
    public CancellationToken Ended => _ended.Token;

    /// <summary>Cancelled when the admin address shall not be opened any more.</summary>
    public CancellationToken AdminNotWanted => _adminNotWanted.Token;

    /// <summary>Tries to open the admin address.</summary>
    public Task OpeningAdmin { get; set; } = Task.CompletedTask;

    /// <summary>The options in force.</summary>
    public GatewayOptions Options { get; set; } = null!;

    public AccessLog AccessLog { get; set; } = null!;

    public HealthProber Prober { get; set; } = null!;

    public ClusterTable Clusters { get; set; } = null!;

    /// <summary>The event loops; null: the engine is Kestrel.</summary>
    public LoopGroup? Loops { get; set; }

    public HttpLane Http { get; set; } = null!;

    public TcpLane Tcp { get; set; } = null!;

    public ListenerSet Listeners { get; set; } = null!;

    public LiveLimit Limit { get; set; } = null!;

    public EmbeddedCatalogServer? Embedded { get; set; }

    public ControlLoop Control { get; set; } = null!;

    public AdminServer Admin { get; set; } = null!;

    public RunningDoctor? Doctor { get; set; }

    public UnixListener? AdminSocket { get; set; }

    /// <summary>
    /// Sets the limit of connections. From the loop, from a reload and from the key's watch: whoever is last must have seen the
    /// newest.
    /// </summary>
    public void ApplyLimit()
    {
        lock (Limit)
        {
            Listeners.Gate.Limit = Limit.InForce(Control.State.Plan.Listeners.Count).Value;
        }
    }

    /// <summary>When it returns, the admin address is open or not, and that stays so.</summary>
    public async Task StopOpeningAdminAsync()
    {
        await _adminNotWanted.CancelAsync();
        await OpeningAdmin.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public async ValueTask DisposeAsync()
    {
        await _ended.CancelAsync();
        Doctor?.Dispose();
        await StopOpeningAdminAsync();

        // Once let go of, the directory may be another's; with the lock in hand nobody takes it between this look and the end.
        if (AdminSocket is not null)
        {
            AdminSocket.IsSucceeded = !Lock.TakeBack();
        }

        IAsyncDisposable?[] ending = [AdminSocket, Limit, Control, Listeners, Http, Tcp, Loops, Admin, Embedded, Prober, AccessLog];
        foreach (IAsyncDisposable? part in ending)
        {
            try
            {
                await (part?.DisposeAsync() ?? ValueTask.CompletedTask);
            }
            catch (Exception e)
            {
                // A mistake of ours; the others still end.
                log.LogError(e, "{Part} did not end cleanly", part!.GetType().Name);
            }
        }

        Lock.Dispose();
    }
}
