namespace Gateway.Planning;

/// <summary>Host names and path prefixes of routes: validated here, so that traffic only compares.</summary>
internal static class HostNames
{
    /// <summary>What a host may be, for messages.</summary>
    public const string HostForm = "a DNS name in ASCII without port, or *. before one";

    /// <summary>What a prefix may be, for messages.</summary>
    public const string PrefixForm = "a path without query, empty segments, . and ..";

    /// <summary>
    /// Lower case, one trailing dot dropped, <c>*.</c> allowed in front. False when it is no name a client could send in Host.
    /// </summary>
    public static bool TryHost(ReadOnlySpan<char> text, out string host)
    {
        host = "";
        if (text.EndsWith("."))
        {
            text = text[..^1];
        }

        ReadOnlySpan<char> name = text.StartsWith("*.") ? text[2..] : text;
        if (name.Length is 0 or > 253 || !IsName(name))
        {
            return false;
        }

        host = string.Create(text.Length, text, static (span, from) => from.ToLowerInvariant(span));
        return true;
    }

    /// <summary>Whether it is dot-separated labels of letters, digits, <c>-</c> and <c>_</c>, each 1-63 long.</summary>
    public static bool IsName(ReadOnlySpan<char> name)
    {
        int start = 0;
        for (int i = 0; i <= name.Length; i++)
        {
            if (i < name.Length && name[i] != '.')
            {
                if (!char.IsAsciiLetterOrDigit(name[i]) && name[i] is not ('-' or '_'))
                {
                    return false;
                }

                continue;
            }

            if (i - start is 0 or > 63 || name[start] == '-' || name[i - 1] == '-')
            {
                return false;
            }

            start = i + 1;
        }

        return true;
    }

    /// <summary>A path prefix on segment borders, without its trailing slash; <c>/</c> for everything.</summary>
    public static bool TryPrefix(ReadOnlySpan<char> text, out string prefix)
    {
        prefix = "/";
        if (text is "" or "/")
        {
            return true;
        }

        if (text.EndsWith("/"))
        {
            text = text[..^1];
        }

        if (text.Length > 1024 || text[0] != '/')
        {
            return false;
        }

        foreach (Range range in text[1..].Split('/'))
        {
            ReadOnlySpan<char> segment = text[1..][range];
            if (segment is "" or "." or ".." || !IsSegment(segment))
            {
                return false;
            }
        }

        prefix = text.ToString();
        return true;
    }

    // RFC 3986 §3.3: pchar. What a path cannot carry can never match, so it is a mistake and not a prefix.
    private static bool IsSegment(ReadOnlySpan<char> segment)
    {
        for (int i = 0; i < segment.Length; i++)
        {
            char c = segment[i];
            if (c == '%')
            {
                if (i + 2 >= segment.Length || !char.IsAsciiHexDigit(segment[i + 1]) || !char.IsAsciiHexDigit(segment[i + 2]))
                {
                    return false;
                }

                i += 2;
            }
            else if (!char.IsAsciiLetterOrDigit(c) && !"-._~!$&'()*+,;=:@".Contains(c, StringComparison.Ordinal))
            {
                return false;
            }
        }

        return true;
    }
}
