using System.Net.Sockets;
using Gateway.IntegrationTests.DataPlane.Listening;

namespace Gateway.IntegrationTests.DataPlane.Tcp;

/// <summary>Goal: a long stream costs no memory. Method: nothing else allocates in the process meanwhile.</summary>
[CollectionDefinition("alone: counts what the process allocates", DisableParallelization = true)]
public sealed class AloneCollection;

[Collection("alone: counts what the process allocates")]
public sealed class FlatMemoryTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_gibibyte_passes_with_flat_memory(bool onLoops)
    {
        const long Total = 1L << 30;
        using Socket server = RelayKit.Server();
        await using RelayKit kit = new(onLoops, destinations: RelayKit.At(server));
        (Socket client, Socket behind) = await kit.Establish(server);
        GC.Collect();
        long allocated = GC.GetTotalAllocatedBytes(precise: true);
        Task<long> counting = Task.Run(() => TcpLaneTests.CountToEnd(behind));
        byte[] chunk = new byte[256 * 1024];
        for (long left = Total; left > 0;)
        {
            left -= await client.SendAsync(chunk.AsMemory(0, (int)Math.Min(left, chunk.Length)), SocketFlags.None);
        }

        client.Shutdown(SocketShutdown.Send);
        Assert.Equal(Total, await counting.WaitAsync(SocketKit.Deadline * 6));
        behind.Dispose();
        Assert.Equal("", await client.ReceiveToEnd());
        client.Dispose();

        // Everything allocated meanwhile, garbage, a contended buffer pool and the test's own share included, is a part of what
        // passed; a relay that buffered would have allocated all of it, and more.
        long grown = GC.GetTotalAllocatedBytes(precise: true) - allocated;
        Assert.True(grown < Total / 4, $"{grown} bytes allocated");
        Assert.Equal(Total, (await kit.NextRecord()).BytesIn);
    }
}
