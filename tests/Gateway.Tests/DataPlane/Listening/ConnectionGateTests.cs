using Gateway.DataPlane.Listening;

namespace Gateway.Tests.DataPlane.Listening;

public sealed class ConnectionGateTests
{
    [Fact]
    public void Nobody_enters_above_the_limit()
    {
        ConnectionGate gate = new(2);
        Assert.True(gate.TryEnter() && gate.TryEnter());
        Assert.False(gate.TryEnter());
        gate.Exit();
        Assert.True(gate.TryEnter());
    }

    [Fact]
    public async Task Who_waits_is_told_when_a_place_is_given_back_or_the_limit_rises()
    {
        ConnectionGate gate = new(1);
        Assert.True(gate.WhenRoomAsync(TestContext.Current.CancellationToken).IsCompletedSuccessfully);
        gate.Enter();
        Task place = gate.WhenRoomAsync(TestContext.Current.CancellationToken);
        Assert.False(place.IsCompleted);
        gate.Exit();
        await place;

        gate.Enter();
        Task limit = gate.WhenRoomAsync(TestContext.Current.CancellationToken);
        Assert.False(limit.IsCompleted);
        gate.Limit = 2;
        await limit;
    }

    [Fact]
    public async Task A_lowered_limit_holds_until_enough_have_left()
    {
        ConnectionGate gate = new(3);
        gate.Enter();
        gate.Enter();
        gate.Enter();
        gate.Limit = 1;
        Task place = gate.WhenRoomAsync(TestContext.Current.CancellationToken);
        gate.Exit();
        gate.Exit();
        Assert.False(place.IsCompleted || gate.TryEnter());
        gate.Exit();
        await place;
        Assert.Equal(0, gate.Open);
    }

    [Fact]
    public async Task Waiting_can_be_given_up()
    {
        ConnectionGate gate = new(0);
        using CancellationTokenSource stop = new();
        Task place = gate.WhenRoomAsync(stop.Token);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => place);
    }
}
