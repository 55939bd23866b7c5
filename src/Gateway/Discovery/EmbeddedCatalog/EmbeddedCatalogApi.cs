using System.Globalization;
using System.Security.Cryptography;

namespace Gateway.Discovery.EmbeddedCatalog;

/// <summary>
/// The part of Consul's HTTP API that the embedded catalog has (SPEC §3): routes, methods, blocking queries and the errors all
/// answers share. Agent, catalog and KV have a file each.
/// </summary>
internal sealed partial class EmbeddedCatalogApi
{
    private static readonly TimeSpan WaitDefault = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan WaitMax = TimeSpan.FromMinutes(10);
    private static readonly string[] Get = ["GET"];
    private static readonly string[] Put = ["PUT"];
    private static readonly string[] KeyMethods = ["GET", "PUT", "DELETE"];

    private readonly EmbeddedCatalogStore _store;
    private readonly Route[] _routes;

    public EmbeddedCatalogApi(EmbeddedCatalogStore store)
    {
        _store = store;

        // A path that ends in '/' takes the rest as its argument, as in Go's mux.
        _routes =
        [
            new("/v1/agent/self", Get, (r, _) => AgentSelf(r)),
            new("/v1/agent/members", Get, (r, _) => AgentMembers(r)),
            new("/v1/agent/services", Get, (r, _) => AgentServices(r)),
            new("/v1/agent/service/register", Put, (r, _) => RegisterService(r)),
            new("/v1/agent/service/deregister/", Put, DeregisterService),
            new("/v1/agent/service/maintenance/", Put, ServiceMaintenance),
            new("/v1/agent/service/", Get, AgentService),
            new("/v1/agent/maintenance", Put, (r, _) => NodeMaintenance(r)),
            new("/v1/agent/checks", Get, (r, _) => AgentChecks(r)),
            new("/v1/agent/check/register", Put, (r, _) => RegisterCheck(r)),
            new("/v1/agent/check/deregister/", Put, DeregisterCheck),
            new("/v1/agent/check/pass/", Put, (r, id) => Heard(r, id, CheckStatus.Passing)),
            new("/v1/agent/check/warn/", Put, (r, id) => Heard(r, id, CheckStatus.Warning)),
            new("/v1/agent/check/fail/", Put, (r, id) => Heard(r, id, CheckStatus.Critical)),
            new("/v1/agent/check/update/", Put, UpdateCheck),
            new("/v1/catalog/datacenters", Get, (r, _) => r.Json(Datacenters)),
            new("/v1/catalog/nodes", Get, (r, _) => CatalogNodes(r)),
            new("/v1/catalog/node/", Get, CatalogNode),
            new("/v1/catalog/services", Get, (r, _) => CatalogServices(r)),
            new("/v1/catalog/service/", Get, CatalogService),
            new("/v1/health/service/", Get, HealthService),
            new("/v1/health/checks/", Get, HealthChecks),
            new("/v1/health/state/", Get, HealthState),
            new("/v1/health/node/", Get, HealthNode),
            new("/v1/kv/", KeyMethods, Keys),
            new("/v1/status/leader", Get, (r, _) => r.Json(json => json.WriteStringValue(Leader()))),
            new("/v1/status/peers", Get, (r, _) => r.Json(json =>
            {
                json.WriteStartArray();
                json.WriteStringValue(Leader());
                json.WriteEndArray();
            })),
        ];
    }

    /// <summary>Answers one request.</summary>
    public async Task Handle(CatalogRequest request)
    {
        // 1. Go's mux sends a path with empty segments to the clean one.
        if (request.RawPath.Contains("//", StringComparison.Ordinal))
        {
            string clean = request.RawPath;
            while (clean.Contains("//", StringComparison.Ordinal))
            {
                clean = clean.Replace("//", "/", StringComparison.Ordinal);
            }

            request.Header("Location", clean);
            await request.Nothing(301);
            return;
        }

        // 2. Route and method. The list is short and a catalog is no hot path: first match.
        Route? route = Array.Find(_routes, r => r.Matches(request.Path));
        if (route is null)
        {
            await request.Text(404, $"Not found: '{request.Path}' is not in the part of Consul's API that the embedded catalog "
                + "has: /v1/agent/{self,services,service,checks,check,maintenance}, /v1/catalog, "
                + "/v1/health/{service,checks,state,node}, "
                + "/v1/kv, /v1/status");
            return;
        }

        if (!route.Methods.Contains(request.Method))
        {
            request.Header("Allow", $"OPTIONS,{string.Join(',', route.Methods)}");
            await (request.Method == "OPTIONS" ? request.Nothing() : request.Text(405, $"method {request.Method} not allowed"));
            return;
        }

        // 3. The answer. A journal that cannot be written is the world's failure: said to the client, nothing acknowledged.
        try
        {
            await route.Answer(request, route.Argument(request.Path));
        }
        catch (IOException failure) when (!request.Aborted.IsCancellationRequested)
        {
            await request.Text(
                500, $"The embedded catalog could not write its journal, nothing was registered: {failure.Message}");
        }
    }

    private static string? Missing(string argument, string what) => argument.Length == 0 ? what : null;

    /// <summary>
    /// The frame of every read: consistency, datacenter, index and wait are checked, then the query blocks until the topic's
    /// index is above the given one, and the index is taken together with what is answered.
    /// </summary>
    private async Task<bool> Block(CatalogRequest request, Topic topic)
    {
        // 1. Parameters, with Consul's statuses.
        if (request.Has("stale") && request.Has("consistent"))
        {
            await request.Text(400, "Cannot specify ?stale with ?consistent, conflicting semantics.");
            return false;
        }

        if (request.Query("dc") is { Length: > 0 } datacenter && datacenter != NodeRecord.Datacenter)
        {
            request.Index(1, knownLeader: false);
            await request.Text(
                500, $"No path to datacenter '{datacenter}': the embedded catalog is '{NodeRecord.Datacenter}' only");
            return false;
        }

        TimeSpan wait = WaitDefault;
        if (request.Query("wait") is { Length: > 0 } waitText)
        {
            if (!GoDuration.TryParse(waitText, out wait))
            {
                await request.Text(
                    400, $"Invalid wait time: query parameter 'wait' is '{waitText}'; allowed is {GoDuration.Allowed}");
                return false;
            }

            wait = wait <= TimeSpan.Zero ? WaitDefault : wait < WaitMax ? wait : WaitMax;
        }

        ulong index = 0;
        if (request.Query("index") is { Length: > 0 } indexText
            && !ulong.TryParse(indexText, NumberStyles.None, CultureInfo.InvariantCulture, out index))
        {
            await request.Text(400, $"Invalid index: query parameter 'index' is '{indexText}'; allowed is a whole number from 0");
            return false;
        }

        // 2. Wait, jittered so that a thousand watchers that began together do not end together.
        if (index > 0)
        {
            wait += TimeSpan.FromTicks(Random.Shared.NextInt64((wait.Ticks / 16) + 1));
            using CancellationTokenSource either =
                CancellationTokenSource.CreateLinkedTokenSource(request.Aborted, request.Stopping);
            await _store.WaitAsync(topic, index, wait, either.Token);
        }

        return true;
    }

    /// <summary>Reads records and the topic's index in one go and sets the headers.</summary>
    private T Take<T>(CatalogRequest request, Topic topic, Func<EmbeddedCatalogState, T> read)
    {
        (ulong index, T found) = _store.Read(state => (state.IndexOf(topic), read(state)));
        request.Index(index);
        return found;
    }

    /// <summary>The filter of a request; false after an error was answered.</summary>
    private static async Task<(bool Go, FilterExpression? Filter)> Filter(
        CatalogRequest request, Func<string, SelectorKind> knows, bool catalog = true)
    {
        if (request.Query("filter") is not { Length: > 0 } text)
        {
            return (true, null);
        }

        FilterExpression? filter = FilterExpression.Parse(text, knows, out string? error);
        if (filter is not null)
        {
            return (true, filter);
        }

        if (catalog)
        {
            request.Index(1, knownLeader: false);
        }

        await request.Text(500, error!);
        return (false, null);
    }

    private string Leader() => $"{_store.Read(state => state.Node).Address}:8300";

    /// <summary>Consul's content hash stands for equality only; ours is another function.</summary>
    private static string Hash(string content) =>
        Convert.ToHexStringLower(SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(content)).AsSpan(0, 8));

    private sealed record Route(string Path, string[] Methods, Func<CatalogRequest, string, Task> Answer)
    {
        public bool Matches(string path) =>
            Path.EndsWith('/') ? path.StartsWith(Path, StringComparison.Ordinal) : path == Path;

        public string Argument(string path) => path[Path.Length..];
    }
}
