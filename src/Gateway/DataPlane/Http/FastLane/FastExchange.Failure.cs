using System.Text;
using Gateway.DataPlane.Loops;

namespace Gateway.DataPlane.Http.FastLane;

/// <content>Answers of our own.</content>
internal sealed partial class FastExchange
{
    private FailureLanguage _language;

    private void ChooseLanguage(RequestHead head, ReadOnlySpan<byte> raw) => _language = FailureBody.Choose(
        Text(head.Find(KnownHeader.ContentType), raw), Text(head.Find(KnownHeader.Accept), raw));

    private static string? Text(Part? part, ReadOnlySpan<byte> raw) => part is { } found ? Encoding.Latin1.GetString(found.Of(raw)) : null;

    // Tells the client why no instance answers it. The answer must not have begun.
    private void Fail(Reason reason)
    {
        // The language stands in the head, of which our copy is all that is left by now.
        if (_head is not null && on.Request.Parse(_head.AsSpan(0, _headLength)) == ParseStatus.Complete)
        {
            ChooseLanguage(on.Request, _head.AsSpan(0, _headLength));
        }

        NameFailure();
        _reason = reason;
        bool grpc = _language == FailureLanguage.Grpc;
        byte[] body = FailureBody.Render(_language, reason, _requestId);
        StringBuilder head = new(256);
        head.Append("HTTP/1.1 ").Append(grpc ? 200 : reason.Status).Append(' ').Append(grpc ? "OK" : StatusPhrase.Of(reason.Status));
        head.Append("\r\nX-Gateway-Reason: ").Append(reason.Code);
        head.Append("\r\nX-Request-Id: ").Append(_requestId);
        head.Append("\r\nContent-Type: ").Append(FailureBody.ContentType(_language));
        head.Append("\r\nCache-Control: no-store");
        if (grpc)
        {
            head.Append("\r\ngrpc-status: ").Append(reason.GrpcStatus).Append("\r\ngrpc-message: ").Append(reason.Code).Append(": ").Append(reason.Text);
        }

        head.Append("\r\nContent-Length: ").Append(body.Length);
        Answer(grpc ? 200 : reason.Status, head, _method == MethodKind.Head ? [] : body);
    }

    // RFC 9110 §9.3.7: with an asterisk it asks about the server as a whole, and that is us.
    private void AnswerOptions() => Answer(204, new StringBuilder("HTTP/1.1 204 No Content"), []);

    private void Answer(int status, StringBuilder head, byte[] body)
    {
        _stage = Stage.Failing;
        _status = status;

        // What is left of the body would be read as the next request, so a client that has one is not kept.
        _keepClient = _clientKeepsAlive && _upload.IsDone && !_uploadBegan && !Lane.Draining && !_listener.Closing && !_listener.Plan.Lingering;
        head.Append("\r\nDate: ").Append(Encoding.ASCII.GetString(on.Date));
        if (!_keepClient)
        {
            head.Append("\r\nConnection: close");
        }
        else if (_minorVersion == 0)
        {
            head.Append("\r\nConnection: keep-alive");
        }

        head.Append("\r\n\r\n");
        _headSent = true;
        _bytesOut += body.Length;
        if (_toClient.Send(_client, Encoding.ASCII.GetBytes(head.ToString()), body) < 0)
        {
            ClientLeft();
            return;
        }

        FlushFailure();
    }

    private void FlushFailure()
    {
        if (!_toClient.IsEmpty && _client.CanWrite && _toClient.Flush(_client) < 0)
        {
            ClientLeft();
            return;
        }

        if (!_toClient.IsEmpty)
        {
            WaitForClient();
            return;
        }

        bool keep = _keepClient;
        ClientConnection client = _client;
        Finish(reuse: false);
        client.ExchangeEnded(keep, linger: !keep);
    }
}

/// <summary>Reason phrases of the answers that are ours (RFC 9110 §15).</summary>
internal static class StatusPhrase
{
    /// <summary>The phrase of a status; empty where it is none of ours.</summary>
    public static string Of(int status) => status switch
    {
        400 => "Bad Request",
        404 => "Not Found",
        408 => "Request Timeout",
        413 => "Content Too Large",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        508 => "Loop Detected",
        _ => "",
    };
}
