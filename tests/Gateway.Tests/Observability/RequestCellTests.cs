using Gateway.Observability;

namespace Gateway.Tests.Observability;

/// <summary>Goal: every request is counted once, in its status and its bucket, however many count.</summary>
public sealed class RequestCellTests
{
    private static readonly RequestLabels s_labels = new("internal/80", "orders", "production");

    [Fact]
    public void Durations_stand_in_the_first_bucket_that_holds_them()
    {
        RequestCell cell = new();
        foreach (double bound in RequestCell.Bounds)
        {
            cell.Add(200, bound);
        }

        cell.Add(200, 1000);
        (SortedDictionary<int, long> statuses, long[] buckets, double seconds) = Of(cell);
        Assert.Equal(Enumerable.Repeat(1L, RequestCell.Bounds.Length + 1), buckets);
        Assert.Equal(RequestCell.Bounds.Length + 1, statuses[200]);
        Assert.Equal(RequestCell.Bounds.Sum() + 1000, seconds, 6);
    }

    [Fact]
    public void Every_status_is_counted_for_itself()
    {
        RequestCell cell = new();
        for (int i = 0; i < 3000; i++)
        {
            cell.Add(i % 600, 0.001);
        }

        Assert.Equal(600, Of(cell).Statuses.Count);
        Assert.All(Of(cell).Statuses.Values, count => Assert.Equal(5, count));
    }

    [Fact]
    public async Task Writers_and_readers_at_once_lose_nothing()
    {
        RequestCounts counts = new();
        using CancellationTokenSource stop = new();
        long last = 0;
        Task reader = Task.Run(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                long sum = counts.Read().Sum(s => s.Statuses.Values.Sum());
                Assert.True(sum >= last, $"{sum} after {last}");
                last = sum;
            }
        });
        await Task.WhenAll(Enumerable.Range(0, 4).Select(i => Task.Run(() =>
        {
            RequestCell own = counts.Open(s_labels);
            for (int n = 0; n < 20_000; n++)
            {
                own.Add(200 + (n % 5), 0.001);
                counts.Add(s_labels, 200 + (n % 7), 0.001);
            }
        })));
        await stop.CancelAsync();
        await reader;
        RequestSums sums = Assert.Single(counts.Read());
        Assert.Equal((160_000, 160_000), (sums.Statuses.Values.Sum(), sums.Buckets.Sum()));
        Assert.Equal(160.0, sums.Seconds, 3);
        Assert.Equal(160_000, counts.ByCode().Sum(m => m.Value));
        Assert.Equal(7, counts.ByCode().Count());
    }

    private static (SortedDictionary<int, long> Statuses, long[] Buckets, double Seconds) Of(RequestCell cell)
    {
        SortedDictionary<int, long> statuses = [];
        long[] buckets = new long[RequestCell.Bounds.Length + 1];
        double seconds = 0;
        cell.AddTo(statuses, buckets, ref seconds);
        return (statuses, buckets, seconds);
    }
}
