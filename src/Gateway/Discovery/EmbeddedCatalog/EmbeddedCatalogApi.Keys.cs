using System.Globalization;
using System.Text.Json;

namespace Gateway.Discovery.EmbeddedCatalog;

// The KV store: configuration that programs watch and restart on, so its indexes are exact per key and prefix.
internal sealed partial class EmbeddedCatalogApi
{
    private const int KeyBytesMax = 512 * 1024;

    private Task Keys(CatalogRequest request, string key) => request.Method switch
    {
        "GET" => GetKeys(request, key),
        "PUT" => PutKey(request, key),
        _ => DeleteKeys(request, key),
    };

    private async Task GetKeys(CatalogRequest request, string key)
    {
        bool list = request.Has("keys");
        bool many = list || request.Has("recurse");
        if (key.Length == 0 && !many)
        {
            await request.Text(400, "Missing key name");
            return;
        }

        Topic topic = new(many ? TopicKind.KeyPrefix : TopicKind.Key, key);
        if (!await Block(request, topic))
        {
            return;
        }

        List<KeyRecord> found = Take(
            request, topic, state => many ? state.Keys.Under(key) : state.Keys.Find(key) is { } one ? [one] : []);
        if (found.Count == 0)
        {
            // No key is an answer with an index, so that its coming can be waited for.
            await request.Nothing(404);
        }
        else if (list)
        {
            await request.Json(json => Names(json, found, key, request.Query("separator")));
        }
        else if (request.Has("raw") && !many)
        {
            // Consul's own defense: a value shown by a browser is neither sniffed nor run.
            request.Header("X-Content-Type-Options", "nosniff");
            request.Header("Content-Security-Policy", "sandbox");
            await request.Send(200, "text/plain", found[0].Value);
        }
        else
        {
            await request.Json(json =>
            {
                json.WriteStartArray();
                foreach (KeyRecord record in found)
                {
                    CatalogJson.Key(json, record);
                }

                json.WriteEndArray();
            });
        }
    }

    private static void Names(Utf8JsonWriter json, List<KeyRecord> keys, string prefix, string separator)
    {
        string? last = null;
        json.WriteStartArray();
        foreach (string key in keys.Select(k => k.Key))
        {
            int cut = separator.Length == 0 ? -1 : key.IndexOf(separator, prefix.Length, StringComparison.Ordinal);
            string name = cut < 0 ? key : key[..(cut + separator.Length)];
            if (name != last)
            {
                json.WriteStringValue(name);
                last = name;
            }
        }

        json.WriteEndArray();
    }

    private async Task PutKey(CatalogRequest request, string key)
    {
        if (Missing(key, "Missing key name") is { } missing)
        {
            await request.Text(400, missing);
            return;
        }

        if (request.Has("acquire") || request.Has("release"))
        {
            await request.Text(500, "failed session lookup: sessions are not built yet in the embedded catalog; use ?cas");
            return;
        }

        (bool go, ulong? flags) = await Number(request, "flags");
        if (!go)
        {
            return;
        }

        (go, ulong? cas) = await Number(request, "cas");
        if (!go || await request.Body(KeyBytesMax, "See kv_max_value_size of Consul's options.") is not { } value)
        {
            return;
        }

        await Answer(request, _store.PutKey(key, value, flags ?? 0, cas));
    }

    private async Task DeleteKeys(CatalogRequest request, string key)
    {
        bool recurse = request.Has("recurse");
        if (key.Length == 0 && !recurse)
        {
            await request.Text(400, "Missing key name");
            return;
        }

        (bool go, ulong? cas) = await Number(request, "cas");
        if (go)
        {
            await Answer(request, _store.DeleteKeys(key, recurse, cas));
        }
    }

    private async Task Answer(CatalogRequest request, WriteResult result)
    {
        await _store.CommitAsync();
        await request.Json(json => json.WriteBooleanValue(result == WriteResult.Done));
    }

    private static async Task<(bool Go, ulong? Number)> Number(CatalogRequest request, string name)
    {
        if (!request.Has(name))
        {
            return (true, null);
        }

        string text = request.Query(name);
        if (ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong number))
        {
            return (true, number);
        }

        await request.Text(500, $"strconv.ParseUint: parsing \"{text}\": invalid syntax in query parameter '{name}'; "
            + "allowed is a whole number from 0");
        return (false, null);
    }
}
