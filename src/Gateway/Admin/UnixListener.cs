using System.Net.Sockets;

namespace Gateway.Admin;

/// <summary>
/// Accepts on a unix socket of mode 0600. It is bound under a name of its own and renamed into place, so that the path never
/// points at nothing while one process follows another, and a stale file of a killed process is simply replaced.
/// </summary>
internal sealed class UnixListener : IAsyncDisposable
{
    private readonly string _path;
    private readonly Socket _socket;
    private readonly Action<Socket> _accepted;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _loop;

    private UnixListener(string path, Socket socket, Action<Socket> accepted)
    {
        (_path, _socket, _accepted) = (path, socket, accepted);
        _loop = Task.Run(AcceptAsync);
    }

    /// <summary>Binds <paramref name="path"/>.</summary>
    /// <exception cref="SocketException">The path can't be bound.</exception>
    public static UnixListener Open(string path, Action<Socket> accepted)
    {
        string temporary = $"{path}.{Environment.ProcessId}";
        File.Delete(temporary);
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(temporary));
        File.SetUnixFileMode(temporary, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        socket.Listen(64);
        File.Move(temporary, path, overwrite: true);
        return new UnixListener(path, socket, accepted);
    }

    /// <summary>Stops accepting and removes the file.</summary>
    public async ValueTask DisposeAsync()
    {
        // Cancel, await, dispose: never close a listening socket with an accept under way.
        await _stop.CancelAsync();
        await _loop;
        _socket.Dispose();
        File.Delete(_path);
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                _accepted(await _socket.AcceptAsync(_stop.Token));
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (SocketException)
            {
                // A client that left while queued, or no descriptor free: the next accept tells.
                await Task.Yield();
            }
        }
    }
}
