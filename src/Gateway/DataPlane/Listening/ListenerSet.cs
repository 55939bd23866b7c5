using System.Net.Sockets;
using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.DataPlane.Listening;

/// <summary>Takes an accepted socket; must return at once. Owns the socket from then on.</summary>
internal delegate void AcceptedSocket(ListenerState listener, Socket socket);

/// <summary>Every listening socket of the process, live.</summary>
internal sealed class ListenerSet : IAsyncDisposable
{
    /// <summary>Open ports, in the order of their keys.</summary>
    public IReadOnlyList<ListenerState> Listeners => [];

    /// <summary>What could not be bound, and why.</summary>
    public EquatableArray<Problem> Problems => [];

    /// <summary>Binds what is new, hands kept listeners their new plan. Never closes anything.</summary>
    public Task OpenAsync(IReadOnlyList<ListenerPlan> added, IReadOnlyList<Change<ListenerPlan>> changed) => Task.CompletedTask;

    /// <summary>Stops accepting on what is gone and closes its sockets; connections go on.</summary>
    public Task CloseAsync(IReadOnlyList<ListenerPlan> removed) => Task.CompletedTask;

    /// <summary>Stops accepting everywhere and closes every socket (drain).</summary>
    public Task StopAcceptingAsync() => Task.CompletedTask;

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
