using System.Net.Sockets;
using Gateway.IntegrationTests.DataPlane.Listening;

namespace Gateway.IntegrationTests.DataPlane.Tcp;

/// <summary>An endless stream of bytes that is the same for the same seed: a byte that is lost, doubled or another's shows.</summary>
internal sealed class Pattern
{
    // A prime, so that no buffer's size divides it.
    private readonly byte[] _block = new byte[1_000_003];

    public Pattern(int seed) => new Random(seed).NextBytes(_block);

    /// <summary>Sends bytes of the stream, in pieces and with pauses that the seed decides.</summary>
    public async Task SendAsync(Socket to, long from, long count, int seed)
    {
        Random random = new(seed);
        for (long at = from; at < from + count;)
        {
            ReadOnlyMemory<byte> rest = _block.AsMemory((int)(at % _block.Length));
            int piece = (int)Math.Min(Math.Min(rest.Length, from + count - at), random.Next(8) == 0 ? random.Next(1, 2000) : 200_000);
            at += await to.SendAsync(rest[..piece], SocketFlags.None).AsTask().InTime();
            await PauseAsync(random);
        }
    }

    /// <summary>Reads to the end of the stream and compares; returns how many bytes came.</summary>
    public async Task<long> ReceiveAsync(Socket from, int seed, long? count = null)
    {
        Random random = new(seed);
        byte[] buffer = new byte[256 * 1024];
        long at = 0;
        while (count is null || at < count)
        {
            int room = (int)Math.Min(random.Next(1, buffer.Length), (count ?? long.MaxValue) - at);
            int read = await from.ReceiveAsync(buffer.AsMemory(0, room), SocketFlags.None).AsTask().InTime();
            if (read == 0)
            {
                return at;
            }

            for (int done = 0; done < read;)
            {
                ReadOnlySpan<byte> expected = _block.AsSpan((int)((at + done) % _block.Length));
                int piece = Math.Min(expected.Length, read - done);
                Assert.True(buffer.AsSpan(done, piece).SequenceEqual(expected[..piece]), $"other bytes after {at + done}");
                done += piece;
            }

            at += read;
            await PauseAsync(random);
        }

        return at;
    }

    private static Task PauseAsync(Random random) => random.Next(24) == 0 ? Task.Delay(random.Next(1, 6)) : Task.CompletedTask;
}
