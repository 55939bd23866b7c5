using System.Net;
using System.Text;
using System.Text.Json.Nodes;

namespace Gateway.IntegrationTests.Discovery.Contract;

/// <summary>
/// What registrators, watchers and <c>curl</c> rely on, asserted over raw HTTP. Two sealed classes run the same assertions: one
/// against Consul 1.8.7, one against the embedded catalog. Each test uses names of its own, so they share one catalog. Waking is
/// asserted by queries that return, not waking by queries that are still blocked when another watcher of the same change woke.
/// </summary>
public abstract partial class CatalogContract : IDisposable
{
    private readonly ContractCatalog _catalog;
    private readonly HttpClient _client;

    protected CatalogContract(ContractCatalog catalog)
    {
        _catalog = catalog;
        if (catalog.Address is null)
        {
            Assert.Skip(catalog.Missing);
        }

        _client = new HttpClient(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false })
        {
            BaseAddress = catalog.Address,
            Timeout = ContractWait.Deadline * 2,
        };
    }

    protected Uri Address => _catalog.Address!;

    public void Dispose()
    {
        _client.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>A name nobody else uses.</summary>
    private static string Unique(string what) => $"{what}-{Guid.NewGuid().ToString("N")[..8]}";

    private async Task<Answer> Send(HttpMethod method, string path, string? body = null, CancellationToken stop = default)
    {
        using HttpRequestMessage request = new(method, new Uri(Address, path));
        if (body is not null)
        {
            // As curl -d does: registrators send all kinds of content types, Consul looks at none.
            request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(body));
            request.Content.Headers.TryAddWithoutValidation("Content-Type", "application/x-www-form-urlencoded");
        }

        using HttpResponseMessage response = await _client.SendAsync(request, stop);
        string text = await response.Content.ReadAsStringAsync(stop);
        string Header(string name) => response.Headers.TryGetValues(name, out IEnumerable<string>? values) ? values.Single() : "";
        return new Answer(
            response.StatusCode,
            text,
            ulong.TryParse(Header("X-Consul-Index"), out ulong index) ? index : null,
            Header("X-Consul-KnownLeader"),
            Header("X-Consul-LastContact"),
            response.Content.Headers.ContentType?.ToString() ?? "");
    }

    private Task<Answer> Get(string path, CancellationToken stop = default) => Send(HttpMethod.Get, path, null, stop);

    private Task<Answer> Put(string path, string? body = null) => Send(HttpMethod.Put, path, body ?? "");

    private async Task Done(string path, string? body = null)
    {
        Answer answer = await Put(path, body);
        Assert.True(answer.Status == HttpStatusCode.OK, $"{path}: {answer.Status} {answer.Body}");
        Assert.Equal("", answer.Body);
    }

    private Task Register(string json) => Done("v1/agent/service/register", json);

    /// <summary>The agent synchronizes with the catalog in its own time: wait until the catalog has it.</summary>
    private Task Sees(string path, Func<Answer, bool> condition) =>
        ContractWait.Until(async () => condition(await Get(path)), $"{path} as expected");

    private Task HasInstances(string name, int count) =>
        Sees($"v1/health/service/{name}", a => a.Json.AsArray().Count == count);

    /// <summary>Blocks on a path from its present index.</summary>
    private async Task<Watcher> Watch(string path)
    {
        Answer now = await Get(path);
        Assert.NotNull(now.Index);
        CancellationTokenSource stop = new();
        char join = path.Contains('?', StringComparison.Ordinal) ? '&' : '?';
        return new Watcher(path, now, Get($"{path}{join}index={now.Index}&wait=60s", stop.Token), stop);
    }

    private static async Task<Answer> Wakes(Watcher watcher)
    {
        Answer answer = await watcher.Next.WaitAsync(ContractWait.Deadline);
        Assert.True(answer.Index > watcher.Before.Index, $"{watcher.Path}: index {watcher.Before.Index} -> {answer.Index}");
        watcher.Stop.Dispose();
        return answer;
    }

    /// <summary>Call after another watcher of the same change woke.</summary>
    private async Task SleepsOn(Watcher watcher)
    {
        await Get("v1/catalog/services");
        await Get("v1/catalog/services");
        Assert.False(watcher.Next.IsCompleted, $"{watcher.Path} woke");
        await watcher.Stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => watcher.Next);
        watcher.Stop.Dispose();
    }

    private sealed record Answer(
        HttpStatusCode Status, string Body, ulong? Index, string KnownLeader, string LastContact, string ContentType)
    {
        public JsonNode Json => JsonNode.Parse(Body)!;
    }

    private sealed record Watcher(string Path, Answer Before, Task<Answer> Next, CancellationTokenSource Stop);
}

/// <summary>The contract against the real thing.</summary>
[Trait("Needs", "consul")]
public sealed class ConsulContractTests(ContractConsulAgent catalog) : CatalogContract(catalog), IClassFixture<ContractConsulAgent>;

/// <summary>The contract against ours.</summary>
public sealed class EmbeddedCatalogContractTests(ContractEmbeddedCatalog catalog)
    : CatalogContract(catalog), IClassFixture<ContractEmbeddedCatalog>;
