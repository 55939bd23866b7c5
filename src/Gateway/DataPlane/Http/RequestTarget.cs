namespace Gateway.DataPlane.Http;

/// <summary>The request target as received (RFC 9112 §3.2), and what goes on from it: path and query, byte for byte.</summary>
internal static class RequestTarget
{
    /// <summary>
    /// Path and query of an origin-form or absolute-form target, untouched. False for <c>*</c> and authority form, which name no
    /// resource of a service, and for what no URI may hold: to a lenient instance a blank, a bare CR or another control character in a
    /// target is the end of it, and HTTP/2 lets all of them through.
    /// </summary>
    public static bool TryPathAndQuery(string target, out string pathAndQuery)
    {
        pathAndQuery = "";
        if (target.AsSpan().ContainsAnyExceptInRange('!', '~'))
        {
            return false;
        }

        if (target.StartsWith('/'))
        {
            pathAndQuery = target;
            return true;
        }

        // RFC 9112 §3.2.2: absolute form is for proxies; to the instance we are the client of its origin server.
        int scheme = target.IndexOf("://", StringComparison.Ordinal);
        if (scheme <= 0)
        {
            return false;
        }

        // RFC 9110 §4.2.4: user information before a host is an error; a fragment is never sent (RFC 9112 §3.2).
        int path = target.AsSpan(scheme + 3).IndexOfAny('/', '?');
        if ((path < 0 ? target.AsSpan(scheme + 3) : target.AsSpan(scheme + 3, path)).ContainsAny('@', '#'))
        {
            return false;
        }

        pathAndQuery = path < 0 ? "/" : target[(scheme + 3 + path)..];
        if (pathAndQuery[0] == '?')
        {
            pathAndQuery = "/" + pathAndQuery;
        }

        return true;
    }

    /// <summary>The path alone, for choosing a route.</summary>
    public static ReadOnlySpan<char> Path(ReadOnlySpan<char> pathAndQuery)
    {
        int query = pathAndQuery.IndexOf('?');
        return query < 0 ? pathAndQuery : pathAndQuery[..query];
    }
}
