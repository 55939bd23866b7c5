using System.Net.Sockets;
using System.Runtime.Versioning;
using Gateway.Admin;

namespace Gateway.Tests.Admin;

[UnsupportedOSPlatform("windows")]
public sealed class UnixListenerTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("gwu").FullName;

    private string SocketPath => Path.Combine(_folder, "a.sock");

    public void Dispose()
    {
        if (Directory.Exists(_folder))
        {
            Directory.Delete(_folder, recursive: true);
        }
    }

    [Fact]
    public async Task It_is_its_owners_only_accepts_and_goes_with_its_listener()
    {
        TaskCompletionSource<Socket> accepted = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await using (UnixListener.Open(SocketPath, s => accepted.TrySetResult(s), TimeProvider.System))
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(SocketPath));
            using Socket client = await ConnectAsync();
            using Socket server = await accepted.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
            Assert.Equal(AddressFamily.Unix, server.AddressFamily);
        }

        Assert.Empty(Directory.GetFileSystemEntries(_folder));
    }

    [Fact]
    public async Task The_socket_of_a_killed_process_is_replaced()
    {
        using (Socket stale = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            stale.Bind(new UnixDomainSocketEndPoint(SocketPath + ".stale"));
            File.Move(SocketPath + ".stale", SocketPath);
        }

        Assert.True(File.Exists(SocketPath));
        await using UnixListener listener = UnixListener.Open(SocketPath, s => s.Dispose(), TimeProvider.System);
        using Socket client = await ConnectAsync();
        Assert.True(client.Connected);
    }

    [Fact]
    public void A_directory_in_its_place_is_refused_and_nothing_is_left()
    {
        Directory.CreateDirectory(Path.Combine(SocketPath, "x"));
        Assert.ThrowsAny<Exception>(() => UnixListener.Open(SocketPath, s => s.Dispose(), TimeProvider.System));
        Assert.Equal([SocketPath], Directory.GetFileSystemEntries(_folder));
    }

    [Fact]
    public async Task A_directory_removed_under_it_is_no_failure_at_the_end()
    {
        UnixListener listener = UnixListener.Open(SocketPath, s => s.Dispose(), TimeProvider.System);
        Directory.Delete(_folder, recursive: true);
        await listener.DisposeAsync();
    }

    private async Task<Socket> ConnectAsync()
    {
        Socket client = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await client.ConnectAsync(new UnixDomainSocketEndPoint(SocketPath), TestContext.Current.CancellationToken);
        return client;
    }
}
