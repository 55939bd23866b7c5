using System.Net;
using System.Text;
using System.Text.Json.Nodes;

namespace Gateway.IntegrationTests.Discovery.Contract;

// The KV store, as service-wrapper and consul-template use it.
public abstract partial class CatalogContract
{
    [Fact]
    public async Task A_value_comes_back_in_base64_and_raw_with_its_flags_and_indexes()
    {
        string key = $"{Unique("kv")}/a b/ü";
        string path = $"v1/kv/{string.Join('/', key.Split('/').Select(Uri.EscapeDataString))}";
        Answer put = await Put($"{path}?flags=42", "hello");
        Assert.Equal("true", put.Body.Trim());
        Answer got = await Get(path);
        JsonNode entry = got.Json.AsArray().Single()!;
        Assert.Equal(["LockIndex", "Key", "Flags", "Value", "CreateIndex", "ModifyIndex"], entry.AsObject().Select(p => p.Key));
        Assert.Equal(key, (string)entry["Key"]!);
        Assert.Equal(42, (int)entry["Flags"]!);
        Assert.Equal("hello", Encoding.UTF8.GetString(Convert.FromBase64String((string)entry["Value"]!)));
        Assert.Equal(got.Index, (ulong)entry["ModifyIndex"]!);
        Assert.Equal("hello", (await Get($"{path}?raw")).Body);

        await Put(path, "");
        JsonNode empty = (await Get(path)).Json[0]!;
        Assert.Null(empty["Value"]);
        Assert.Equal((ulong)entry["CreateIndex"]!, (ulong)empty["CreateIndex"]!);
        Assert.True((ulong)empty["ModifyIndex"]! > (ulong)entry["ModifyIndex"]!);
    }

    [Theory]
    [InlineData("")]
    [InlineData("?recurse")]
    [InlineData("?keys")]
    [InlineData("?raw")]
    public async Task No_key_is_404_with_an_index_and_no_body(string query)
    {
        Answer answer = await Get($"v1/kv/{Unique("nothing")}/x{query}");
        Assert.Equal(HttpStatusCode.NotFound, answer.Status);
        Assert.Equal("", answer.Body);
        Assert.True(answer.Index >= 1);
        Assert.Equal("true", answer.KnownLeader);
    }

    [Fact]
    public async Task Recurse_and_keys_take_a_prefix_and_a_separator_folds()
    {
        string root = Unique("tree");
        foreach (string key in (string[])["b", "a/x", "a/y/z", "a", "c/1"])
        {
            await Put($"v1/kv/{root}/{key}", key);
        }

        Assert.Equal(
            ["a", "a/x", "a/y/z", "b", "c/1"],
            (await Get($"v1/kv/{root}/?recurse")).Json.AsArray().Select(k => ((string)k!["Key"]!)[(root.Length + 1)..]));
        Assert.Equal(3, (await Get($"v1/kv/{root}/a?recurse")).Json.AsArray().Count);
        Assert.Equal(
            [$"{root}/a", $"{root}/a/", $"{root}/b", $"{root}/c/"],
            (await Get($"v1/kv/{root}/?keys&separator=/")).Json.AsArray().Select(k => (string)k!));
        Assert.Equal(5, (await Get($"v1/kv/{root}?keys")).Json.AsArray().Count);

        Answer deleted = await Send(HttpMethod.Delete, $"v1/kv/{root}/a/?recurse");
        Assert.Equal("true", deleted.Body.Trim());
        Assert.Equal(3, (await Get($"v1/kv/{root}?keys")).Json.AsArray().Count);
    }

    [Fact]
    public async Task Cas_writes_only_over_the_index_it_names()
    {
        string path = $"v1/kv/{Unique("cas")}";
        Assert.Equal("true", (await Put($"{path}?cas=0", "1")).Body.Trim());
        Assert.Equal("false", (await Put($"{path}?cas=0", "2")).Body.Trim());
        ulong index = (await Get(path)).Index!.Value;
        Assert.Equal("false", (await Put($"{path}?cas={index + 100000}", "2")).Body.Trim());
        Assert.Equal("true", (await Put($"{path}?cas={index}", "2")).Body.Trim());
        Assert.Equal("false", (await Send(HttpMethod.Delete, $"{path}?cas={index}")).Body.Trim());
        Assert.Equal("2", (await Get($"{path}?raw")).Body);
        index = (await Get(path)).Index!.Value;
        Assert.Equal("true", (await Send(HttpMethod.Delete, $"{path}?cas={index}")).Body.Trim());
        Assert.Equal(HttpStatusCode.NotFound, (await Get(path)).Status);
        Assert.Equal("true", (await Send(HttpMethod.Delete, path)).Body.Trim());
    }

    [Fact]
    public async Task Keys_wake_their_own_watchers_and_a_deletion_raises_the_index()
    {
        string root = Unique("watch");
        await Put($"v1/kv/{root}/a/1", "1");
        await Put($"v1/kv/{root}/b/1", "1");
        Watcher exact = await Watch($"v1/kv/{root}/a/1");
        Watcher under = await Watch($"v1/kv/{root}/a/?recurse");
        Watcher asleep = await Watch($"v1/kv/{root}/b/?recurse");
        Watcher services = await Watch("v1/catalog/services");

        await Put($"v1/kv/{root}/a/1", "2");
        Assert.Equal("Mg==", (string)(await Wakes(exact)).Json[0]!["Value"]!);
        Answer written = await Wakes(under);

        under = await Watch($"v1/kv/{root}/a/?recurse");
        await Send(HttpMethod.Delete, $"v1/kv/{root}/a/1");
        Answer deleted = await Wakes(under);
        Assert.Equal(HttpStatusCode.NotFound, deleted.Status);
        Assert.True(deleted.Index > written.Index);

        Watcher absent = await Watch($"v1/kv/{root}/a/?recurse");
        await Put($"v1/kv/{root}/a/2", "3");
        Assert.Equal(HttpStatusCode.OK, (await Wakes(absent)).Status);
        await SleepsOn(asleep);
        await SleepsOn(services);
    }

    [Fact]
    public async Task The_same_value_again_raises_nothing()
    {
        string path = $"v1/kv/{Unique("same")}";
        await Put(path, "x");
        Answer first = await Get(path);
        Assert.Equal("true", (await Put(path, "x")).Body.Trim());
        Assert.Equal(first.Index, (await Get(path)).Index);
    }

    [Theory]
    [InlineData("GET", "v1/kv/", HttpStatusCode.BadRequest, "Missing key name")]
    [InlineData("PUT", "v1/kv/", HttpStatusCode.BadRequest, "Missing key name")]
    [InlineData("DELETE", "v1/kv/", HttpStatusCode.BadRequest, "Missing key name")]
    [InlineData("PUT", "v1/kv/x?cas=x", HttpStatusCode.InternalServerError, "strconv.ParseUint: parsing \"x\": invalid syntax")]
    [InlineData("PUT", "v1/kv/x?flags=x", HttpStatusCode.InternalServerError, "strconv.ParseUint: parsing \"x\": invalid syntax")]
    [InlineData("POST", "v1/kv/x", HttpStatusCode.MethodNotAllowed, "method POST not allowed")]
    public async Task Bad_requests_for_keys_are_refused(string method, string path, HttpStatusCode status, string text)
    {
        Answer answer = await Send(new HttpMethod(method), path, method == "GET" ? null : "");
        Assert.Equal(status, answer.Status);
        Assert.StartsWith(text, answer.Body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_value_over_512_kib_is_413()
    {
        string path = $"v1/kv/{Unique("big")}";
        Assert.Equal("true", (await Put(path, new string('x', 512 * 1024))).Body.Trim());
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, (await Put(path, new string('x', (512 * 1024) + 1))).Status);
    }
}
