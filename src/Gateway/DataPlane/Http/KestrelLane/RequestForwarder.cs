using System.Net.Sockets;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Http.Routing;
using Gateway.Observability;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;
using Yarp.ReverseProxy.Forwarder;

namespace Gateway.DataPlane.Http.KestrelLane;

/// <summary>What an attempt came to.</summary>
internal enum AttemptEnd
{
    /// <summary>An instance answered, whatever it said.</summary>
    Answered,

    /// <summary>It failed before the client has seen a byte; <see cref="AttemptFailure"/> says how.</summary>
    Failed,

    /// <summary>It failed after the response began: the connection is broken off, there is nothing more to say.</summary>
    BrokenOff,

    /// <summary>The client left.</summary>
    ClientGone,
}

/// <summary>
/// One request: chooses, tries, retries, answers. In: an exchange that has just begun; out: an exchange whose client has an
/// answer from an instance, a failure of ours, or has left. What it decides with works on plain values and stands one folder up.
/// </summary>
internal sealed class RequestForwarder(
    IHttpForwarder forwarder, Upstream upstream, GatewayMetrics metrics, TimeProvider clock, string loopId, ILogger logger)
{
    /// <summary>Answers one request.</summary>
    /// <param name="exchange">The request.</param>
    /// <param name="routes">The table it keeps to its end.</param>
    /// <param name="fallback">Cluster id → target, for a listener that has no routes of its own.</param>
    public Task RunAsync(Exchange exchange, RouteTable routes, Func<string, RouteTarget?> fallback)
    {
        HttpContext context = exchange.Context;
        HttpRequest request = context.Request;
        ListenerRoutes? listener = routes.Find(exchange.Listener.Key);
        exchange.WantsTunnel = WantsTunnel(context);

        // 1. Requests that are not for a service.
        if (request.Method == HttpMethods.Connect && !exchange.WantsTunnel)
        {
            // A client that did not wait for the answer has sent what it wants tunneled: none of it may be read as a request.
            exchange.MustClose = !exchange.Connection.IsHttp2;
            return FailureWriter.WriteAsync(exchange, Reason.BadRequest.Saying("CONNECT is for forward proxies; this is none."));
        }

        if (FramingProblem(request) is { } framing)
        {
            // RFC 9112 §6.3: what follows on this connection may be body or request; nobody can tell.
            exchange.MustClose = !exchange.Connection.IsHttp2;
            return FailureWriter.WriteAsync(exchange, Reason.BadRequest.Saying(framing));
        }

        if (exchange.IsMisdirected())
        {
            return FailureWriter.WriteAsync(exchange, Reason.Refused(StatusCodes.Status421MisdirectedRequest));
        }

        // RFC 9112 §3.2: a fragment never reaches a server; one that does has fooled rules about how a path ends (CVE-2023-45539).
        if (exchange.RawTarget.Contains('#', StringComparison.Ordinal))
        {
            return FailureWriter.WriteAsync(exchange, Reason.BadRequest.Saying("The request target has a fragment."));
        }

        if (!RequestTarget.TryPathAndQuery(exchange.RawTarget, out string pathAndQuery))
        {
            return exchange.RawTarget == "*" && request.Method == HttpMethods.Options
                ? AnswerOptions(exchange)
                : FailureWriter.WriteAsync(exchange, Reason.BadRequest.Saying("The request target is not the path of a resource."));
        }

        exchange.PathAndQuery = pathAndQuery;

        // 2. Where it goes.
        exchange.Target = listener is not null
            ? listener.Hosts.Find(request.Headers.Host.ToString(), RequestTarget.Path(pathAndQuery))
            : fallback(exchange.Listener.Plan.Cluster);
        if (exchange.Target is not { } target)
        {
            // On a connection that outlived its port the service is gone, not the page: a 404 would be believed and cached.
            return FailureWriter.WriteAsync(exchange, exchange.Listener.Closing ? Reason.NoInstance : Reason.NoRoute);
        }

        exchange.Cluster = target.Cluster.Plan;

        // 3. RFC 8586 §2: whoever finds its own id has seen the request before.
        int passed = 0;
        foreach (string? value in request.Headers[HeaderRules.CdnLoop])
        {
            passed += HeaderRules.CountOwnId(value, loopId);
        }

        if (passed >= HeaderRules.OwnIdMax)
        {
            return FailureWriter.WriteAsync(exchange, Reason.Loop);
        }

        exchange.LoopId = loopId;
        return TryAsync(exchange, target);
    }

    private async Task TryAsync(Exchange exchange, RouteTarget target)
    {
        HttpContext context = exchange.Context;
        target.Budget.Begin();
        try
        {
            AttemptFailure failure = default;
            DestinationState? failed = null;
            for (int attempts = 1; ; attempts++)
            {
                // 4. One that was not tried yet. Where all were: one that closed a connection may have closed only that one, as
                //    servers do with idle connections, and is asked again; one that refused is not.
                DestinationState? destination = target.Cluster.Pick(exchange.Tried)
                    ?? (failure.Reason == Reason.InstanceReset ? target.Cluster.Pick([]) : null);
                if (destination is null)
                {
                    await FailureWriter.WriteAsync(exchange, failure.Reason ?? Reason.NoInstance);
                    return;
                }

                if (failed is not null)
                {
                    NoteRetry(exchange, failed, failure.Reason);
                }

                (AttemptEnd end, failure) = await AttemptAsync(exchange, destination);
                switch (end)
                {
                    case AttemptEnd.Failed:
                        break;
                    case AttemptEnd.BrokenOff:
                        exchange.Reason = failure.Reason;
                        return;
                    case AttemptEnd.ClientGone:
                        exchange.Reason = Reason.ClientClosed;
                        return;
                    default:
                        return;
                }

                // 5. To the next, or to the client.
                failed = destination;
                exchange.Try(destination);
                if (!RetryRule.MayRetry(
                    failure, attempts, context.Request.Method, HasBody(context), target.Budget, ref exchange.Charged))
                {
                    await FailureWriter.WriteAsync(exchange, failure.Reason);
                    return;
                }

                // YARP refuses a response that somebody has touched, and it has left its own status there.
                context.Response.Clear();
            }
        }
        finally
        {
            target.Budget.End(exchange.Charged);
        }
    }

    private void NoteRetry(Exchange exchange, DestinationState failed, Reason why)
    {
        exchange.Retries++;
        failed.RetriedAway();
        metrics.DestinationRetry(
            exchange.Cluster!.Service, exchange.Cluster.Environment, why.Code);
    }

    private async Task<(AttemptEnd End, AttemptFailure Failure)> AttemptAsync(Exchange exchange, DestinationState destination)
    {
        HttpContext context = exchange.Context;
        ForwardConfigs configs = ForwardConfigs.Of(exchange.Cluster!);
        ForwarderRequestConfig config = exchange.WantsTunnel ? configs.Tunnel
            : FailureBody.IsGrpc(context.Request.ContentType) ? configs.Grpc
            : configs.Plain;
        DestinationLabels labels = DestinationLabels.Of(destination.Plan);
        exchange.Attempt = new Attempt(destination, exchange.Cluster!.Timeouts.Connect, clock);
        exchange.AttemptBegan = clock.GetTimestamp();
        exchange.RequestBody = null;
        if (exchange.WantsTunnel)
        {
            exchange.HeadTimer?.Dispose();
            exchange.HeadTimer = new CancellationTokenSource(exchange.Cluster.Timeouts.Response, clock);
        }

        if (exchange.WantsTunnel && IsWebSocket(context.Request.Headers.Upgrade.ToString())
            && context.Features.Get<IHttpUpgradeFeature>() is { IsUpgradableRequest: true } upgrade and not PoliteTunnel)
        {
            context.Features.Set<IHttpUpgradeFeature>(new PoliteTunnel(upgrade, exchange.Connection));
        }

        destination.Begin();
        try
        {
            ForwarderError error;
            Exception? exception;
            while (true)
            {
                error = await forwarder.SendAsync(
                    context, labels.Origin, upstream.Invoker, config, exchange.Transformer, exchange.HeadTimer?.Token ?? default);
                if (error == ForwarderError.None)
                {
                    return (AttemptEnd.Answered, default);
                }

                exception = context.Features.Get<IForwarderErrorFeature>()?.Exception;
                if (Find<ConnectionSpentException>(exception) is null || context.RequestAborted.IsCancellationRequested)
                {
                    break;
                }

                // The pool gave a connection that still carries another request's upload. Nothing was sent and nobody failed;
                // the pool has thrown it away, so there are only as many turns as there are such connections.
                context.Features.Set<IForwarderErrorFeature>(null);
                context.Response.Clear();
                exchange.RequestBody = null;
            }

            (AttemptEnd end, AttemptFailure failure) = Judge(exchange, error, exception);
            context.Features.Set<IForwarderErrorFeature>(null);
            if (end is AttemptEnd.Failed or AttemptEnd.BrokenOff && failure.Reason != Reason.BadRequest)
            {
                destination.Failed();
                if (logger.IsEnabled(LogLevel.Debug))
                {
                    logger.LogDebug(
                        "{Listener}: {Method} {Target} to {Instance} at {Address}: {Reason}", exchange.Listener.Name,
                        context.Request.Method, exchange.RawTarget, labels.Instance, labels.EndPoint, failure.Reason.Code);
                }
            }

            return (end, failure);
        }
        finally
        {
            destination.End();
        }
    }

    /// <summary>What an error of YARP's means.</summary>
    private static (AttemptEnd End, AttemptFailure Failure) Judge(Exchange exchange, ForwarderError error, Exception? exception)
    {
        HttpContext context = exchange.Context;
        bool headTimedOut = exchange.HeadTimer?.IsCancellationRequested == true;

        // A tunnel ends when one side leaves, and which one says it first is chance: nobody failed.
        if (exchange.IsTunnel)
        {
            return error == ForwarderError.UpgradeActivityTimeout
                ? (AttemptEnd.BrokenOff, new AttemptFailure(Reason.TimeoutResponse, false))
                : (AttemptEnd.Answered, default);
        }

        if (exchange.AnswerComplete)
        {
            return (AttemptEnd.Answered, default);
        }

        bool started = context.Response.HasStarted;
        bool clientLeft = started
            ? !exchange.InstanceBrokeOff && error != ForwarderError.ResponseBodyDestination
            : context.RequestAborted.IsCancellationRequested && !headTimedOut;
        if (clientLeft)
        {
            return (AttemptEnd.ClientGone, default);
        }

        Reason reason = Reasons(exception, error, headTimedOut, out bool unsent);
        return started
            ? (AttemptEnd.BrokenOff, new AttemptFailure(reason, false))
            : (AttemptEnd.Failed, new AttemptFailure(reason, unsent));
    }

    private static Reason Reasons(Exception? exception, ForwarderError error, bool headTimedOut, out bool unsent)
    {
        unsent = false;
        for (Exception? e = exception; e is not null; e = e.InnerException)
        {
            switch (e)
            {
                case ConnectFailedException connect:
                    unsent = true;
                    return connect.Reason;
            }
        }

        // YARP blames a timeout on the side that was silent: as an error of that side with a cancellation in it.
        bool silent = headTimedOut || error is ForwarderError.RequestTimedOut or ForwarderError.ResponseBodyCanceled
            || Find<OperationCanceledException>(exception) is not null;
        if (error == ForwarderError.RequestBodyClient)
        {
            int status = Find<BadHttpRequestException>(exception)?.StatusCode ?? StatusCodes.Status400BadRequest;
            return Reason.Refused(silent ? StatusCodes.Status408RequestTimeout : status);
        }

        if (silent)
        {
            return Reason.TimeoutResponse;
        }

        if (error == ForwarderError.ResponseHeaders)
        {
            return Reason.BadResponse;
        }

        return Find<NoAnswerException>(exception) is null && Find<HttpRequestException>(exception)?.HttpRequestError
                is HttpRequestError.InvalidResponse or HttpRequestError.ConfigurationLimitExceeded
                or HttpRequestError.HttpProtocolError or HttpRequestError.VersionNegotiationError
            && Find<SocketException>(exception) is null
            ? Reason.BadResponse
            : Reason.InstanceReset;
    }

    private static T? Find<T>(Exception? exception)
        where T : Exception
    {
        for (Exception? e = exception; e is not null; e = e.InnerException)
        {
            if (e is T found)
            {
                return found;
            }

            if (e is AggregateException many)
            {
                foreach (Exception inner in many.InnerExceptions)
                {
                    if (Find<T>(inner) is { } nested)
                    {
                        return nested;
                    }
                }
            }
        }

        return null;
    }

    /// <summary>What is ambiguous about how the body is framed, or null.</summary>
    private static string? FramingProblem(HttpRequest request)
    {
        IHeaderDictionary headers = request.Headers;
        if (headers.TransferEncoding.Count == 0)
        {
            return null;
        }

        // RFC 9112 §6.1: HTTP/1.0 knows no transfer coding; an HTTP/1.0 hop in front of us has taken the chunks for something else.
        // RFC 9113 §8.2.2: HTTP/2 has frames in its place.
        if (request.Protocol != HttpProtocol.Http11)
        {
            return "Only HTTP/1.1 has a Transfer-Encoding.";
        }

        // RFC 9112 §6.1: only chunked ends here and is written anew; passing another coding's bytes without its name would spoil
        // the body, and chunked twice has no meaning.
        if (headers.TransferEncoding is not [{ } coding] || !coding.Trim().Equals("chunked", StringComparison.OrdinalIgnoreCase))
        {
            return "The one transfer coding allowed is chunked.";
        }

        // Both framings in one message may be an attempt at smuggling. Kestrel would go on with the chunks and keep the length under
        // another name; whoever stands in front of us may have believed the length.
        return headers.ContainsKey("X-Content-Length") ? "Content-Length and Transfer-Encoding exclude each other." : null;
    }

    // The upgrades that YARP passes on: WebSocket, and SPDY as Kubernetes' exec and port-forward speak it.
    private static bool WantsTunnel(HttpContext context) =>
        context.Features.Get<IHttpExtendedConnectFeature>() is { IsExtendedConnect: true, Protocol: { } protocol }
            ? IsWebSocket(protocol)
            : context.Features.Get<IHttpUpgradeFeature>() is { IsUpgradableRequest: true }
                && context.Request.Headers.Upgrade.ToString() is var upgrade
                && (IsWebSocket(upgrade) || upgrade.StartsWith("SPDY/", StringComparison.OrdinalIgnoreCase));

    private static bool IsWebSocket(string protocol) => protocol.Equals("websocket", StringComparison.OrdinalIgnoreCase);

    private static bool HasBody(HttpContext context) =>
        context.Features.Get<IHttpRequestBodyDetectionFeature>()?.CanHaveBody ?? true;

    // RFC 9110 §9.3.7: with an asterisk it asks about the server as a whole, and that is us.
    private static Task AnswerOptions(Exchange exchange)
    {
        exchange.Context.Response.StatusCode = StatusCodes.Status204NoContent;
        exchange.SetEdgeHeaders();
        exchange.CloseIfDraining();
        return Task.CompletedTask;
    }
}
