using System.Net.Sockets;

namespace Gateway.Admin;

/// <summary>
/// Accepts on a unix socket of mode 0600. It is bound under a name of its own and renamed into place, so that the path never
/// points at nothing while one process follows another, and a stale file of a killed process is simply replaced.
/// </summary>
internal sealed class UnixListener : IAsyncDisposable
{
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(100);

    private readonly string _path;
    private readonly Socket _socket;
    private readonly Action<Socket> _accepted;
    private readonly TimeProvider _clock;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _loop;

    private UnixListener(string path, Socket socket, Action<Socket> accepted, TimeProvider clock)
    {
        (_path, _socket, _accepted, _clock) = (path, socket, accepted, clock);
        _loop = Task.Run(AcceptAsync);
    }

    /// <summary>Binds <paramref name="path"/>.</summary>
    /// <exception cref="SocketException">The path can't be bound.</exception>
    /// <exception cref="IOException">Nor can it be named so.</exception>
    /// <exception cref="UnauthorizedAccessException">Nor may it be.</exception>
    public static UnixListener Open(string path, Action<Socket> accepted, TimeProvider clock)
    {
        string temporary = $"{path}.{Environment.ProcessId}";
        File.Delete(temporary);
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Bind(new UnixDomainSocketEndPoint(temporary));
            if (!OperatingSystem.IsWindows())
            {
                File.SetUnixFileMode(temporary, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            }

            socket.Listen(64);
            File.Move(temporary, path, overwrite: true);
            return new UnixListener(path, socket, accepted, clock);
        }
        catch
        {
            socket.Dispose();
            File.Delete(temporary);
            throw;
        }
    }

    /// <summary>The file is a successor's by now: it stays.</summary>
    public bool IsSucceeded { get; set; }

    /// <summary>Stops accepting and removes the file.</summary>
    public async ValueTask DisposeAsync()
    {
        // Cancel, await, dispose: never close a listening socket with an accept under way.
        await _stop.CancelAsync();
        await _loop;
        _socket.Dispose();
        _stop.Dispose();
        if (IsSucceeded)
        {
            return;
        }

        try
        {
            File.Delete(_path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The directory went away under us; so did the file.
        }
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
                // A client that left while queued, or no descriptor free, which a next accept at once would not change.
                await Task.Delay(s_pause, _clock, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }
}
