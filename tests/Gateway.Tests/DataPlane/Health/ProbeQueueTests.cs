using Gateway.Catalog;
using Gateway.DataPlane.Health;
using Gateway.Planning;

namespace Gateway.Tests.DataPlane.Health;

public sealed class ProbeQueueTests
{
    [Fact]
    public void Whatever_is_put_moved_and_removed_the_earliest_comes_first()
    {
        Random random = new(7);
        ProbeQueue queue = new();
        ProbeSchedule[] entries = [.. Enumerable.Range(0, 200).Select(_ => Entry())];
        Dictionary<ProbeSchedule, long> expected = [];
        for (int step = 0; step < 20_000; step++)
        {
            ProbeSchedule one = entries[random.Next(entries.Length)];
            if (random.Next(3) == 0)
            {
                queue.Remove(one);
                expected.Remove(one);
            }
            else
            {
                long due = random.Next(1000);
                queue.Put(one, due);
                expected[one] = due;
            }

            Assert.Equal(expected.Count, queue.Count);
            Assert.Equal(expected.Count == 0 ? null : expected.Values.Min(), queue.First?.Due);
        }
    }

    private static ProbeSchedule Entry() => new(null!, new DestinationHealth(), new ProbeTarget
    {
        Service = "web",
        Environment = "production",
        Instance = new InstanceKey("n", "a"),
        Address = "127.0.0.1",
        Port = 1,
        Check = new CheckPlan(),
    });
}
