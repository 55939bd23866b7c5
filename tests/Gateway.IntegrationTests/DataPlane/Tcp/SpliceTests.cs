using System.Net.Sockets;
using Gateway.DataPlane.Tcp;
using Gateway.IntegrationTests.DataPlane.Listening;
using Gateway.Observability;

namespace Gateway.IntegrationTests.DataPlane.Tcp;

/// <summary>
/// Goal: a stream that goes through a pipe of the kernel is the same stream, and no pipe is lost or hands one relay's bytes to another.
/// Method: streams that show every wrong byte, with pauses on both sides; the lane tells how much went through pipes.
/// </summary>
public sealed class SpliceTests
{
    private const long MiB = 1024 * 1024;

    [Fact]
    public async Task Both_directions_at_once_are_byte_exact()
    {
        const long Total = 80 * MiB;
        using Socket server = RelayKit.Server();
        await using RelayKit kit = new(onLoops: true, destinations: RelayKit.At(server));
        (Socket client, Socket behind) = await kit.Establish(server);
        Pattern up = new(1), down = new(2);
        Task<long> atServer = up.ReceiveAsync(behind, seed: 11);
        Task<long> atClient = down.ReceiveAsync(client, seed: 12);
        await Task.WhenAll(SendAll(up, client, 13), SendAll(down, behind, 14));
        Assert.Equal((Total, Total), (await atServer, await atClient));
        client.Dispose();
        behind.Dispose();
        AccessRecord record = await kit.NextRecord();
        Assert.Equal((Total, Total), (record.BytesIn, record.BytesOut));
        PipeView pipes = await kit.Lane.ViewPipesAsync();
        Assert.True(pipes.Passed > Total, $"only {pipes.Passed} bytes went through pipes");
        Assert.Equal(pipes.Open, pipes.Idle);

        async Task SendAll(Pattern pattern, Socket to, int seed)
        {
            await pattern.SendAsync(to, 0, Total, seed);
            to.Shutdown(SocketShutdown.Send);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task One_side_ends_in_the_middle_of_the_other_sides_stream(bool clientEnds)
    {
        const long Total = 24 * MiB;
        using Socket server = RelayKit.Server();
        await using RelayKit kit = new(onLoops: true, destinations: RelayKit.At(server));
        (Socket client, Socket behind) = await kit.Establish(server);
        (Socket one, Socket other) = clientEnds ? (client, behind) : (behind, client);
        Pattern first = new(1), second = new(2);

        // Half of the one stream, all of the other and its FIN, then the other half.
        Task<long> atOne = first.ReceiveAsync(one, seed: 3);
        await first.SendAsync(other, 0, Total / 2, seed: 4);
        Task<long> atOther = second.ReceiveAsync(other, seed: 5);
        await second.SendAsync(one, 0, Total, seed: 6);
        one.Shutdown(SocketShutdown.Send);
        Assert.Equal(Total, await atOther);
        await first.SendAsync(other, Total / 2, Total / 2, seed: 7);
        other.Shutdown(SocketShutdown.Send);
        Assert.Equal(Total, await atOne);
        client.Dispose();
        behind.Dispose();
        AccessRecord record = await kit.NextRecord();
        Assert.Equal((clientEnds ? "client-closed" : "server-closed", Total, Total), (record.Reason, record.BytesIn, record.BytesOut));
        Assert.True((await kit.Lane.ViewPipesAsync()).Passed > Total);
    }

    [Fact]
    public async Task A_chat_after_a_stream_needs_no_pipe()
    {
        using Socket server = RelayKit.Server();
        await using RelayKit kit = new(onLoops: true, destinations: RelayKit.At(server));
        (Socket client, Socket behind) = await kit.Establish(server);
        Pattern pattern = new(1);
        Task<long> receiving = pattern.ReceiveAsync(behind, seed: 2, 8 * MiB);
        await pattern.SendAsync(client, 0, 8 * MiB, seed: 3);
        Assert.Equal(8 * MiB, await receiving);
        for (int i = 0; i < 20; i++)
        {
            await client.SendText("ping");
            Assert.Equal("ping", await behind.ReceiveText(4));
            await behind.SendText("pong");
            Assert.Equal("pong", await client.ReceiveText(4));
        }

        PipeView before = await kit.Lane.ViewPipesAsync();
        await client.SendText("last");
        Assert.Equal("last", await behind.ReceiveText(4));
        Assert.Equal(before, await kit.Lane.ViewPipesAsync());
        Assert.Equal(before.Open, before.Idle);
        client.Dispose();
        behind.Dispose();
    }

    [Fact]
    public async Task Urgent_data_in_a_stream_ends_nothing()
    {
        const long Half = 8 * MiB;
        using Socket server = RelayKit.Server();
        await using RelayKit kit = new(onLoops: true, destinations: RelayKit.At(server));
        (Socket client, Socket behind) = await kit.Establish(server);
        Pattern pattern = new(1);
        Task<long> receiving = pattern.ReceiveAsync(behind, seed: 2);
        await pattern.SendAsync(client, 0, Half, seed: 3);
        Assert.Equal(1, client.Send("!"u8, SocketFlags.OutOfBand));
        await pattern.SendAsync(client, Half, Half, seed: 4);
        client.Shutdown(SocketShutdown.Send);
        Assert.Equal(2 * Half, await receiving);
        client.Dispose();
        behind.Dispose();
    }

    [Fact]
    public async Task Relays_that_are_cut_with_bytes_in_a_pipe_leave_no_descriptor_and_no_byte_for_the_next()
    {
        const int Batches = 20, AtOnce = 10;
        using Socket server = RelayKit.Server();
        await using RelayKit kit = new(onLoops: true, destinations: RelayKit.At(server));
        await ExactAsync(kit, server, seed: 1000);
        int before = 0;
        for (int batch = 0; batch < Batches; batch++)
        {
            // 1. Streams that nobody reads, until every one of them has bytes in a pipe.
            List<(Socket Client, Socket Behind)> pairs = [];
            for (int i = 0; i < AtOnce; i++)
            {
                pairs.Add(await kit.Establish(server, receiveBuffer: 8 * 1024));
                pairs[^1].Behind.Blocking = false;
            }

            byte[] others = new byte[256 * 1024];
            await SocketKit.Until(
                async () =>
                {
                    pairs.ForEach(p => p.Behind.Send(others, SocketFlags.None, out _));
                    PipeView now = await kit.Lane.ViewPipesAsync();
                    return now.Open - now.Idle == AtOnce;
                },
                "every relay holds a pipe");

            // 2. Cut: by us, by the client, by the server.
            switch (batch % 3)
            {
                case 0:
                    kit.Lane.AbortAll();
                    break;
                case 1:
                    pairs.ForEach(p => p.Client.LingerState = new LingerOption(true, 0));
                    pairs.ForEach(p => p.Client.Dispose());
                    break;
                default:
                    pairs.ForEach(p => p.Behind.LingerState = new LingerOption(true, 0));
                    pairs.ForEach(p => p.Behind.Dispose());
                    break;
            }

            await SocketKit.Until(() => kit.Lane.Relays == 0, "every relay ends");
            pairs.ForEach(p => p.Client.Dispose());
            pairs.ForEach(p => p.Behind.Dispose());
            PipeView pipes = await kit.Lane.ViewPipesAsync();
            Assert.Equal(pipes.Open, pipes.Idle);

            // 3. Whoever comes next gets its own bytes.
            await ExactAsync(kit, server, seed: batch);
            if (batch == 2)
            {
                before = OpenDescriptors();
            }
        }

        await SocketKit.Until(() => OpenDescriptors() <= before + 8, $"descriptors go back to {before}");
    }

    private static async Task ExactAsync(RelayKit kit, Socket server, int seed)
    {
        (Socket client, Socket behind) = await kit.Establish(server);
        Pattern pattern = new(seed);
        Task<long> receiving = pattern.ReceiveAsync(behind, seed);
        await pattern.SendAsync(client, 0, 2 * MiB, seed);
        client.Shutdown(SocketShutdown.Send);
        Assert.Equal(2 * MiB, await receiving);
        behind.Dispose();
        client.Dispose();
        await SocketKit.Until(() => kit.Lane.Relays == 0, "the relay ends");
    }

    // Other tests run in this process and open descriptors too, so whoever asks waits until the number is right.
    private static int OpenDescriptors() => Directory.EnumerateFileSystemEntries("/proc/self/fd").Count();
}
