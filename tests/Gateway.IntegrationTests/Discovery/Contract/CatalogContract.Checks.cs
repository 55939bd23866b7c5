using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;

namespace Gateway.IntegrationTests.Discovery.Contract;

// TTL, HTTP and TCP checks, registered with a service or alone.
public abstract partial class CatalogContract
{
    [Fact]
    public async Task A_ttl_check_says_what_it_is_told_and_turns_critical_in_silence()
    {
        string name = Unique("ttl");
        await Register($$$"""{"Name":"{{{name}}}","Check":{"TTL":"1s","Status":"passing"}}""");
        await Sees($"v1/health/checks/{name}", a => (string?)a.Json.AsArray().FirstOrDefault()?["Status"] == "passing");
        await Sees($"v1/health/checks/{name}", a => (string?)a.Json[0]!["Status"] == "critical");
        Assert.StartsWith("TTL expired", (string)(await Get($"v1/health/checks/{name}")).Json[0]!["Output"]!, StringComparison.Ordinal);

        await Done($"v1/agent/check/pass/service:{name}?note=back");
        await Sees($"v1/health/checks/{name}", a => (string?)a.Json[0]!["Status"] == "passing");
        await Sees(
            $"v1/health/checks/{name}",
            a => (string?)a.Json[0]!["Output"] == "TTL expired (last output before timeout follows): back");
    }

    [Fact]
    public async Task Pass_warn_fail_and_update_set_status_and_output()
    {
        string name = Unique("say");
        string id = $"{name}-check";
        await Register($$$"""{"Name":"{{{name}}}","Check":{"CheckID":"{{{id}}}","TTL":"300s"}}""");
        foreach ((string call, string? body, string status, string output) in ((string, string?, string, string)[])[
            ($"pass/{id}?note=hello%20there", null, "passing", "hello there"),
            ($"warn/{id}?note=hm", null, "warning", "hm"),
            ($"fail/{id}", null, "critical", ""),
            ($"update/{id}", """{"Status":"passing","Output":"out"}""", "passing", "out"),
            ($"update/{id}", """{"status":"warning"}""", "warning", "")])
        {
            await Done($"v1/agent/check/{call}", body);
            JsonNode check = (await Get("v1/agent/checks")).Json[id]!;
            Assert.Equal(status, (string)check["Status"]!);
            Assert.Equal(output, (string)check["Output"]!);
            Assert.Equal(0, (int)check["ModifyIndex"]!);
            await Sees($"v1/health/checks/{name}", a => (string?)a.Json[0]!["Status"] == status);
        }
    }

    [Theory]
    [InlineData("200 OK", "passing")]
    [InlineData("204 No Content", "passing")]
    [InlineData("429 Too Many Requests", "warning")]
    [InlineData("404 Not Found", "critical")]
    [InlineData("503 Service Unavailable", "critical")]
    public async Task An_http_check_follows_the_status(string answer, string status)
    {
        using TinyHttp server = new($"HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        string name = Unique("http");
        string initial = status == "critical" ? "passing" : "critical";
        await Register($$$"""{"Name":"{{{name}}}","Check":{"HTTP":"http://127.0.0.1:{{{server.Port}}}/up?x=1","Interval":"1s","Timeout":"5s","Status":"{{{initial}}}","Header":{"X-A":["b"]},"Method":"GET"}}""");
        await Sees($"v1/health/checks/{name}", a => (string?)a.Json.AsArray().FirstOrDefault()?["Status"] == status);
        JsonNode check = (await Get($"v1/health/checks/{name}")).Json[0]!;
        Assert.Equal("http", (string)check["Type"]!);
        Assert.StartsWith($"HTTP GET http://127.0.0.1:{server.Port}/up?x=1: {answer} Output:", (string)check["Output"]!, StringComparison.Ordinal);
        Assert.Contains("GET /up?x=1 HTTP/1.1", server.LastRequest, StringComparison.Ordinal);
        Assert.Contains("User-Agent: Consul Health Check", server.LastRequest, StringComparison.Ordinal);
        Assert.Contains("X-A: b", server.LastRequest, StringComparison.Ordinal);
        await Done($"v1/agent/service/deregister/{name}");
    }

    [Fact]
    public async Task A_tcp_check_passes_while_somebody_listens()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        int port = ((IPEndPoint)listener.LocalEndpoint).Port;
        string name = Unique("tcp");
        await Register($$$"""{"Name":"{{{name}}}","Check":{"TCP":"127.0.0.1:{{{port}}}","Interval":"1s","Timeout":"2s"}}""");
        await Sees($"v1/health/checks/{name}", a => (string?)a.Json.AsArray().FirstOrDefault()?["Status"] == "passing");
        JsonNode check = (await Get($"v1/health/checks/{name}")).Json[0]!;
        Assert.Equal("tcp", (string)check["Type"]!);
        Assert.Equal($"TCP connect 127.0.0.1:{port}: Success", (string)check["Output"]!);
        listener.Stop();
        await Sees($"v1/health/checks/{name}", a => (string?)a.Json[0]!["Status"] == "critical");
        Assert.Contains("connection refused", (string)(await Get($"v1/health/checks/{name}")).Json[0]!["Output"]!, StringComparison.Ordinal);
        await Done($"v1/agent/service/deregister/{name}");
    }

    [Fact]
    public async Task A_check_may_be_registered_alone_and_deregistered()
    {
        string name = Unique("alone");
        await Register($$$"""{"Name":"{{{name}}}"}""");
        await Done("v1/agent/check/register", $$$"""{"ID":"{{{name}}}-c","Name":"a check","service_id":"{{{name}}}","TTL":"300s","Notes":"n","Status":"passing"}""");
        await Sees($"v1/health/checks/{name}", a => a.Json.AsArray().Count == 1);
        JsonNode check = (await Get($"v1/health/checks/{name}")).Json[0]!;
        Assert.Equal($"{name}-c", (string)check["CheckID"]!);
        Assert.Equal("a check", (string)check["Name"]!);
        Assert.Equal("passing", (string)check["Status"]!);
        await Done($"v1/agent/check/deregister/{name}-c");
        await Sees($"v1/health/checks/{name}", a => a.Json.AsArray().Count == 0);
    }

    [Fact]
    public async Task A_check_without_a_service_counts_for_every_service_on_the_node()
    {
        string name = Unique("nodecheck");
        await Register($$$"""{"Name":"{{{name}}}"}""");
        await HasInstances(name, 1);
        Watcher health = await Watch($"v1/health/service/{name}");
        await Done("v1/agent/check/register", $$$"""{"Name":"{{{name}}}-node","TTL":"300s"}""");
        try
        {
            Assert.Contains($"{name}-node", (await Wakes(health)).Json[0]!["Checks"]!.AsArray().Select(c => (string)c!["CheckID"]!));
            Assert.Empty((await Get($"v1/health/service/{name}?passing")).Json.AsArray());
        }
        finally
        {
            await Done($"v1/agent/check/deregister/{name}-node");
        }
    }

    [Fact]
    public async Task A_deregistered_service_takes_its_checks_along_and_unknown_ids_are_no_error()
    {
        string name = Unique("gone");
        await Register($$$"""{"Name":"{{{name}}}","Check":{"TTL":"300s"}}""");
        await HasInstances(name, 1);
        await Done($"v1/agent/service/deregister/{name}");
        await HasInstances(name, 0);
        Assert.False((await Get("v1/agent/checks")).Json.AsObject().ContainsKey($"service:{name}"));
        await Done($"v1/agent/service/deregister/{name}");
        await Done($"v1/agent/check/deregister/service:{name}");
    }

    [Fact]
    public async Task Checks_left_out_of_a_new_registration_stay_unless_they_are_to_be_replaced()
    {
        string name = Unique("replace");
        await Register($$$"""{"Name":"{{{name}}}","Check":{"TTL":"300s"}}""");
        await Register($$$"""{"Name":"{{{name}}}","Port":2}""");
        Assert.True((await Get("v1/agent/checks")).Json.AsObject().ContainsKey($"service:{name}"));
        await Done("v1/agent/service/register?replace-existing-checks=true", $$$"""{"Name":"{{{name}}}","Port":2}""");
        Assert.False((await Get("v1/agent/checks")).Json.AsObject().ContainsKey($"service:{name}"));
    }

    /// <summary>Answers every request alike and remembers the last.</summary>
    private sealed class TinyHttp : IDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly byte[] _answer;

        public TinyHttp(string answer)
        {
            _answer = Encoding.ASCII.GetBytes(answer);
            _listener.Start();
            _ = Serve();
        }

        public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        public string LastRequest { get; private set; } = "";

        public void Dispose() => _listener.Stop();

        private async Task Serve()
        {
            try
            {
                while (true)
                {
                    using TcpClient client = await _listener.AcceptTcpClientAsync();
                    byte[] buffer = new byte[8192];
                    int length = await client.GetStream().ReadAsync(buffer);
                    LastRequest = Encoding.ASCII.GetString(buffer, 0, length);
                    await client.GetStream().WriteAsync(_answer);
                }
            }
            catch (Exception failure) when (failure is SocketException or ObjectDisposedException or IOException)
            {
                // Stopped.
            }
        }
    }
}
