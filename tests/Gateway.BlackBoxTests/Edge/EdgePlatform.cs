using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Edge;

/// <summary>An edge host: a Consul agent, a gateway with HTTP and HTTPS on ports of its own, a directory of certificates.</summary>
public sealed class EdgePlatform : IAsyncLifetime
{
    private readonly List<IDisposable> started = [];

    internal CertificateAuthority Authority { get; } = new();

    internal ConsulProcess Consul { get; private set; } = null!;

    internal GatewayProcess Gateway { get; private set; } = null!;

    internal int Http { get; } = Ports.Any();

    internal int Https { get; } = Ports.Any();

    internal string Certificates { get; } = Directory.CreateTempSubdirectory("gwt-certs-").FullName;

    internal string Root => Path.Combine(Certificates, "root.ca");

    /// <summary>The configuration; <paramref name="edge"/> continues the mapping of <c>external</c>.</summary>
    internal string Configuration(string edge = "", string more = "") =>
        $$"""
        catalog:
          consul: { address: "{{Consul.Address}}" }
          portGrace: 500ms
        external:
          http: [":{{Http}}"]
          https: ["0.0.0.0:{{Https}}", "[::1]:{{Https}}"]
          certificates: {{Certificates}}
          hosts: { file.domain.com: edge-file, exact.domain.com/Only: "edge-file@staging", nobody.domain.com: edge-nobody }
        """ + (edge.Length == 0 ? "\n" : $"\n  {edge}\n") + more;

    public async ValueTask InitializeAsync()
    {
        await File.WriteAllTextAsync(Root, Authority.Root.ExportCertificatePem());
        await File.WriteAllTextAsync(Path.Combine(Certificates, "a-domain.pem"), Authority.Bundle("domain", "domain.com", "*.domain.com"));
        (string certificate, string chain, string key) = Authority.Server("shop", 90, "shop.example");
        await File.WriteAllTextAsync(Path.Combine(Certificates, "shop.crt"), certificate + chain);
        await File.WriteAllTextAsync(Path.Combine(Certificates, "shop.key"), key);
        if (ConsulProcess.IsInstalled)
        {
            Consul = await ConsulProcess.Start();
            Gateway = await GatewayProcess.StartReady(Configuration());
        }
    }

    /// <summary>Starts a test-server and registers it.</summary>
    internal async Task<NodeServer> Serve(string service, string id, params string[] tags)
    {
        NodeServer server = await NodeServer.Start(id);
        lock (started)
        {
            started.Add(server);
        }

        await Consul.Register(server.AsService(service, tags));
        return server;
    }

    /// <summary>One GET over HTTP or HTTPS as a client would send it that resolved the host to this edge.</summary>
    internal async Task<EdgeAnswer> Get(
        bool tls, string host, string path = "/", Version? version = null, string[]? headers = null)
    {
        using HttpClient client = Client();
        return await Get(client, tls, host, path, version, headers);
    }

    internal async Task<EdgeAnswer> Get(
        HttpClient client, bool tls, string host, string path = "/", Version? version = null, string[]? headers = null)
    {
        using HttpRequestMessage request = new(HttpMethod.Get, $"{(tls ? "https" : "http")}://127.0.0.1:{(tls ? Https : Http)}{path}")
        {
            Version = version ?? HttpVersion.Version11,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        request.Headers.Host = host;
        foreach (string header in headers ?? [])
        {
            request.Headers.TryAddWithoutValidation(header[..header.IndexOf(':')], header[(header.IndexOf(':') + 1)..].Trim());
        }

        using CancellationTokenSource deadline = new(Eventually.Seconds(20));
        using HttpResponseMessage response = await client.SendAsync(request, deadline.Token);
        byte[] body = await response.Content.ReadAsByteArrayAsync(deadline.Token);
        return new EdgeAnswer(
            new WireAnswer(
                (int)response.StatusCode,
                [
                    .. response.Headers.NonValidated.Concat(response.Content.Headers.NonValidated)
                        .SelectMany(static h => h.Value.Select(v => KeyValuePair.Create(h.Key, v))),
                ],
                body,
                true),
            response.Version);
    }

    /// <summary>Trusts our root only. It asks for the certificate of the Host header.</summary>
    internal HttpClient Client() => new(new SocketsHttpHandler
    {
        AllowAutoRedirect = false,
        AutomaticDecompression = DecompressionMethods.None,
        UseProxy = false,
        ConnectCallback = static async (context, cancel) =>
        {
            Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await socket.ConnectAsync(IPAddress.Loopback, context.DnsEndPoint.Port, cancel);
            return new NetworkStream(socket, ownsSocket: true);
        },
        SslOptions = new SslClientAuthenticationOptions
        {
            CertificateChainPolicy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                CustomTrustStore = { Authority.Root },
                RevocationMode = X509RevocationMode.NoCheck,
            },
        },
    });

    /// <summary>Waits until a host is answered by an instance.</summary>
    internal Task Serves(string host, string servedBy, string path = "/") => Eventually.True(
        async () => (await Get(tls: false, host, path)).Answer is var answer && answer.ServedBy == servedBy
            ? true
            : throw new IOException($"{answer.Status} {answer.Reason} from {answer.ServedBy ?? "gateway"}"),
        $"{host} is served by {servedBy}");

    /// <summary>What <c>openssl s_client</c> says of a handshake.</summary>
    internal async Task<string> Handshake(params string[] arguments) => (await ChildProcess.Run(
        "openssl", ["s_client", "-connect", $"127.0.0.1:{Https}", "-CAfile", Root, "-verify_return_error", .. arguments])).All;

    public async ValueTask DisposeAsync()
    {
        Gateway?.Dispose();
        started.ForEach(static thing => thing.Dispose());
        if (Consul is not null)
        {
            await Consul.DisposeAsync();
        }

        Directory.Delete(Certificates, recursive: true);
        Authority.Dispose();
    }
}

/// <summary>An answer of the edge and the version it came in.</summary>
internal sealed record EdgeAnswer(WireAnswer Answer, Version Version);
