using System.Globalization;
using System.Text;

namespace Gateway.DataPlane.Http;

/// <summary>Languages in which a failure is told.</summary>
internal enum FailureLanguage
{
    /// <summary>For programs, and where nothing is asked for.</summary>
    Json,

    /// <summary>For browsers.</summary>
    Html,

    /// <summary>For terminals that ask for it.</summary>
    Text,

    /// <summary>For gRPC clients: no body, status and message in the head ("trailers only").</summary>
    Grpc,
}

/// <summary>Tells a client, in its language, why it gets no answer from an instance.</summary>
internal static class FailureBody
{
    /// <summary>The language of a client, from its request's Content-Type and Accept (null where absent).</summary>
    public static FailureLanguage Choose(string? contentType, string? accept)
    {
        if (IsGrpc(contentType))
        {
            return FailureLanguage.Grpc;
        }

        // What it names first of the three that we speak. Browsers name HTML first, programs JSON; */* is a program.
        ReadOnlySpan<char> rest = accept;
        foreach (Range part in rest.Split(','))
        {
            ReadOnlySpan<char> type = rest[part];
            int parameters = type.IndexOf(';');
            type = (parameters < 0 ? type : type[..parameters]).Trim();
            if (type.Equals("text/html", StringComparison.OrdinalIgnoreCase)
                || type.Equals("application/xhtml+xml", StringComparison.OrdinalIgnoreCase))
            {
                return FailureLanguage.Html;
            }

            if (type.Equals("application/json", StringComparison.OrdinalIgnoreCase)
                || type.EndsWith("+json", StringComparison.OrdinalIgnoreCase))
            {
                return FailureLanguage.Json;
            }

            if (type.Equals("text/plain", StringComparison.OrdinalIgnoreCase) || type is "text/*")
            {
                return FailureLanguage.Text;
            }
        }

        return FailureLanguage.Json;
    }

    /// <summary>
    /// Whether a Content-Type is gRPC's over HTTP/2: <c>application/grpc</c>, alone or with <c>+proto</c> or parameters.
    /// gRPC-Web is another protocol: it lives on HTTP/1.1 and keeps its trailers in the body.
    /// </summary>
    public static bool IsGrpc(string? contentType)
    {
        const string Grpc = "application/grpc";
        return contentType is not null
            && contentType.StartsWith(Grpc, StringComparison.OrdinalIgnoreCase)
            && (contentType.Length == Grpc.Length || contentType[Grpc.Length] is '+' or ';' or ' ');
    }

    /// <summary>Content-Type of an answer in that language.</summary>
    public static string ContentType(FailureLanguage language) => language switch
    {
        FailureLanguage.Html => "text/html; charset=utf-8",
        FailureLanguage.Text => "text/plain; charset=utf-8",
        FailureLanguage.Grpc => "application/grpc",
        _ => "application/json",
    };

    /// <summary>The body; empty for gRPC. Reasons and request ids hold nothing that needs escaping, and a test says so.</summary>
    public static byte[] Render(FailureLanguage language, Reason reason, string requestId)
    {
        CultureInfo c = CultureInfo.InvariantCulture;
        return language switch
        {
            FailureLanguage.Grpc => [],
            FailureLanguage.Text => Encoding.UTF8.GetBytes(
                string.Create(c, $"{reason.Status} {reason.Code}: {reason.Text}\nrequest {requestId}\n")),
            FailureLanguage.Html => Encoding.UTF8.GetBytes(string.Create(c, $"""
                <!doctype html>
                <html lang="en"><head><meta charset="utf-8"><title>{reason.Status} {reason.Code}</title></head>
                <body><h1>{reason.Status}</h1><p>{reason.Text}</p>
                <p><small>{reason.Code}, request {requestId}</small></p></body></html>

                """)),
            _ => Encoding.UTF8.GetBytes(string.Create(
                c,
                $$"""
                {"status":{{reason.Status}},"reason":"{{reason.Code}}","message":"{{reason.Text}}","requestId":"{{requestId}}"}

                """)),
        };
    }
}
