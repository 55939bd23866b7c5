using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Gateway.IntegrationTests.DataPlane.Http.Conformance;

/// <summary>
/// Requests that smuggle, sent to the fast lane, to HAProxy and to nginx in front of instances that record: ours never makes two of what
/// was meant as one, and never passes on what both others refuse, unless the list says why.
/// </summary>
[Trait("Needs", "load-tools")]
public sealed class DifferentialTests() : LaneTests(Engine.Loops)
{
    private const string Chunked = "POST /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

    private static readonly Dictionary<string, string> Corpus = new(StringComparer.Ordinal)
    {
        ["plain"] = "GET /one HTTP/1.1\r\nHost: a\r\n\r\n",
        ["CL.TE"] = "POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 36\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ["TE.CL"] = "POST /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1f\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n",
        ["TE of two codings"] = "POST /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ["TE with a comma"] = "POST /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n",
        ["TE with a space before the colon"] = "POST /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        ["TE behind a tab"] = "POST /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
        ["TE folded"] = "POST /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        ["TE in capitals"] = "POST /one HTTP/1.1\r\nHost: a\r\ntransfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n",
        ["TE in HTTP/1.0"] = "POST /one HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ["CL twice, equal"] = "POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        ["CL twice"] = "POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 31\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ["CL as a list"] = "POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\nhi",
        ["CL with plus"] = "POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nhi",
        ["CL with zeros"] = "POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 002\r\n\r\nhi",
        ["body like a request"] = "POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ["CR in a name"] = "GET /one HTTP/1.1\r\nHost: a\r\nX\rA: 1\r\n\r\n",
        ["LF alone"] = "GET /one HTTP/1.1\nHost: a\n\n",
        ["NUL"] = "GET /one HTTP/1.1\r\nHost: a\r\nX-A: \0\r\n\r\n",
        ["no Host"] = "GET /one HTTP/1.1\r\n\r\n",
        ["two Hosts"] = "GET /one HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        ["absolute, another Host"] = "GET http://b/one HTTP/1.1\r\nHost: a\r\n\r\n",
        ["underscore in CL"] = "POST /one HTTP/1.1\r\nHost: a\r\nContent_Length: 2\r\n\r\n",
        ["size with LF"] = $"{Chunked}2\nhi\r\n0\r\n\r\n",
        ["size with a sign"] = $"{Chunked}+2\r\nhi\r\n0\r\n\r\n",
        ["size with 0x"] = $"{Chunked}0x2\r\nhi\r\n0\r\n\r\n",
        ["size with a space"] = $"{Chunked}2 \r\nhi\r\n0\r\n\r\n",
        ["size over 64 bits"] = $"{Chunked}10000000000000002\r\nhi\r\n0\r\n\r\n",
        ["extension with LF"] = $"{Chunked}2;\nxx\r\nhi\r\n0\r\n\r\n",
        ["extension"] = $"{Chunked}2;x=y\r\nhi\r\n0\r\n\r\n",
        ["chunk without its end"] = $"{Chunked}2\r\nhi0\r\n\r\n",
        ["trailers"] = $"{Chunked}0\r\nContent-Length: 5\r\nX-T: 1\r\n\r\n",
        ["h2c"] = "GET /one HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        ["fragment"] = "GET /one#x HTTP/1.1\r\nHost: a\r\n\r\n",
        ["method of odd tokens"] = "G!ET /one HTTP/1.1\r\nHost: a\r\n\r\n",
    };

    // What ours passes on although HAProxy and nginx both refuse it, and why. Nothing so far.
    private static readonly Dictionary<string, string> Allowed = new(StringComparer.Ordinal);

    [Fact]
    public async Task Ours_makes_one_of_one_and_passes_on_nothing_that_both_others_refuse()
    {
        string? haproxy = Find("haproxy");
        string? nginx = Find("nginx");
        if (haproxy is null || nginx is null)
        {
            Assert.Skip("haproxy and nginx are not installed: the differential test did NOT run");
        }

        await using RecordingInstance behindOurs = new();
        await using RecordingInstance behindHaproxy = new();
        await using RecordingInstance behindNginx = new();
        await using LaneUnderTest lane = await StartAsync(behindOurs.EndPoint);
        using Proxy first = Proxy.Haproxy(haproxy, behindHaproxy.EndPoint);
        using Proxy second = Proxy.Nginx(nginx, behindNginx.EndPoint);
        await first.ListensAsync();
        await second.ListensAsync();
        List<string> wrong = [];
        foreach ((string name, string request) in Corpus)
        {
            int ours = await CountAsync(lane.Port, request, behindOurs);
            int theirs = await CountAsync(first.Port, request, behindHaproxy);
            int others = await CountAsync(second.Port, request, behindNginx);
            if (ours > 1)
            {
                wrong.Add($"{name}: {ours} requests where one was meant");
            }

            if (ours > 0 && theirs == 0 && others == 0 && !Allowed.ContainsKey(name))
            {
                wrong.Add($"{name}: passed on, and HAProxy and nginx refuse it");
            }

            TestContext.Current.TestOutputHelper?.WriteLine($"{name}: {ours} here, {theirs} HAProxy, {others} nginx");
        }

        Assert.Empty(wrong);
    }

    // How many requests the instance saw, once the proxy is done with the connection.
    private static async Task<int> CountAsync(int port, string request, RecordingInstance instance)
    {
        instance.Requests.Clear();
        using RawConnection client = await RawConnection.OpenAsync(port);
        try
        {
            // The second one ends the connection, so that nobody waits; it is known by its path, and counted out below.
            await client.SendAsync($"{request}GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            using CancellationTokenSource patience = new(TimeSpan.FromSeconds(3));
            byte[] buffer = new byte[16 * 1024];
            while (await client.Socket.ReceiveAsync(buffer, patience.Token) > 0)
            {
            }
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            // A reset, or one that waits for the rest of what it takes for a body.
        }

        Assert.All(instance.Requests, seen => Assert.DoesNotContain("GET /evil", seen.Line, StringComparison.Ordinal));
        return instance.Requests.Count(seen => !seen.Line.Contains("/end", StringComparison.Ordinal));
    }

    private static string? Find(string name) =>
        new[] { "/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin" }.Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists);

    /// <summary>Another proxy, in a folder of its own, ended with the test.</summary>
    private sealed class Proxy : IDisposable
    {
        private readonly Process _process;
        private readonly DirectoryInfo _folder;

        private Proxy(int port, DirectoryInfo folder, string binary, params string[] arguments)
        {
            (Port, _folder) = (port, folder);
            _process = Process.Start(new ProcessStartInfo(binary, arguments) { UseShellExecute = false, RedirectStandardError = true, RedirectStandardOutput = true })!;
            _process.BeginErrorReadLine();
            _process.BeginOutputReadLine();
        }

        public int Port { get; }

        public static Proxy Haproxy(string binary, IPEndPoint instance)
        {
            DirectoryInfo folder = Directory.CreateTempSubdirectory("gateway-differential");
            int port = FreePort();
            string file = Path.Combine(folder.FullName, "haproxy.cfg");
            File.WriteAllText(file, $"""
                defaults
                  mode http
                  timeout connect 2s
                  timeout client 2s
                  timeout server 2s
                listen l
                  bind 127.0.0.1:{port}
                  server s {instance}

                """);
            return new Proxy(port, folder, binary, "-db", "-f", file);
        }

        public static Proxy Nginx(string binary, IPEndPoint instance)
        {
            DirectoryInfo folder = Directory.CreateTempSubdirectory("gateway-differential");
            int port = FreePort();
            string own = folder.FullName;
            string file = Path.Combine(own, "nginx.conf");
            File.WriteAllText(file, $$"""
                daemon off; master_process off; pid {{own}}/pid; error_log {{own}}/error.log;
                events { }
                http {
                  access_log off; client_header_timeout 2s; client_body_timeout 2s;
                  client_body_temp_path {{own}}/a; proxy_temp_path {{own}}/b; fastcgi_temp_path {{own}}/c; uwsgi_temp_path {{own}}/d; scgi_temp_path {{own}}/e;
                  server { listen 127.0.0.1:{{port}}; location / { proxy_pass http://{{instance}}; proxy_http_version 1.1; proxy_request_buffering off; } }
                }
                """);
            return new Proxy(port, folder, binary, "-c", file, "-p", own, "-e", Path.Combine(own, "error.log"));
        }

        public Task ListensAsync() => EventuallyHttp.HoldsAsync(
            async () =>
            {
                try
                {
                    using RawConnection one = await RawConnection.OpenAsync(Port);
                    return true;
                }
                catch (SocketException)
                {
                    return false;
                }
            },
            $"{_process.StartInfo.FileName} listens");

        public void Dispose()
        {
            _process.Kill();
            _process.WaitForExit();
            _process.Dispose();
            _folder.Delete(recursive: true);
        }

        private static int FreePort()
        {
            using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            return ((IPEndPoint)socket.LocalEndPoint!).Port;
        }
    }
}
