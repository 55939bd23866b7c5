using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Net;
using Gateway.DataPlane.Loops;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace Gateway.DataPlane.Listening;

/// <summary>A <see cref="LoopTransport"/> as Kestrel sees it. Its features are those of Kestrel's own transport, without the socket.</summary>
internal sealed class LoopConnection : ConnectionContext, IConnectionIdFeature, IConnectionTransportFeature, IConnectionItemsFeature,
    IConnectionLifetimeFeature, IConnectionEndPointFeature, IMemoryPoolFeature
{
    private static long s_count;

    private readonly LoopTransport _socket;
    private readonly FeatureCollection _features = new(12);
    private IDictionary<object, object?>? _items;
    private string? _id;
    private EndPoint? _local;

    private LoopConnection(LoopTransport socket)
    {
        _socket = socket;
        Transport = socket;
        RemoteEndPoint = socket.Remote;
        ConnectionClosed = socket.Ended;
        _features.Set<IConnectionIdFeature>(this);
        _features.Set<IConnectionTransportFeature>(this);
        _features.Set<IConnectionItemsFeature>(this);
        _features.Set<IConnectionLifetimeFeature>(this);
        _features.Set<IConnectionEndPointFeature>(this);
        _features.Set<IMemoryPoolFeature>(this);
        _features.Set(this);
    }

    /// <inheritdoc/>
    public override string ConnectionId
    {
        get => _id ??= string.Create(CultureInfo.InvariantCulture, $"L{Interlocked.Increment(ref s_count):X8}");
        set => _id = value;
    }

    /// <inheritdoc/>
    public override IFeatureCollection Features => _features;

    /// <inheritdoc cref="ConnectionContext.Items"/>
    public override IDictionary<object, object?> Items
    {
        get => _items ??= new ConnectionItems();
        set => _items = value;
    }

    /// <inheritdoc cref="ConnectionContext.Transport"/>
    public override IDuplexPipe Transport { get; set; }

    /// <inheritdoc cref="BaseConnectionContext.LocalEndPoint"/>
    public override EndPoint? LocalEndPoint
    {
        get => _local ??= _socket.ReadLocal();
        set => _local = value;
    }

    /// <inheritdoc cref="BaseConnectionContext.RemoteEndPoint"/>
    public override EndPoint? RemoteEndPoint { get; set; }

    /// <inheritdoc cref="BaseConnectionContext.ConnectionClosed"/>
    public override CancellationToken ConnectionClosed { get; set; }

    /// <inheritdoc/>
    public MemoryPool<byte> MemoryPool => BlockPool.Shared;

    /// <summary>Takes a descriptor and owns it from now on; on its loop.</summary>
    /// <param name="loop">Where it lives.</param>
    /// <param name="fd">The descriptor.</param>
    /// <param name="read">What was read of it already.</param>
    /// <param name="inline">Kestrel runs on the loop when the socket wakes it; false: not before <see cref="RunInline"/>.</param>
    public static LoopConnection Begin(EventLoop loop, int fd, ReadOnlySpan<byte> read, bool inline)
    {
        LoopTransport socket = new(loop, fd, read, inline);
        LoopConnection connection = new(socket);
        socket.Begin();
        return connection;
    }

    /// <inheritdoc cref="LoopTransport.RunInline"/>
    public void RunInline() => _socket.RunInline();

    /// <inheritdoc cref="ConnectionContext.Abort()"/>
    public override void Abort() => Abort(new ConnectionAbortedException("the connection was aborted"));

    /// <inheritdoc/>
    public override void Abort(ConnectionAbortedException abortReason) => _socket.Abort(abortReason);

    /// <summary>Both directions are done with; completes when what was written is sent, or the connection broken, and it is closed.</summary>
    public override async ValueTask DisposeAsync()
    {
        await _socket.Reader.CompleteAsync();
        await _socket.Writer.CompleteAsync();
        await _socket.Closed;
        await base.DisposeAsync();
    }
}
