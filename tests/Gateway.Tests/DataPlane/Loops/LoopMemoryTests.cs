using System.Net;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Gateway.DataPlane.Loops;

namespace Gateway.Tests.DataPlane.Loops;

/// <summary>Goal: what the loops lay out in memory is what the kernel reads, and what they rent comes back.</summary>
public sealed class LoopMemoryTests
{
    [Fact]
    public void Structs_are_as_large_as_the_kernels()
    {
        Assert.Equal(RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16, EpollRecords.Size);
        Assert.Equal(56, Unsafe.SizeOf<Syscalls.MessageHeader>());
        Assert.Equal(16, Unsafe.SizeOf<Syscalls.IoVector>());
    }

    [Theory]
    [InlineData("127.0.0.1", 80, 16)]
    [InlineData("255.254.1.2", 65535, 16)]
    [InlineData("::1", 443, 28)]
    [InlineData("fe80::1%7", 1, 28)]
    [InlineData("2001:db8:1:2:3:4:5:6", 0, 28)]
    public void Addresses_come_back_as_they_went(string address, int port, int length)
    {
        IPEndPoint endPoint = new(IPAddress.Parse(address), port);
        byte[] bytes = SocketAddresses.Of(endPoint);
        Assert.Equal(length, bytes.Length);
        Assert.Equal(endPoint.AddressFamily == System.Net.Sockets.AddressFamily.InterNetwork ? 2 : 10, SocketAddresses.FamilyOf(bytes));
        Assert.Equal(endPoint, SocketAddresses.Read(bytes));

        // What .NET itself would hand to the kernel.
        SocketAddress known = endPoint.Serialize();
        Assert.Equal(known.Buffer.ToArray()[..known.Size], bytes);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    [InlineData(15)]
    public void Half_an_address_is_none(int length)
    {
        Assert.Null(SocketAddresses.Read(SocketAddresses.Of(new IPEndPoint(IPAddress.Loopback, 80)).AsSpan(0, length)));
        Assert.Null(SocketAddresses.Read(SocketAddresses.Of(new IPEndPoint(IPAddress.IPv6Loopback, 80)).AsSpan(0, length + 12)));
    }

    [Fact]
    public void An_address_of_another_family_is_none() => Assert.Null(SocketAddresses.Read(new byte[28]));

    [Theory]
    [InlineData(1, LoopBuffers.SmallBytes)]
    [InlineData(LoopBuffers.SmallBytes, LoopBuffers.SmallBytes)]
    [InlineData(LoopBuffers.SmallBytes + 1, LoopBuffers.LargeBytes)]
    [InlineData(LoopBuffers.LargeBytes, LoopBuffers.LargeBytes)]
    [InlineData(LoopBuffers.LargeBytes + 1, LoopBuffers.LargeBytes + 1)]
    public void A_buffer_is_large_enough_and_nobody_elses(int bytes, int length)
    {
        LoopBuffers buffers = new();
        byte[] one = buffers.Rent(bytes);
        Assert.Equal(length, one.Length);
        Assert.NotSame(one, buffers.Rent(bytes));
        buffers.Return(one);
        byte[] again = buffers.Rent(bytes);
        Assert.Equal(length <= LoopBuffers.LargeBytes, ReferenceEquals(one, again));
    }

    [Fact]
    public void A_flood_of_returned_buffers_is_not_kept()
    {
        LoopBuffers buffers = new();
        HashSet<byte[]> given = [.. Enumerable.Range(0, 1000).Select(_ => buffers.Rent(LoopBuffers.LargeBytes))];
        foreach (byte[] buffer in given)
        {
            buffers.Return(buffer);
        }

        Assert.InRange(Enumerable.Range(0, 1000).Count(_ => given.Contains(buffers.Rent(LoopBuffers.LargeBytes))), 1, 64);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void An_inbox_is_a_queue_of_bytes_and_holds_nothing_when_it_is_empty(int seed)
    {
        Random random = new(seed);
        LoopBuffers buffers = new();
        Inbox inbox = default;
        List<byte> model = [];
        byte next = 0;
        for (int step = 0; step < 3000; step++)
        {
            if (random.Next(2) == 0 && model.Count < 300_000)
            {
                byte[] bytes = new byte[random.Next(8) == 0 ? random.Next(100_000) : random.Next(3000)];
                for (int i = 0; i < bytes.Length; i++)
                {
                    bytes[i] = next++;
                }

                inbox.Keep(buffers, bytes);
                model.AddRange(bytes);
            }
            else if (model.Count > 0)
            {
                int count = random.Next(3) == 0 ? model.Count : random.Next(model.Count + 1);
                inbox.Take(buffers, count);
                model.RemoveRange(0, count);
            }

            Assert.Equal(model.Count, inbox.Count);
            Assert.Equal(model.Count == 0, inbox.IsEmpty);
            Assert.True(inbox.Bytes.SequenceEqual(CollectionsMarshal.AsSpan(model)));
            if (inbox.IsEmpty)
            {
                // Returned exactly once: two that rent now never get the same memory.
                byte[] one = buffers.Rent(100), two = buffers.Rent(100), three = buffers.Rent(5000), four = buffers.Rent(5000);
                Assert.NotSame(one, two);
                Assert.NotSame(three, four);
                buffers.Return(one);
                buffers.Return(two);
                buffers.Return(three);
                buffers.Return(four);
            }
        }

        inbox.Clear(buffers);
        inbox.Clear(buffers);
        Assert.NotSame(buffers.Rent(1), buffers.Rent(1));
    }
}
