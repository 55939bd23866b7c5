using System.Buffers;
using System.IO.Pipelines;

namespace Gateway.DataPlane.Listening;

/// <summary>
/// Reads bytes that somebody has read from a connection already, then the connection. Whoever reads sees one stream; once the bytes are
/// used up every call goes straight through.
/// </summary>
internal sealed class PrefixedReader(PipeReader inner, ReadOnlyMemory<byte> prefix) : PipeReader
{
    private ReadOnlyMemory<byte> _kept = prefix;
    private bool _wantsMore;
    private bool _innerCompleted;
    private bool _canceled;

    /// <inheritdoc/>
    public override async ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
    {
        if (_kept.IsEmpty && !_innerCompleted)
        {
            return await inner.ReadAsync(cancellationToken);
        }

        if (_canceled || !_wantsMore || _innerCompleted)
        {
            return Kept();
        }

        return Join(await inner.ReadAsync(cancellationToken));
    }

    /// <inheritdoc/>
    public override bool TryRead(out ReadResult result)
    {
        if (_kept.IsEmpty && !_innerCompleted)
        {
            return inner.TryRead(out result);
        }

        if (_canceled || !_wantsMore || _innerCompleted)
        {
            result = Kept();
            return true;
        }

        if (!inner.TryRead(out ReadResult more))
        {
            result = default;
            return false;
        }

        result = Join(more);
        return true;
    }

    /// <inheritdoc/>
    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    /// <inheritdoc/>
    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        if (_kept.IsEmpty && !_innerCompleted)
        {
            inner.AdvanceTo(consumed, examined);
            return;
        }

        // Our sequences are one segment long, so positions are offsets.
        ReadOnlySequence<byte> whole = new(_kept);
        long used = whole.Slice(whole.Start, consumed).Length;
        _wantsMore = whole.Slice(whole.Start, examined).Length == _kept.Length;
        _kept = _kept[(int)used..];
    }

    /// <inheritdoc/>
    public override void CancelPendingRead()
    {
        if (_kept.IsEmpty || _wantsMore)
        {
            inner.CancelPendingRead();
        }
        else
        {
            _canceled = true;
        }
    }

    /// <inheritdoc/>
    public override void Complete(Exception? exception = null) => inner.Complete(exception);

    /// <inheritdoc/>
    public override ValueTask CompleteAsync(Exception? exception = null) => inner.CompleteAsync(exception);

    private ReadResult Kept()
    {
        bool canceled = _canceled;
        _canceled = false;
        return new ReadResult(new ReadOnlySequence<byte>(_kept), canceled, _innerCompleted);
    }

    private ReadResult Join(ReadResult more)
    {
        byte[] joined = new byte[_kept.Length + more.Buffer.Length];
        _kept.CopyTo(joined);
        more.Buffer.CopyTo(joined.AsSpan(_kept.Length));
        inner.AdvanceTo(more.Buffer.End);
        _innerCompleted = more.IsCompleted;
        (_kept, _wantsMore) = (joined, false);
        return new ReadResult(new ReadOnlySequence<byte>(_kept), more.IsCanceled, more.IsCompleted);
    }
}
