using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Gateway.Catalog;

namespace Gateway.Discovery.Consul;

/// <summary>Connections to Consul: plain or TLS, with our own time-outs and none of HttpClient's comforts.</summary>
internal static class ConsulTransport
{
    /// <summary>
    /// What makes these options unusable at the start: files that cannot be read. Asked by the root before anything is bound.
    /// </summary>
    public static IReadOnlyList<Problem> Check(ConsulOptions options)
    {
        List<Problem> problems = [];
        ConsulToken token = new(options.TokenFile);
        token.Current();
        if (token.Problem is { } problem)
        {
            problems.Add(problem);
        }

        try
        {
            CreateTls(options);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException or ArgumentException)
        {
            problems.Add(new Problem
            {
                Code = ProblemCodes.ConsulTlsUnusable,
                Place = "catalog.consul.tls",
                Value = e.Message,
                Allowed = "readable PEM files; the key unencrypted and belonging to the certificate",
                Now = "Consul cannot be asked; correct the files or their names",
            });
        }

        return problems;
    }

    /// <summary>A client on connections of its own.</summary>
    /// <exception cref="IOException">A TLS file cannot be read.</exception>
    /// <exception cref="CryptographicException">A TLS file is not what it should be.</exception>
    public static HttpClient CreateClient(ConsulOptions options, int connectionsMax)
    {
        SocketsHttpHandler handler = new()
        {
            MaxConnectionsPerServer = connectionsMax,
            AllowAutoRedirect = false,
            UseCookies = false,
            UseProxy = false,
            ActivityHeadersPropagator = null,
            ConnectTimeout = TimeSpan.FromSeconds(5),
            PooledConnectionLifetime = Timeout.InfiniteTimeSpan,
            PooledConnectionIdleTimeout = TimeSpan.FromMinutes(2),
            ResponseDrainTimeout = TimeSpan.Zero,
            SslOptions = CreateTls(options),
            ConnectCallback = ConnectAsync,
        };
        return new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
    }

    private static async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken stop)
    {
        Socket socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            // A blocking query is silent for a minute: keep-alives tell a peer that is gone from one that has no news.
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, 15);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 5);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 3);
            await socket.ConnectAsync(context.DnsEndPoint, stop);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static SslClientAuthenticationOptions CreateTls(ConsulOptions options)
    {
        SslClientAuthenticationOptions tls = new();
        if (options.TlsCa is { } ca)
        {
            X509ChainPolicy policy = new()
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                RevocationMode = X509RevocationMode.NoCheck,
            };
            policy.CustomTrustStore.ImportFromPemFile(ca);
            tls.CertificateChainPolicy = policy.CustomTrustStore.Count > 0
                ? policy
                : throw new CryptographicException($"{ca} holds no certificate");
        }

        if (options.TlsCertificate is { } certificate)
        {
            X509Certificate2 own = X509Certificate2.CreateFromPemFile(certificate, options.TlsKey);
            X509Certificate2Collection chain = [];
            chain.ImportFromPemFile(certificate);
            tls.ClientCertificateContext = SslStreamCertificateContext.Create(own, chain, offline: true);
        }

        return tls;
    }
}
