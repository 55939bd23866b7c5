using System.Collections.Concurrent;
using System.Net;
using System.Text;
using Gateway.Discovery.Consul;
using Gateway.Observability;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.IntegrationTests.Discovery.Contract;

// Following one key, as Gateway does for its limit of connections.
public abstract partial class CatalogContract
{
    [Fact]
    public async Task A_followed_key_is_told_absent_first_and_then_every_change()
    {
        string key = $"{Unique("limits")}/max conn";
        string path = $"v1/kv/{string.Join('/', key.Split('/').Select(Uri.EscapeDataString))}";
        ConcurrentQueue<string> told = [];
        using CancellationTokenSource stop = new();
        using GatewayMetrics metrics = new();
        using ConsulKeyWatch watch = new("consul", new ConsulOptions { Address = Address }, key, TimeProvider.System, NullLogger.Instance, metrics);
        Task running = watch.RunAsync(k => told.Enqueue(k.Exists ? Encoding.UTF8.GetString(k.Value.Span) : "absent"), stop.Token);

        await ContractWait.Until(() => Task.FromResult(told.Count == 1), "absent is told");
        await Put(path, "100");
        await ContractWait.Until(() => Task.FromResult(told.Count == 2), "the first value is told");
        await Put($"{path}-other", "not ours");
        await Put(path, "");
        await ContractWait.Until(() => Task.FromResult(told.Count == 3), "an empty value is told");
        Assert.Equal(HttpStatusCode.OK, (await Send(HttpMethod.Delete, path)).Status);
        await ContractWait.Until(() => Task.FromResult(told.Count == 4), "its end is told");
        Assert.Equal(["absent", "100", "", "absent"], told);
        Assert.Null(watch.Problem);

        await stop.CancelAsync();
        await running;
    }
}
