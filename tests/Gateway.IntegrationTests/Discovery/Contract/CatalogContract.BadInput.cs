using System.Diagnostics;
using System.Net;

namespace Gateway.IntegrationTests.Discovery.Contract;

// What is refused, how, and the consul program itself.
public abstract partial class CatalogContract
{
    [Theory]
    [InlineData("", 400, "Request decode failed: ")]
    [InlineData("[]", 400, "Request decode failed: ")]
    [InlineData("{", 400, "Request decode failed: ")]
    [InlineData("""{"Name":""}""", 400, "Missing service name")]
    [InlineData("""{"ID":"x"}""", 400, "Missing service name")]
    [InlineData("""{"Name":5}""", 400, "Request decode failed: json: cannot unmarshal number ")]
    [InlineData("""{"Name":"bad","Port":"80"}""", 400, "Request decode failed: json: cannot unmarshal string ")]
    [InlineData("""{"Name":"bad","Port":8.5}""", 400, "Request decode failed: json: cannot unmarshal number 8.5 into ")]
    [InlineData("""{"Name":"bad","Tags":"x"}""", 400, "Request decode failed: json: cannot unmarshal string ")]
    [InlineData("""{"Name":"bad","Foo":1}""", 400, "Request decode failed: json: unknown field \"Foo\"")]
    [InlineData("""{"Name":"bad","Meta":{"":"x"}}""", 400, "Invalid Service Meta: Couldn't load metadata pair ('', 'x'): Key cannot be blank")]
    [InlineData("""{"Name":"bad","Meta":{"x":1}}""", 400, "Request decode failed: json: cannot unmarshal number ")]
    [InlineData("""{"Name":"bad","Meta":{"a b":"1"}}""", 400, "Invalid Service Meta: Couldn't load metadata pair ('a b', '1'): Key contains invalid characters")]
    [InlineData("""{"Name":"bad","Meta":{"consul-x":"1"}}""", 400, "Invalid Service Meta: Couldn't load metadata pair ('consul-x', '1'): Key prefix 'consul-' is reserved")]
    [InlineData("""{"Name":"bad","Weights":{"Passing":-1}}""", 400, "Invalid Weights: Passing must be greater than 0")]
    [InlineData("""{"Name":"bad","Weights":{"Passing":0,"Warning":0}}""", 400, "Invalid Weights: Passing must be greater than 0")]
    [InlineData("""{"Name":"bad","Weights":{"Passing":70000}}""", 400, "Invalid Weights: DNS Weight must be between 0 and 65535")]
    [InlineData("""{"Name":"bad","Address":"0.0.0.0"}""", 400, "Invalid service address")]
    [InlineData("""{"Name":"bad","Check":{"HTTP":"http://x"}}""", 400, "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks")]
    [InlineData("""{"Name":"bad","Check":{"HTTP":"http://x","Interval":"abc"}}""", 400, "Request decode failed: time: invalid duration \"abc\"")]
    [InlineData("""{"Name":"bad","Check":{"TTL":""}}""", 400, "Request decode failed: time: invalid duration \"\"")]
    [InlineData("""{"Name":"bad","Check":{"TTL":"10s","HTTP":"http://x","Interval":"1s"}}""", 400, "Invalid check: Interval and TTL cannot both be specified")]
    [InlineData("""{"Name":"bad","Checks":[{}]}""", 400, "Invalid check: TTL must be > 0 for TTL checks")]
    [InlineData("""{"Name":"bad","Check":{"TTL":"10s","Status":"bogus"}}""", 400, "Status for checks must 'passing', 'warning', 'critical'")]
    [InlineData("""{"Name":"bad","Check":{"Script":"true","Interval":"1s"}}""", 400, "Request decode failed: json: unknown field \"")]
    [InlineData("""{"Name":"bad","Check":{"Args":["true"],"Interval":"1s"}}""", 500, "Scripts are disabled on this agent from remote calls; ")]
    public async Task A_bad_registration_is_refused_with_consuls_words(string body, int status, string text)
    {
        Answer answer = await Put("v1/agent/service/register", body);
        Assert.Equal((HttpStatusCode)status, answer.Status);
        Assert.StartsWith(text, answer.Body, StringComparison.Ordinal);
        Assert.False((await Get("v1/agent/services")).Json.AsObject().ContainsKey("bad"));
    }

    [Theory]
    [InlineData("""{"Name":"x","ServiceID":"nope","TTL":"30s"}""", 500, "ServiceID \"nope\" does not exist")]
    [InlineData("""{"TTL":"3s"}""", 400, "Missing check name")]
    [InlineData("""{"Name":"x"}""", 400, "Invalid check: TTL must be > 0 for TTL checks")]
    [InlineData("""{"Name":"x","TTL":"5s","Status":"foo"}""", 400, "Bad check status")]
    [InlineData("", 400, "Request decode failed: ")]
    [InlineData("""{"Name":"x","Args":["a"],"Interval":"5s"}""", 500, "Scripts are disabled on this agent from remote calls; ")]
    [InlineData("""{"Name":"x","CheckID":"y","TTL":"5s"}""", 400, "Request decode failed: json: unknown field \"CheckID\"")]
    [InlineData("""{"Name":"x","TTL":"5s","Bogus":1}""", 400, "Request decode failed: json: unknown field \"Bogus\"")]
    public async Task A_bad_check_is_refused_with_consuls_words(string body, int status, string text)
    {
        Answer answer = await Put("v1/agent/check/register", body);
        Assert.Equal((HttpStatusCode)status, answer.Status);
        Assert.StartsWith(text, answer.Body, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("PUT", "v1/agent/check/pass/nope", 500, "CheckID \"nope\" does not have associated TTL")]
    [InlineData("PUT", "v1/agent/check/update/nope", 400, "Request decode failed: ")]
    [InlineData("GET", "v1/agent/check/pass/nope", 405, "method GET not allowed")]
    [InlineData("GET", "v1/agent/service/nope", 404, "unknown service ID: nope")]
    [InlineData("PUT", "v1/agent/service/deregister/", 500, "ServiceID missing")]
    [InlineData("PUT", "v1/agent/service/maintenance/nope", 400, "Missing value for enable")]
    [InlineData("PUT", "v1/agent/service/maintenance/nope?enable=x", 400, "Invalid value for enable: \"x\"")]
    [InlineData("PUT", "v1/agent/service/maintenance/nope?enable=true", 404, "No service registered with ID \"nope\"")]
    [InlineData("PUT", "v1/agent/service/maintenance/?enable=true", 400, "Missing service ID")]
    [InlineData("PUT", "v1/agent/maintenance", 400, "Missing value for enable")]
    [InlineData("DELETE", "v1/agent/services", 405, "method DELETE not allowed")]
    [InlineData("POST", "v1/agent/service/register", 405, "method POST not allowed")]
    [InlineData("GET", "v1/health/state/", 400, "Missing check state")]
    [InlineData("GET", "v1/health/service/", 400, "Missing service name")]
    [InlineData("GET", "v1/catalog/service/", 400, "Missing service name")]
    [InlineData("GET", "v1/health/service/x?passing=zz", 400, "Invalid value for ?passing")]
    [InlineData("GET", "v1/nope", 404, "")]
    public async Task A_bad_request_is_refused_with_consuls_status(string method, string path, int status, string text)
    {
        Answer answer = await Send(new HttpMethod(method), path, method == "GET" ? null : "");
        Assert.Equal((HttpStatusCode)status, answer.Status);
        Assert.StartsWith(text, answer.Body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_consul_takes_is_taken_and_left_to_the_planner_to_judge()
    {
        string name = Unique("odd");
        foreach (string body in (string[])[
            """{"Name":"@","Port":70000}""", """{"Name":"@","Port":0}""", """{"Name":"@","Tags":[""," a ","a"]}""",
            """{"Name":"@ b/c ü","ID":"@"}""", """{"Name":"@","Check":{}}""", """{"Name":"@","Check":{"TTL":"0s"}}"""])
        {
            await Register(body.Replace("@", name, StringComparison.Ordinal));
        }

        Assert.True((await Get("v1/agent/services")).Json.AsObject().ContainsKey(name));
    }

    [Fact]
    [Trait("Needs", "consul")]
    public async Task The_consul_program_works_unchanged()
    {
        string name = Unique("cli");
        string file = Path.Combine(Path.GetTempPath(), $"{name}.json");
        await File.WriteAllTextAsync(file, $$$"""{"services":[{"name":"{{{name}}}-file","port":8080,"tags":["a"],"check":{"ttl":"30s"}},{"name":"{{{name}}}-two","checks":[{"tcp":"127.0.0.1:1","interval":"10s","timeout":"1s"}]}]}""");
        try
        {
            Assert.Contains("Registered service: " + name, await Consul("services", "register", $"-name={name}", "-port=90", "-tag=x", "-meta=a=b"), StringComparison.Ordinal);
            await Consul("services", "register", file);
            await HasInstances($"{name}-two", 1);
            Assert.Matches($"(?m)^{name} +x *$", await Consul("catalog", "services", "-tags"));
            Assert.Contains($"{name}-file", await Consul("catalog", "services"), StringComparison.Ordinal);
            Assert.Contains("contract", await Consul("catalog", "nodes", $"-service={name}"), StringComparison.Ordinal);
            Assert.Contains("dc1", await Consul("catalog", "datacenters"), StringComparison.Ordinal);
            Assert.Contains("contract", await Consul("members"), StringComparison.Ordinal);
            Assert.Contains("enabled", await Consul("maint", "-enable", $"-service={name}", "-reason=why"), StringComparison.Ordinal);
            Assert.Contains("why", await Consul("maint"), StringComparison.Ordinal);
            await Consul("maint", "-disable", $"-service={name}");
            await Consul("services", "deregister", $"-id={name}");
            await Consul("services", "deregister", file);
            await HasInstances($"{name}-two", 0);

            Assert.Contains($"Success! Data written to: {name}/b", await Consul("kv", "put", $"{name}/b", "hello"), StringComparison.Ordinal);
            Assert.Equal("hello", (await Consul("kv", "get", $"{name}/b")).Trim());
            Assert.Contains("ModifyIndex", await Consul("kv", "get", "-detailed", $"{name}/b"), StringComparison.Ordinal);
            Assert.Equal($"{name}/b:hello", (await Consul("kv", "get", "-recurse", name)).Trim());
            Assert.Equal($"{name}/", (await Consul("kv", "get", "-keys", name)).Trim());
            Assert.Contains($"{name}/b", await Consul("kv", "export", name), StringComparison.Ordinal);
            Assert.Contains("Success!", await Consul("kv", "delete", "-recurse", name), StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(file);
        }
    }

    private async Task<string> Consul(params string[] arguments)
    {
        ProcessStartInfo start = new("consul", arguments) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["CONSUL_HTTP_ADDR"] = Address.Authority;
        start.Environment.Remove("CONSUL_HTTP_TOKEN");
        Process? process = null;
        try
        {
            process = Process.Start(start);
        }
        catch (System.ComponentModel.Win32Exception failure)
        {
            Assert.Skip($"the consul binary cannot be started: {failure.Message}");
        }

        using (process)
        {
            Task<string> error = process!.StandardError.ReadToEndAsync();
            string output = await process.StandardOutput.ReadToEndAsync();
            await process.WaitForExitAsync().WaitAsync(ContractWait.Deadline);
            Assert.True(process.ExitCode == 0, $"consul {string.Join(' ', arguments)}: {process.ExitCode}\n{output}{await error}");
            return output;
        }
    }
}
