using System.Security.Cryptography;
using Gateway.Observability;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;

namespace Gateway.DataPlane.Http.KestrelLane;

/// <summary>
/// Requests that Kestrel's parser refuses (a second Host, a head too large or too slow) never reach an application. Kestrel tells
/// of them by a diagnostic event in the middle of refusing; here they get our headers and a record like every failure of ours.
/// </summary>
internal sealed class RefusalWatch(GatewayApplication application, RequestRecords records, TimeProvider clock, ILogger logger)
    : IObserver<KeyValuePair<string, object?>>
{
    private const string EventName = "Microsoft.AspNetCore.Server.Kestrel.BadRequest";

    /// <summary>Whether an event is one of ours.</summary>
    public static bool IsEvent(string name) => name == EventName;

    /// <inheritdoc/>
    public void OnNext(KeyValuePair<string, object?> value)
    {
        try
        {
            if (value.Value is IFeatureCollection features && features.Get<LaneConnection>() is { } connection)
            {
                Refuse(features, connection);
            }
        }
        catch (Exception e)
        {
            // An exception here would be thrown into Kestrel's parser.
            logger.LogError(e, "a refused request could not be answered");
        }
    }

    /// <inheritdoc/>
    public void OnCompleted()
    {
    }

    /// <inheritdoc/>
    public void OnError(Exception error)
    {
    }

    private void Refuse(IFeatureCollection features, LaneConnection connection)
    {
        // A body that breaks the rules is met twice: by the request that it belongs to, and by Kestrel, which reads what that has
        // left of it. The request has answered by then and has a record of its own.
        if (features.Get<IHttpResponseFeature>() is { HasStarted: true })
        {
            return;
        }

        int status = (features.Get<IBadRequestExceptionFeature>()?.Error as BadHttpRequestException)?.StatusCode ?? 400;
        Reason reason = Reason.Refused(status);
        string id = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8));
        IHttpRequestFeature? request = features.Get<IHttpRequestFeature>();
        IHttpResponseFeature? response = features.Get<IHttpResponseFeature>();
        if (response is { HasStarted: false })
        {
            // Started here, because Kestrel clears the headers once more before it sends them itself. The body goes past Kestrel,
            // which may not have a stream for it yet; it is framed by the length, and Kestrel closes the connection right after.
            FailureLanguage language = FailureBody.Choose(request?.Headers.ContentType, request?.Headers.Accept.ToString());
            byte[] body = connection.IsHttp2 || request?.Method == HttpMethods.Head
                ? []
                : FailureBody.Render(language, reason, id);
            response.StatusCode = reason.Status;
            FailureWriter.Head(response.Headers, reason, id, FailureBody.ContentType(language));
            FailureWriter.Edge(response.Headers, connection, application.Edge);
            response.Headers.ContentLength = body.Length;
            response.Headers.Connection = "close";
            if (features.Get<IHttpResponseBodyFeature>()?.StartAsync() is { IsCompletedSuccessfully: true } && body.Length > 0)
            {
                connection.Write(body);
            }
        }

        records.Write(new AccessRecord
        {
            Started = clock.GetUtcNow(),
            Client = connection.Client,
            Listener = connection.Listener.Name,
            Service = connection.Listener.Plan.Service,
            Environment = connection.Listener.Plan.Environment,
            Destination = "",
            DestinationAddress = "",
            Protocol = request?.Protocol ?? "",
            Method = request?.Method ?? "",
            Host = "",
            Target = request?.RawTarget ?? "",
            Status = reason.Status,
            Reason = reason.Code,
            RequestId = id,
            ConnectMs = -1,
            ResponseMs = -1,
        });
    }
}
