using System.Net.Sockets;
using Gateway.DataPlane.Listening;
using Gateway.Planning;

namespace Gateway.DataPlane.Http;

/// <summary>Serves HTTP on every plain HTTP port: Kestrel in front, YARP's forwarder behind, our own policy between.</summary>
internal sealed class HttpLane : IAsyncDisposable
{
    /// <summary>Connections open, idle ones included.</summary>
    public int Connections => 0;

    /// <summary>Requests and upgraded connections under way.</summary>
    public int Requests => 0;

    /// <summary>Starts Kestrel; call once before the first <see cref="Accept"/>.</summary>
    public Task StartAsync(CancellationToken cancel) => Task.CompletedTask;

    /// <summary>An <see cref="AcceptedSocket"/>.</summary>
    public void Accept(ListenerState listener, Socket socket)
    {
    }

    /// <summary>Publishes the routes of a plan by one reference write; requests under way keep the table they began with.</summary>
    public void PublishRoutes(Plan plan, PlanDiff diff)
    {
    }

    /// <summary>From now on every response closes its connection politely (Connection: close, GOAWAY).</summary>
    public void BeginDrain()
    {
    }

    /// <summary>Closes connections that have served a request and were idle for <paramref name="idle"/>, oldest first.</summary>
    public int CloseIdle(TimeSpan idle) => 0;

    /// <summary>Ends everything now; returns what was closed by state (<c>request</c>, <c>tunnel</c>, <c>idle</c>).</summary>
    public IReadOnlyDictionary<string, int> AbortAll() => new Dictionary<string, int>(StringComparer.Ordinal);

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
