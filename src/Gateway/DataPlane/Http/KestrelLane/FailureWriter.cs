using Microsoft.AspNetCore.Http;

namespace Gateway.DataPlane.Http.KestrelLane;

/// <summary>Writes failures of ours to Kestrel's clients.</summary>
internal static class FailureWriter
{
    /// <summary>Header with the code.</summary>
    public const string ReasonHeader = "X-Gateway-Reason";

    /// <summary>Header with the id that also stands in the access log.</summary>
    public const string RequestIdHeader = "X-Request-Id";

    /// <summary>Answers with <paramref name="reason"/>. The response must not have started.</summary>
    public static async Task WriteAsync(Exchange exchange, Reason reason)
    {
        HttpContext context = exchange.Context;
        HttpRequest request = context.Request;
        HttpResponse response = context.Response;
        exchange.Reason = reason;
        exchange.NameFailure();

        // An attempt may have left a status, a reason phrase and headers behind.
        response.Clear();
        FailureLanguage language = FailureBody.Choose(request.ContentType, request.Headers.Accept.ToString());
        byte[] body = FailureBody.Render(language, reason, exchange.RequestId);
        Head(response.Headers, reason, exchange.RequestId, FailureBody.ContentType(language));
        exchange.SetEdgeHeaders();
        if (language == FailureLanguage.Grpc)
        {
            // gRPC over HTTP/2, "Trailers-Only": status 200, the gRPC status in the head, no body.
            response.StatusCode = StatusCodes.Status200OK;
            response.Headers["grpc-status"] = reason.GrpcStatus.ToString(System.Globalization.CultureInfo.InvariantCulture);
            response.Headers["grpc-message"] = $"{reason.Code}: {reason.Text}";
        }
        else
        {
            response.StatusCode = reason.Status;
            response.ContentLength = body.Length;
        }

        exchange.CloseIfDraining();
        if (body.Length > 0 && !HttpMethods.IsHead(request.Method))
        {
            exchange.CountOut(body.Length);
            await response.Body.WriteAsync(body, context.RequestAborted);
        }
    }

    /// <summary>Headers of every failure.</summary>
    public static void Head(IHeaderDictionary headers, Reason reason, string requestId, string contentType)
    {
        headers[ReasonHeader] = reason.Code;
        headers[RequestIdHeader] = requestId;
        headers.ContentType = contentType;
        headers.CacheControl = "no-store";
    }

    /// <summary>Sets what the edge sets on every HTTPS response, over what is there.</summary>
    public static void Edge(IHeaderDictionary headers, LaneConnection connection, EdgePolicy policy)
    {
        if (connection.IsTls)
        {
            foreach (EdgeHeader header in policy.HttpsHeaders)
            {
                headers[header.Name] = header.Value;
            }
        }
    }
}
