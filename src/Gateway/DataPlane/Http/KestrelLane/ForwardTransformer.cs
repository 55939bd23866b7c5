using System.Net;
using System.Net.Http.Headers;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;
using Yarp.ReverseProxy.Forwarder;

namespace Gateway.DataPlane.Http.KestrelLane;

/// <summary>
/// Copies heads, client → destination and back, by <see cref="HeaderRules"/>. Nothing of YARP's own copying is used: it adds and
/// drops headers that we promise to keep.
/// </summary>
internal sealed class ForwardTransformer(Exchange exchange) : HttpTransformer
{
    /// <inheritdoc/>
    public override ValueTask TransformRequestAsync(
        HttpContext httpContext, HttpRequestMessage proxyRequest, string destinationPrefix, CancellationToken cancellationToken)
    {
        proxyRequest.Options.Set(Attempt.Key, exchange.Attempt!);
        proxyRequest.Options.Set(Exchange.Key, exchange);

        // 1. Path and query byte for byte: Uri would otherwise unescape %7e, remove dot segments and escape brackets.
        proxyRequest.RequestUri = new Uri(
            destinationPrefix + exchange.PathAndQuery,
            new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true });

        // 2. What the client sent, without what ends here. Connection is looked at before anything of ours is added.
        IHeaderDictionary headers = httpContext.Request.Headers;
        StringValues connection = headers.Connection;
        bool named = !NamesNothing(connection);
        bool chunked = headers.TransferEncoding.Count > 0;
        bool edge = exchange.Listener.Key.IsEdge;
        TrustedNetworks? believed = edge && exchange.Policy.Trusted.Contains(httpContext.Connection.RemoteIpAddress)
            ? exchange.Policy.Trusted
            : null;
        HttpContent? bodyless = null;
        foreach ((string name, StringValues values) in headers)
        {
            if (name.StartsWith(':') || HeaderRules.EndsHere(name) || (named && IsNamed(connection, name)))
            {
                continue;
            }

            // On the edge nobody but a trusted proxy may say where a request comes from.
            if (edge && believed is null && Forwarding.Concerns(name))
            {
                continue;
            }

            // RFC 9112 §6.1: Transfer-Encoding overrides Content-Length, which then ends here.
            if (chunked && name.Equals(HeaderNames.ContentLength, StringComparison.OrdinalIgnoreCase))
            {
                continue;
            }

            // Absent and empty are the same to SocketsHttpHandler, which then names the instance's address: not twice.
            if (name.Equals(HeaderNames.Host, StringComparison.OrdinalIgnoreCase) && values.ToString().Length == 0)
            {
                continue;
            }

            Add(proxyRequest, ref bodyless, name, values);
        }

        // RFC 9113 §8.2.2: the one value of TE that goes on over HTTP/2; gRPC asks for it.
        if (proxyRequest.Version.Major >= 2 && SaysTrailers(headers.TE))
        {
            proxyRequest.Headers.TryAddWithoutValidation(HeaderNames.TE, "trailers");
        }

        // 3. What Gateway adds, behind what was there.
        if (exchange.Cluster!.ForwardedFor)
        {
            if (HeaderRules.ClientAddress(ClientOf(httpContext)) is not { } address)
            {
                // A unix socket has none.
            }
            else if (edge)
            {
                ForwardingFacts facts = new(
                    address, exchange.Connection.IsTls ? "https" : "http", headers.Host.ToString(), exchange.Listener.Key.Port);
                Forwarding.Add(
                    facts, believed, name => headers[name], (name, value) => proxyRequest.Headers.TryAddWithoutValidation(name, value));
            }
            else
            {
                proxyRequest.Headers.TryAddWithoutValidation(HeaderRules.ForwardedFor, address);
            }

            proxyRequest.Headers.TryAddWithoutValidation(HeaderRules.CdnLoop, exchange.LoopId);
        }

        // The body handler sends it; YARP accepts no content but its own in its place.
        if (bodyless is not null)
        {
            proxyRequest.Options.Set(BodyHandler.Bodyless, bodyless);
        }

        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public override ValueTask<bool> TransformResponseAsync(
        HttpContext httpContext, HttpResponseMessage? proxyResponse, CancellationToken cancellationToken)
    {
        if (proxyResponse is null)
        {
            return ValueTask.FromResult(false);
        }

        // YARP takes what is thrown here for a response that cannot be passed on.
        if (Nonsense(proxyResponse, exchange.WantsTunnel) is { } nonsense)
        {
            throw new HttpRequestException(HttpRequestError.InvalidResponse, nonsense);
        }

        exchange.HeadArrived(proxyResponse);
        IHeaderDictionary headers = httpContext.Response.Headers;
        StringValues connection = Values(proxyResponse.Headers, HeaderNames.Connection);
        bool named = !NamesNothing(connection);
        bool chunked = proxyResponse.Headers.NonValidated.Contains(HeaderNames.TransferEncoding);
        Copy(proxyResponse.Headers);
        Copy(proxyResponse.Content.Headers);

        // RFC 9110 §8.6: no Content-Length on these; Kestrel would refuse the whole response.
        if (proxyResponse.StatusCode is HttpStatusCode.NoContent or HttpStatusCode.ResetContent or < HttpStatusCode.OK)
        {
            headers.ContentLength = null;
        }

        // Kestrel writes no trailers on HTTP/1.1. Announced ones are worth framing the body ourselves.
        bool frame = headers.ContainsKey(HeaderNames.Trailer) && headers.ContentLength is null
            && httpContext.Request.Protocol == HttpProtocol.Http11 && httpContext.Request.Method != HttpMethods.Head
            && proxyResponse.StatusCode is >= HttpStatusCode.OK and not HttpStatusCode.NoContent
                and not HttpStatusCode.ResetContent and not HttpStatusCode.NotModified;
        if (frame)
        {
            headers.TransferEncoding = "chunked";
        }

        exchange.SetEdgeHeaders();
        proxyResponse.Content = new ResponseBody(proxyResponse, exchange, frame);
        if (proxyResponse.StatusCode != HttpStatusCode.SwitchingProtocols)
        {
            exchange.CloseIfDraining();
        }

        return ValueTask.FromResult(true);

        void Copy(HttpHeaders source)
        {
            foreach ((string name, HeaderStringValues values) in source.NonValidated)
            {
                if (HeaderRules.EndsHere(name) || (named && IsNamed(connection, name))
                    || (chunked && name.Equals(HeaderNames.ContentLength, StringComparison.OrdinalIgnoreCase)))
                {
                    continue;
                }

                headers[name] = Together(values);
            }
        }
    }

    /// <inheritdoc/>
    public override async ValueTask TransformResponseTrailersAsync(
        HttpContext httpContext, HttpResponseMessage proxyResponse, CancellationToken cancellationToken)
    {
        exchange.AnswerComplete = true;
        if (httpContext.Features.Get<IHttpResponseTrailersFeature>()?.Trailers is { IsReadOnly: false } trailers)
        {
            foreach ((string name, HeaderStringValues values) in proxyResponse.TrailingHeaders.NonValidated)
            {
                if (!HeaderRules.EndsHere(name))
                {
                    trailers[name] = Together(values);
                }
            }
        }

        // The body of the request may still be on its way; the client is not to wait for the end of the answer until it is gone.
        if (exchange.RequestBody is { IsSent: false })
        {
            await httpContext.Response.CompleteAsync();
        }
    }

    private static void Add(HttpRequestMessage request, ref HttpContent? bodyless, string name, StringValues values)
    {
        // RFC 9113 §8.2.3: HTTP/2 splits Cookie for compression; HTTP/1.1 takes one, apart by semicolons.
        if (values.Count > 1 && request.Version.Major < 2 && name.Equals(HeaderNames.Cookie, StringComparison.OrdinalIgnoreCase))
        {
            values = string.Join("; ", (string?[])values!);
        }

        bool added = values.Count == 1
            ? request.Headers.TryAddWithoutValidation(name, values[0])
            : request.Headers.TryAddWithoutValidation(name, (IEnumerable<string?>)values);
        if (!added)
        {
            HttpContent content = request.Content ?? (bodyless ??= new BodylessContent());
            content.Headers.TryAddWithoutValidation(name, (IEnumerable<string?>)values);
        }
    }

    /// <summary>What makes a response unfit to be passed on although SocketsHttpHandler could read it; null: nothing.</summary>
    private static string? Nonsense(HttpResponseMessage response, bool wantsTunnel)
    {
        if (response.StatusCode < HttpStatusCode.Continue)
        {
            return "a status below 100";
        }

        // RFC 9110 §15.2.2: an answer to Upgrade, and to nothing else.
        if (response.StatusCode == HttpStatusCode.SwitchingProtocols && !wantsTunnel)
        {
            return "a 101 that nobody asked for";
        }

        // RFC 9112 §6.1: nobody asked for another coding (TE ends here), and its bytes without its name would spoil the body.
        return Values(response.Headers, HeaderNames.TransferEncoding) is { Count: > 0 } codings
            && !(codings is [{ } coding] && (coding.Equals("chunked", StringComparison.OrdinalIgnoreCase)
                || coding.Equals("identity", StringComparison.OrdinalIgnoreCase)))
            ? "a transfer coding other than chunked"
            : null;
    }

    private static StringValues Together(HeaderStringValues values)
    {
        if (values.Count == 1)
        {
            return values.ToString();
        }

        string[] all = new string[values.Count];
        int at = 0;
        foreach (string value in values)
        {
            all[at++] = value;
        }

        return all;
    }

    private static StringValues Values(HttpHeaders headers, string name) =>
        headers.NonValidated.TryGetValues(name, out HeaderStringValues values) ? Together(values) : StringValues.Empty;

    private static bool NamesNothing(StringValues connection) =>
        connection.Count == 0 || (connection.Count == 1 && HeaderRules.NamesNothing(connection[0]));

    private static bool IsNamed(StringValues connection, string name)
    {
        foreach (string? value in connection)
        {
            if (HeaderRules.IsNamedBy(value, name))
            {
                return true;
            }
        }

        return false;
    }

    private static bool SaysTrailers(StringValues te)
    {
        foreach (string? value in te)
        {
            if (HeaderRules.IsNamedBy(value, "trailers"))
            {
                return true;
            }
        }

        return false;
    }

    private static IPEndPoint? ClientOf(HttpContext context) =>
        context.Connection.RemoteIpAddress is { } ip ? new IPEndPoint(ip, 0) : null;
}
