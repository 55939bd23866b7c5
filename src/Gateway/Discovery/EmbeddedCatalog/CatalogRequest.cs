using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Primitives;

namespace Gateway.Discovery.EmbeddedCatalog;

/// <summary>One request to the catalog: decoded path, query as Go reads it, and the ways to answer as Consul does.</summary>
internal sealed class CatalogRequest
{
    private static readonly JsonWriterOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static readonly JsonWriterOptions Pretty = new()
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        Indented = true,
        IndentSize = 4,
    };

    private readonly HttpContext _http;
    private readonly Dictionary<string, StringValues> _query;

    public CatalogRequest(HttpContext http, CancellationToken stopping)
    {
        _http = http;
        Stopping = stopping;

        // The raw target: %2F in a service id or a key is a slash to Consul, but ASP.NET leaves it as it is in Path.
        string target = http.Features.Get<IHttpRequestFeature>()!.RawTarget;
        int query = target.IndexOf('?', StringComparison.Ordinal);
        string path = query < 0 ? target : target[..query];
        if (!path.StartsWith('/') && Uri.TryCreate(path, UriKind.Absolute, out Uri? absolute))
        {
            path = absolute.AbsolutePath;
        }

        RawPath = path;
        Path = Uri.UnescapeDataString(path);
        _query = QueryHelpers.ParseQuery(http.Request.QueryString.Value);
    }

    public string Method => _http.Request.Method;

    public string RawPath { get; }

    public string Path { get; }

    /// <summary>The client went away.</summary>
    public CancellationToken Aborted => _http.RequestAborted;

    /// <summary>The server stops: blocked queries answer what there is.</summary>
    public CancellationToken Stopping { get; }

    /// <summary>Whether a query parameter is there, with or without a value.</summary>
    public bool Has(string name) => _query.ContainsKey(name);

    /// <summary>First value of a query parameter, or empty.</summary>
    public string Query(string name) => _query.TryGetValue(name, out StringValues values) ? values[0] ?? "" : "";

    public StringValues QueryAll(string name) => _query.GetValueOrDefault(name);

    /// <summary>The body, or null after an answer that it is too large.</summary>
    public async Task<byte[]?> Body(int bytesMax, string setting)
    {
        using MemoryStream body = new();
        byte[] buffer = ArrayPool<byte>.Shared.Rent(16 * 1024);
        try
        {
            long total = _http.Request.ContentLength ?? 0;
            int read;
            while (total <= bytesMax && (read = await _http.Request.Body.ReadAsync(buffer, Aborted)) > 0)
            {
                await body.WriteAsync(buffer.AsMemory(0, read), Aborted);
                total = Math.Max(total, body.Length);
            }

            if (total <= bytesMax)
            {
                return body.ToArray();
            }

            _http.Response.Headers.Connection = "close";
            await Text(413, $"Request body({total} bytes) too large, max size: {bytesMax} bytes. {setting}");
            return null;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Consul's headers of an answer with an index.</summary>
    public void Index(ulong index, bool knownLeader = true)
    {
        IHeaderDictionary headers = _http.Response.Headers;
        headers["X-Consul-Index"] = Math.Max(index, 1).ToString(CultureInfo.InvariantCulture);
        headers["X-Consul-KnownLeader"] = knownLeader ? "true" : "false";
        headers["X-Consul-LastContact"] = "0";
        if (knownLeader)
        {
            headers["X-Consul-Effective-Consistency"] = Has("stale") ? "stale" : Has("consistent") ? "consistent" : "leader";
        }
    }

    public void Header(string name, string value) => _http.Response.Headers[name] = value;

    public Task Refuse(Refusal refusal) => Text(refusal.Status, refusal.Text);

    public Task Text(int status, string text) => Send(status, "text/plain; charset=utf-8", Encoding.UTF8.GetBytes(text));

    public Task Nothing(int status = 200) => Send(status, null, default);

    public Task Json(Action<Utf8JsonWriter> write)
    {
        ArrayBufferWriter<byte> buffer = new(4096);
        using (Utf8JsonWriter json = new(buffer, Has("pretty") ? Pretty : Compact))
        {
            write(json);
        }

        return Send(200, "application/json", buffer.WrittenMemory);
    }

    public async Task Send(int status, string? type, ReadOnlyMemory<byte> body)
    {
        HttpResponse response = _http.Response;
        response.StatusCode = status;
        response.Headers.Vary = "Accept-Encoding";
        if (type is not null)
        {
            response.ContentType = type;
        }

        if (Stopping.IsCancellationRequested)
        {
            response.Headers.Connection = "close";
        }

        response.ContentLength = body.Length;
        if (!body.IsEmpty && !HttpMethods.IsHead(Method))
        {
            await response.Body.WriteAsync(body, Aborted);
        }
    }
}
