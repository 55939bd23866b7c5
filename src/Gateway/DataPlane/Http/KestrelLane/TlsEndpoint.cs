using System.Buffers;
using System.Net.Security;
using System.Security.Authentication;
using Gateway.DataPlane.Http.Tls;
using Gateway.DataPlane.Listening;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.AspNetCore.Server.Kestrel.Https;

namespace Gateway.DataPlane.Http.KestrelLane;

/// <summary>
/// HTTPS connections of the edge: tracked like all others from their first byte, a certificate chosen by the name that the client
/// asks for, the protocol by ALPN. What a certificate's renewal changes is the next handshake, never a connection.
/// </summary>
internal sealed class TlsEndpoint(ConnectionTracker connections, CertificateStore certificates, TimeProvider clock)
{
    // RFC 8446 §6: a fatal alert in a record of its own. SslStream would close without a word.
    private static ReadOnlySpan<byte> UnrecognizedName => [21, 3, 1, 0, 2, 2, 112];

    private static ReadOnlySpan<byte> HandshakeFailure => [21, 3, 1, 0, 2, 2, 40];

    /// <summary>Around the handshake: runs one connection to its end.</summary>
    public async Task RunAsync(ConnectionContext connection, ConnectionDelegate handshake)
    {
        IListenerFeature feature = connection.Features.Get<IListenerFeature>()
            ?? throw new InvalidOperationException("a connection without a listener");

        // Began from the start: a handshake has its own deadline, and after it Kestrel's for the first request holds.
        LaneConnection tracked = new(connection, feature.Listener, clock.GetTimestamp()) { IsTls = true, Began = true };
        connection.Features.Set(tracked);
        connections.Add(tracked);
        try
        {
            await handshake(connection);
        }
        finally
        {
            connections.Remove(tracked);
        }
    }

    /// <summary>In the handshake: the certificate for the name, else the default one.</summary>
    public ValueTask<SslServerAuthenticationOptions> ChooseAsync(TlsHandshakeCallbackContext context)
    {
        string name = context.ClientHelloInfo.ServerName;
        CertificateTable table = certificates.Table;
        ServerCertificate? chosen = name.Length == 0 ? table.Default
            : table.Find(name) ?? (certificates.Strict ? null : table.Default);
        if (chosen is null)
        {
            context.Connection.Transport.Output.Write(table.Default is null ? HandshakeFailure : UnrecognizedName);
            return RefuseAsync(context, name);
        }

        if (context.Connection.Features.Get<LaneConnection>() is { } tracked)
        {
            tracked.Certificate = chosen;
        }

        return ValueTask.FromResult(chosen.Options);
    }

    /// <summary>After the handshake.</summary>
    public static Task ServeAsync(ConnectionContext connection, ConnectionDelegate http)
    {
        if (connection.Features.Get<LaneConnection>() is { } tracked)
        {
            tracked.IsHttp2 = connection.Features.Get<ISslStreamFeature>()?.SslStream.NegotiatedApplicationProtocol
                == SslApplicationProtocol.Http2;
        }

        connection.Features.Get<LoopConnection>()?.RunInline();
        return http(connection);
    }

    private static async ValueTask<SslServerAuthenticationOptions> RefuseAsync(TlsHandshakeCallbackContext context, string name)
    {
        await context.Connection.Transport.Output.FlushAsync(context.CancellationToken);
        throw new AuthenticationException(name.Length == 0 ? "there is no certificate" : $"no certificate covers '{name}'");
    }
}
