using System.Buffers;
using System.Net.Sockets;
using System.Runtime.CompilerServices;

namespace Gateway.DataPlane.Http.KestrelLane;

/// <summary>The instance closed the connection instead of answering.</summary>
internal sealed class NoAnswerException() : IOException("the instance closed the connection before it answered");

/// <summary>The connection still carries the upload of an earlier request. No byte was sent: an unsent request.</summary>
internal sealed class ConnectionSpentException() : IOException("the connection still carries an earlier request");

/// <summary>
/// A connection to an instance, as SocketsHttpHandler sees it. It mends two things that SocketsHttpHandler does on HTTP/1.1:
/// <list type="number">
/// <item>It sends a request without a body again, three times, whatever its method, when the connection ends before an answer.
/// The instance may have acted on it, and retrying is our decision; so that end is an error here and not an end of stream.</item>
/// <item>It reads no answer before the whole body is sent. An instance that answers while it reads (an echo, an early 413) would
/// stop reading when nobody takes its answer, and both sides would wait. <see cref="RequestBody"/> notices the answer, detaches
/// the body from SocketsHttpHandler and goes on sending it here, while SocketsHttpHandler reads.</item>
/// </list>
/// </summary>
internal sealed class InstanceStream(Socket socket, bool isHttp1) : Stream
{
    /// <summary>The body whose head is being flushed on this thread: how a body learns which connection it was given.</summary>
    [ThreadStatic]
    private static RequestBody? t_flushing;

    private readonly Socket _socket = socket;
    private readonly NetworkStream _inner = new(socket, ownsSocket: true);

    // Written by the request in hand (a connection has one at a time) and by its body's detaching; read by both.
    private volatile Mode _mode;
    private volatile bool _unanswered;
    private volatile bool _ended;
    private volatile bool _tunnel;
    private volatile bool _reading;
    private volatile TaskCompletionSource? _answerBegins;
    private TaskCompletionSource? _queueing;
    private Task _tail = Task.CompletedTask;
    private long _swallow;

    // Under _gate: written by the upload beside SocketsHttpHandler and by whoever disposes.
    private readonly Lock _gate = new();
    private bool _uploading;
    private bool _left;

    private enum Mode
    {
        /// <summary>Writes go to the socket and take as long as they take.</summary>
        Direct,

        /// <summary>As Direct, from a copy, so that a write can be let go while its bytes still wait.</summary>
        Body,

        /// <summary>Writes are taken over: their bytes are sent, nobody waits. Ends with the write that is under way.</summary>
        Queueing,

        /// <summary>The body is sent past SocketsHttpHandler. So many bytes as it still owes of the body are swallowed; what it
        /// writes after them is the next request, which must not use the connection.</summary>
        Swallowing,
    }

    public override bool CanRead => true;

    public override bool CanWrite => true;

    public override bool CanSeek => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>Flushes <paramref name="head"/>, and tells <paramref name="body"/> the connection that its bytes go to.</summary>
    public static Task FlushHead(Stream head, RequestBody body, CancellationToken cancel)
    {
        t_flushing = body;
        try
        {
            return head.FlushAsync(cancel);
        }
        finally
        {
            t_flushing = null;
        }
    }

    /// <summary>Completes when the instance answers, or hangs up, before the body is sent.</summary>
    public async Task AnswerBeginsAsync()
    {
        // Stored before looking: a read that ends in between sees it.
        TaskCompletionSource begins = _answerBegins = new(TaskCreationOptions.RunContinuationsAsynchronously);
        bool reading = _reading;
        if (!_unanswered || _ended)
        {
            return;
        }

        if (reading)
        {
            // SocketsHttpHandler reads ahead on a connection from the pool; that read gets the bytes.
            await begins.Task;
            return;
        }

        try
        {
            // A read of nothing waits for something and takes none of it.
            _ = await _socket.ReceiveAsync(Memory<byte>.Empty, SocketFlags.None);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Reset or closed: whoever reads or writes next finds out.
        }
    }

    /// <summary>Step 1 of detaching a body: the write under way is let go, its bytes are sent in the background.</summary>
    public void BeginQueueing()
    {
        _mode = Mode.Queueing;
        _queueing?.TrySetResult();
    }

    /// <summary>
    /// Step 2: from here on the body comes through <see cref="SendAsync"/>, and the connection stays open until
    /// <see cref="EndUpload"/> whatever SocketsHttpHandler does to it.
    /// </summary>
    /// <param name="owed">Bytes that SocketsHttpHandler still writes to end the body by its own account.</param>
    public void BeginSwallowing(long owed)
    {
        lock (_gate)
        {
            _uploading = true;
        }

        _swallow = owed;
        _mode = Mode.Swallowing;
    }

    /// <summary>Step 3: the detached body is sent, or will never be.</summary>
    /// <param name="close">Close the connection now rather than when SocketsHttpHandler lets go of it.</param>
    public void EndUpload(bool close)
    {
        lock (_gate)
        {
            _uploading = false;
            close |= _left;
        }

        if (close)
        {
            Dispose();
        }
    }

    /// <summary>The body was sent without being detached.</summary>
    public void BodyEnded() => _mode = Mode.Direct;

    /// <summary>Sends bytes of a detached body.</summary>
    public async ValueTask SendAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancel)
    {
        // An instance that answered and reads no more never takes the tail; whoever uploads may still give up.
        await _tail.WaitAsync(cancel);
        await _inner.WriteAsync(buffer, cancel);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        int read = 0;
        _reading = true;
        try
        {
            read = await _inner.ReadAsync(buffer, cancellationToken);
        }
        finally
        {
            _ended |= read == 0 && buffer.Length > 0;
            _reading = false;
            if (read == 0)
            {
                _answerBegins?.TrySetResult();
            }
        }

        if (read > 0)
        {
            // RFC 9110 §7.8: after a 101 the bytes are another protocol's, and so are its ends.
            _tunnel |= _unanswered && buffer.Span[..read].StartsWith("HTTP/1.1 101"u8);
            _unanswered = false;
            _answerBegins?.TrySetResult();
        }
        else if (_unanswered && buffer.Length > 0)
        {
            throw new NoAnswerException();
        }

        return read;
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        switch (_mode)
        {
            case Mode.Direct:
                _unanswered = isHttp1 && !_tunnel;
                if (isHttp1 && t_flushing is { } body)
                {
                    // The last piece of a head. It goes out as always; what follows is the body.
                    t_flushing = null;
                    _answerBegins = null;
                    _queueing = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                    _mode = Mode.Body;
                    body.Connection = this;
                }

                return _inner.WriteAsync(buffer, cancellationToken);
            case Mode.Body:
                return WriteBodyAsync(buffer);
            case Mode.Queueing:
                _tail = SendOwnedAsync(_tail, Copy(buffer), buffer.Length);
                return ValueTask.CompletedTask;
            default:
                // Counted, and not until the answer is there: SocketsHttpHandler puts the connection back into its pool the
                // moment it has read the answer, before anybody hears of it.
                _swallow -= buffer.Length;
                return _swallow >= 0
                    ? ValueTask.CompletedTask
                    : ValueTask.FromException(new ConnectionSpentException());
        }
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            // SocketsHttpHandler throws a connection away that refused its next request. The upload on it is another request's.
            bool close;
            lock (_gate)
            {
                _left = true;
                close = !_uploading;
            }

            if (close)
            {
                _inner.Dispose();
            }

            _queueing?.TrySetResult();
            _answerBegins?.TrySetResult();
        }

        base.Dispose(disposing);
    }

    private async ValueTask WriteBodyAsync(ReadOnlyMemory<byte> buffer)
    {
        // From a copy: when the write is let go half way, the caller uses its buffer again.
        Task send = SendOwnedAsync(_tail, Copy(buffer), buffer.Length);
        if (!send.IsCompleted)
        {
            await Task.WhenAny(send, _queueing!.Task);
        }

        if (send.IsCompleted)
        {
            await send;
        }
        else
        {
            _tail = send;
        }
    }

    private async Task SendOwnedAsync(Task before, byte[] bytes, int count)
    {
        try
        {
            if (!before.IsCompletedSuccessfully)
            {
                await before;
            }

            await _inner.WriteAsync(bytes.AsMemory(0, count));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    private static byte[] Copy(ReadOnlyMemory<byte> buffer)
    {
        byte[] copy = ArrayPool<byte>.Shared.Rent(buffer.Length);
        buffer.CopyTo(copy);
        return copy;
    }
}
