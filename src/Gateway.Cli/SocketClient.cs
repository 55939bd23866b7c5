using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Gateway.Configuration;

namespace Gateway.Cli;

/// <summary>Speaks the admin API over the unix socket of a running gateway.</summary>
internal sealed class SocketClient : IDisposable
{
    private readonly HttpClient _http;

    private SocketClient(string socketPath)
    {
        SocketPath = socketPath;
        _http = new HttpClient(new SocketsHttpHandler
        {
            UseProxy = false,
            ConnectCallback = async (_, cancel) =>
            {
                Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await socket.ConnectAsync(new UnixDomainSocketEndPoint(socketPath), cancel);
                    return new NetworkStream(socket, ownsSocket: true);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            },
        })
        {
            BaseAddress = new Uri("http://localhost"),
            Timeout = TimeSpan.FromMinutes(2),
        };
    }

    /// <summary>The socket that is spoken to.</summary>
    public string SocketPath { get; }

    /// <summary>
    /// Finds the running gateway: <c>--state</c>, else the configuration's state directory, else <c>GATEWAY__STATEDIRECTORY</c>, else
    /// <c>/var/lib/gateway</c>, else the directory of <c>gateway dev</c>.
    /// </summary>
    /// <returns>Null where the configuration named is bad: guessing on would command some other gateway.</returns>
    public static SocketClient? Find(string? state, string? config, out IReadOnlyList<Diagnostic> findings)
    {
        findings = [];
        string? named = state;
        if (named is null && config is not null)
        {
            ConfigurationResult loaded = GatewayConfiguration.Load(config, GatewayConfiguration.ProcessEnvironment());
            if (loaded.Options is null)
            {
                findings = [.. loaded.Diagnostics];
                return null;
            }

            named = loaded.Options.StateDirectory;
        }

        named ??= Environment.GetEnvironmentVariable("GATEWAY__STATEDIRECTORY");
        if (!string.IsNullOrEmpty(named))
        {
            return new SocketClient(PathOf(named));
        }

        string usual = PathOf("/var/lib/gateway");
        return new SocketClient(File.Exists(usual) ? usual : PathOf(DevCommand.StateDirectory()));
    }

    /// <summary>GETs a path as text.</summary>
    /// <exception cref="HttpRequestException">Not reachable, or refused.</exception>
    public async Task<string> GetAsync(string path, CancellationToken cancel)
    {
        using HttpResponseMessage response = await _http.GetAsync(new Uri(path, UriKind.Relative), cancel);
        response.EnsureSuccessStatusCode();
        return await response.Content.ReadAsStringAsync(cancel);
    }

    /// <summary>GETs a path as a view.</summary>
    public async Task<T> GetAsync<T>(string path, JsonTypeInfo<T> type, CancellationToken cancel) =>
        JsonSerializer.Deserialize(await GetAsync(path, cancel), type)
            ?? throw new HttpRequestException($"{path} answered null");

    /// <summary>POSTs a command; the status tells whether it was done.</summary>
    public async Task<(HttpStatusCode Status, string Body)> PostAsync(string path, CancellationToken cancel)
    {
        using HttpResponseMessage response = await _http.PostAsync(new Uri(path, UriKind.Relative), null, cancel);
        return (response.StatusCode, await response.Content.ReadAsStringAsync(cancel));
    }

    /// <summary>Why it can't be spoken to, in an operator's words: .NET speaks of "localhost:80" and of addresses that can't be assigned.</summary>
    public string ReasonOf(Exception e)
    {
        SocketException? socket = e as SocketException ?? e.InnerException as SocketException;
        return socket?.SocketErrorCode switch
        {
            null => e.Message,
            SocketError.AccessDenied => "permission denied (its user and root may)",
            SocketError.ConnectionRefused => "nobody listens there any more",
            _ when !File.Exists(SocketPath) => "there is no such socket",
            _ => socket.Message,
        };
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    private static string PathOf(string stateDirectory) => Path.Combine(stateDirectory, "run", "gateway.sock");
}
