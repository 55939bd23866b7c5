namespace Gateway.DataPlane.Listening;

/// <summary>
/// Counts client connections over all listeners against one limit. At the limit nobody accepts, so that the excess waits in the
/// kernel's queues, where it costs no descriptor and the client sees a slow connect instead of a refusal.
/// </summary>
internal sealed class ConnectionGate(int limit)
{
    private readonly Lock _lock = new();
    private int _limit = limit;
    private int _open;
    private TaskCompletionSource? _room;

    /// <summary>Connections at a time, 1 or more. May change at any moment; a lower value closes nothing.</summary>
    public int Limit
    {
        get => Volatile.Read(ref _limit);
        set
        {
            lock (_lock)
            {
                _limit = value;
                SignalRoom();
            }
        }
    }

    /// <summary>Connections open now.</summary>
    public int Open => Volatile.Read(ref _open);

    /// <summary>Takes a place if there is one.</summary>
    public bool TryEnter()
    {
        lock (_lock)
        {
            if (_open >= _limit)
            {
                return false;
            }

            _open++;
            return true;
        }
    }

    /// <summary>Takes a place even above the limit: for a connection that is accepted already and must not be lost.</summary>
    public void Enter()
    {
        lock (_lock)
        {
            _open++;
        }
    }

    /// <summary>Gives a place back.</summary>
    public void Exit()
    {
        lock (_lock)
        {
            _open--;
            SignalRoom();
        }
    }

    /// <summary>Ends when there is a place; somebody else may be quicker in taking it.</summary>
    public Task WhenRoomAsync(CancellationToken cancel)
    {
        lock (_lock)
        {
            if (_open < _limit)
            {
                return Task.CompletedTask;
            }

            _room ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _room.Task.WaitAsync(cancel);
        }
    }

    private void SignalRoom()
    {
        if (_room is not null && _open < _limit)
        {
            _room.SetResult();
            _room = null;
        }
    }
}
