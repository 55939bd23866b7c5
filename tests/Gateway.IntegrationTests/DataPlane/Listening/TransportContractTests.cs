using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Text;
using Gateway.DataPlane.Listening;
using Microsoft.AspNetCore.Connections;

namespace Gateway.IntegrationTests.DataPlane.Listening;

/// <summary>What Kestrel and the lane count on, of both transports: .NET's on sockets, ours on loops.</summary>
public sealed class TransportContractTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Bytes_come_and_go_in_order_in_portions_of_any_size(bool loops)
    {
        await using TransportUnderTest transport = new(loops);
        (Socket client, ConnectionContext ours) = await transport.PairAsync();
        Task echo = EchoAsync(ours);
        byte[] noise = PipeKit.Noise(600_000, 1);
        Random random = new(2);
        Task sending = Task.Run(async () =>
        {
            for (int at = 0; at < noise.Length;)
            {
                int count = Math.Min(noise.Length - at, at < 300 ? 1 : random.Next(1, 40_000));
                await client.SendAllAsync(noise.AsMemory(at, count));
                at += count;
            }

            client.Shutdown(SocketShutdown.Send);
        });
        byte[] back = await client.ReceiveAllAsync();
        await sending.InTime();
        await echo.InTime();
        Assert.True(noise.AsSpan().SequenceEqual(back));
        client.Dispose();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Who_reads_without_consuming_gets_the_same_and_more(bool loops)
    {
        await using TransportUnderTest transport = new(loops);
        (Socket client, ConnectionContext ours) = await transport.PairAsync();
        PipeReader input = ours.Transport.Input;
        byte[] noise = PipeKit.Noise(120_000, 3);
        Task sending = client.SendAllAsync(noise);
        ReadResult read;
        while (true)
        {
            read = await input.ReadAsync().AsTask().InTime();
            if (read.Buffer.Length == noise.Length)
            {
                break;
            }

            input.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        }

        // Nothing examined: the same at once. Half consumed: the other half at once.
        input.AdvanceTo(read.Buffer.Start, read.Buffer.Start);
        Assert.True(input.TryRead(out read));
        Assert.Equal(noise, read.Buffer.ToArray());
        input.AdvanceTo(read.Buffer.GetPosition(70_001), read.Buffer.GetPosition(70_001));
        Assert.True(input.TryRead(out read));
        Assert.Equal(noise[70_001..], read.Buffer.ToArray());
        input.AdvanceTo(read.Buffer.End);
        Assert.False(input.TryRead(out _));
        await sending;
        client.Dispose();
        await ours.DisposeAsync();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_slow_reader_is_felt_by_the_writer_and_loses_nothing(bool loops)
    {
        await using TransportUnderTest transport = new(loops);
        (Socket client, ConnectionContext ours) = await transport.PairAsync();
        byte[] noise = PipeKit.Noise(32 * 1024 * 1024, 4);
        long written = 0;
        Task writing = Task.Run(async () =>
        {
            for (int at = 0; at < noise.Length; at += 256 * 1024)
            {
                // Both ways of writing.
                if (at % (512 * 1024) == 0)
                {
                    ours.Transport.Output.Write(noise.AsMemory(at, 256 * 1024).Span);
                    await ours.Transport.Output.FlushAsync();
                }
                else
                {
                    await ours.Transport.Output.WriteAsync(noise.AsMemory(at, 256 * 1024));
                }

                Volatile.Write(ref written, at);
            }

            await ours.DisposeAsync();
        });
        long before = -1;
        await SocketKit.Until(async () =>
        {
            before = Volatile.Read(ref written);
            await Task.Delay(50);
            return before > 0 && Volatile.Read(ref written) == before;
        }, "the writer waits");
        Assert.False(writing.IsCompleted);
        byte[] received = await client.ReceiveAllAsync();
        Assert.True(noise.AsSpan().SequenceEqual(received));
        await writing.InTime();
        client.Dispose();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_read_is_canceled_while_it_waits_or_before_it_begins(bool loops)
    {
        await using TransportUnderTest transport = new(loops);
        (Socket client, ConnectionContext ours) = await transport.PairAsync();
        PipeReader input = ours.Transport.Input;
        for (int i = 0; i < 50; i++)
        {
            Task<ReadResult> waiting = input.ReadAsync().AsTask();
            input.CancelPendingRead();
            ReadResult read = await waiting.InTime();
            Assert.True(read.IsCanceled);
            input.AdvanceTo(read.Buffer.End);
        }

        input.CancelPendingRead();
        ReadResult next = await input.ReadAsync().AsTask().InTime();
        Assert.True(next.IsCanceled);
        input.AdvanceTo(next.Buffer.End);

        // By a token: nothing is lost by it.
        using CancellationTokenSource cancel = new();
        ValueTask<ReadResult> tokened = input.ReadAsync(cancel.Token);
        await cancel.CancelAsync();
        Assert.IsAssignableFrom<OperationCanceledException>(await PipeKit.FailureOf(tokened));
        await client.SendText("hello");
        Assert.Equal("hello", Encoding.UTF8.GetString(await ours.ReadAsync(5)));
        client.Dispose();
        await ours.DisposeAsync();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_flush_is_canceled_and_what_it_was_to_send_comes_with_the_next(bool loops)
    {
        await using TransportUnderTest transport = new(loops);
        (Socket client, ConnectionContext ours) = await transport.PairAsync();
        (Task<FlushResult> waiting, int written) = await FillAsync(ours);
        ours.Transport.Output.CancelPendingFlush();
        Assert.True((await waiting.InTime()).IsCanceled);
        Task<byte[]> receiving = client.ReceiveAllAsync();
        await ours.Transport.Output.FlushAsync().AsTask().InTime();
        await ours.DisposeAsync().AsTask().InTime();
        Assert.Equal(written, (await receiving.InTime()).Length);
        client.Dispose();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_client_that_sends_no_more_is_read_to_its_end_and_answered(bool loops)
    {
        await using TransportUnderTest transport = new(loops);
        (Socket client, ConnectionContext ours) = await transport.PairAsync();
        await client.SendText("hello");
        client.Shutdown(SocketShutdown.Send);
        Assert.Equal("hello", Encoding.UTF8.GetString(await ours.ReadAsync(100)));
        await SocketKit.Until(() => ours.ConnectionClosed.IsCancellationRequested, "the end is told");
        await ours.Transport.Output.WriteAsync("bye"u8.ToArray()).AsTask().InTime();
        await ours.DisposeAsync().AsTask().InTime();
        Assert.Equal("bye", await client.ReceiveToEnd());
        client.Dispose();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_end_is_told_while_nobody_reads(bool loops)
    {
        await using TransportUnderTest transport = new(loops);
        (Socket client, ConnectionContext ours) = await transport.PairAsync();
        client.Dispose();
        await SocketKit.Until(() => ours.ConnectionClosed.IsCancellationRequested, "the end is told");
        ReadResult read = await ours.Transport.Input.ReadAsync().AsTask().InTime();
        Assert.True(read.IsCompleted);
        await ours.DisposeAsync().AsTask().InTime();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_clients_reset_ends_the_read_that_waits_and_later_writes(bool loops)
    {
        await using TransportUnderTest transport = new(loops);
        (Socket client, ConnectionContext ours) = await transport.PairAsync();
        ValueTask<ReadResult> waiting = ours.Transport.Input.ReadAsync();
        client.Close(0);
        Assert.IsAssignableFrom<ConnectionResetException>(await PipeKit.FailureOf(waiting));
        await SocketKit.Until(() => ours.ConnectionClosed.IsCancellationRequested, "the end is told");
        await SocketKit.Until(
            async () => (await ours.Transport.Output.WriteAsync("x"u8.ToArray()).AsTask().InTime()).IsCompleted, "the write finds it");
        await ours.DisposeAsync().AsTask().InTime();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_abort_ends_a_read_and_a_flush_that_wait_and_resets_the_client(bool loops)
    {
        await using TransportUnderTest transport = new(loops);
        (Socket client, ConnectionContext ours) = await transport.PairAsync();
        ValueTask<ReadResult> waiting = ours.Transport.Input.ReadAsync();
        (Task<FlushResult> flushing, _) = await FillAsync(ours);
        ours.Abort(new ConnectionAbortedException("enough"));
        ours.Abort(new ConnectionAbortedException("twice"));
        Exception? failure = await PipeKit.FailureOf(waiting);
        Assert.Equal("enough", Assert.IsType<ConnectionAbortedException>(failure).Message);
        Assert.True((await flushing.InTime()).IsCompleted);
        await SocketKit.Until(() => ours.ConnectionClosed.IsCancellationRequested, "the end is told");
        await Assert.ThrowsAsync<SocketException>(client.ReceiveAllAsync);
        await ours.DisposeAsync().AsTask().InTime();
        client.Dispose();
    }

    [Fact]
    public async Task What_was_read_before_comes_first()
    {
        await using TransportUnderTest transport = new(loops: true);
        string long70 = new('p', 70_000);
        foreach (string before in new[] { "PRI * HT", long70 })
        {
            (Socket client, ConnectionContext ours) = await transport.PairAsync(before);
            ReadResult read = await ours.Transport.Input.ReadAsync().AsTask().InTime();
            Assert.Equal(before.Length, read.Buffer.Length);
            ours.Transport.Input.AdvanceTo(read.Buffer.Start, read.Buffer.End);
            ValueTask<ReadResult> waiting = ours.Transport.Input.ReadAsync();
            Assert.False(waiting.IsCompleted);
            await client.SendText("TP/2.0");
            read = await waiting.AsTask().InTime();
            Assert.StartsWith(before + "T", Encoding.UTF8.GetString(read.Buffer), StringComparison.Ordinal);
            ours.Transport.Input.AdvanceTo(read.Buffer.Start);
            Assert.Equal(before + "TP/2.0", Encoding.UTF8.GetString(await ours.ReadAsync(before.Length + 6)));
            client.Dispose();
            await ours.DisposeAsync().AsTask().InTime();
        }
    }

    [Fact]
    public async Task Who_waits_is_woken_on_the_loop_only_when_that_is_wanted()
    {
        await using TransportUnderTest transport = new(loops: true);
        foreach (bool inline in new[] { true, false })
        {
            (Socket client, ConnectionContext ours) = await transport.PairAsync(inline: inline);
            Task<bool> there = Task.Run(async () =>
            {
                ReadResult read = await ours.Transport.Input.ReadAsync();
                ours.Transport.Input.AdvanceTo(read.Buffer.End);
                return transport.Loops.Any(loop => loop.IsHere);
            });
            await Task.Delay(20);
            await client.SendText("x");
            Assert.True(inline || !await there.InTime());
            await there.InTime();
            client.Dispose();
            await ours.DisposeAsync().AsTask().InTime();
        }
    }

    [Fact]
    public async Task Disposing_ends_a_read_that_waits_and_sends_what_a_slow_client_has_not_taken()
    {
        await using TransportUnderTest transport = new(loops: true);
        (Socket client, ConnectionContext ours) = await transport.PairAsync();
        ValueTask<ReadResult> waiting = ours.Transport.Input.ReadAsync();
        (Task<FlushResult> flushing, int written) = await FillAsync(ours);
        Task disposing = ours.DisposeAsync().AsTask();
        Assert.NotNull(await PipeKit.FailureOf(waiting));
        Assert.False(disposing.IsCompleted);
        Assert.Equal(written, (await client.ReceiveAllAsync()).Length);
        await flushing.InTime();
        await disposing.InTime();
        client.Dispose();
    }

    [Fact]
    public async Task The_last_answer_reaches_a_client_that_goes_on_sending()
    {
        await using TransportUnderTest transport = new(loops: true);
        (Socket client, ConnectionContext ours) = await transport.PairAsync();
        await client.SendAllAsync(PipeKit.Noise(100_000, 5));
        await ours.Transport.Output.WriteAsync("413"u8.ToArray()).AsTask().InTime();
        Task disposing = ours.DisposeAsync().AsTask();
        await client.SendAllAsync(PipeKit.Noise(100_000, 6));
        Assert.Equal("413", await client.ReceiveToEnd());
        client.Dispose();
        await disposing.InTime();
    }

    [Fact]
    public async Task Many_connections_that_are_canceled_aborted_and_disposed_from_everywhere_all_end()
    {
        await using TransportUnderTest transport = new(loops: true);
        await Task.WhenAll(Enumerable.Range(0, 300).Select(async i =>
        {
            (Socket client, ConnectionContext ours) = await transport.PairAsync(inline: i % 3 != 0);
            Task echo = EchoAsync(ours);
            Task sending = Task.Run(async () =>
            {
                try
                {
                    for (int j = 0; j < 20; j++)
                    {
                        await client.SendAsync(PipeKit.Noise(1 + (i * j * 37 % 9000), i));
                    }
                }
                catch (Exception e) when (e is SocketException or ObjectDisposedException)
                {
                }
            });
            Task receiving = Task.Run(async () =>
            {
                try
                {
                    await client.ReceiveAllAsync();
                }
                catch (Exception e) when (e is SocketException or ObjectDisposedException)
                {
                }
            });
            for (int j = 0; j < i % 20; j++)
            {
                ours.Transport.Input.CancelPendingRead();
                await Task.Yield();
            }

            switch (i % 4)
            {
                case 0:
                    ours.Abort();
                    break;
                case 1:
                    client.Close(0);
                    break;
                case 2:
                    await sending;
                    client.Shutdown(SocketShutdown.Send);
                    break;
                default:
                    ours.Abort();
                    client.Dispose();
                    break;
            }

            await echo.InTime();
            await sending.InTime();
            await receiving.InTime();
            client.Dispose();
        }));
    }

    private static async Task EchoAsync(ConnectionContext ours)
    {
        try
        {
            while (true)
            {
                ReadResult read = await ours.Transport.Input.ReadAsync();
                foreach (ReadOnlyMemory<byte> piece in read.Buffer)
                {
                    await ours.Transport.Output.WriteAsync(piece);
                }

                ours.Transport.Input.AdvanceTo(read.Buffer.End);
                if (read.IsCompleted)
                {
                    break;
                }
            }
        }
        catch (Exception e) when (e is IOException or ConnectionAbortedException)
        {
            // The other end, or the test, had enough.
        }

        await ours.DisposeAsync();
    }

    // Writes until the client's and our kernel take no more.
    private static async Task<(Task<FlushResult> Waiting, int Written)> FillAsync(ConnectionContext ours)
    {
        byte[] noise = PipeKit.Noise(256 * 1024, 7);
        for (int written = noise.Length; ; written += noise.Length)
        {
            Task<FlushResult> flush = ours.Transport.Output.WriteAsync(noise).AsTask();
            if (await Task.WhenAny(flush, Task.Delay(200)) != flush)
            {
                return (flush, written);
            }
        }
    }
}
