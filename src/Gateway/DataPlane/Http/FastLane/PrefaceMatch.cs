namespace Gateway.DataPlane.Http.FastLane;

/// <summary>RFC 9113 §3.4: how a client of HTTP/2 begins. In plaintext there is no ALPN, so these bytes are all there is.</summary>
internal static class PrefaceMatch
{
    private static ReadOnlySpan<byte> Preface => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8;

    /// <summary>Whether a connection that began with these bytes speaks HTTP/2; null: they are too few to tell.</summary>
    public static bool? Is(ReadOnlySpan<byte> bytes)
    {
        int length = Math.Min(bytes.Length, Preface.Length);
        return !bytes[..length].SequenceEqual(Preface[..length]) ? false : length == Preface.Length ? true : null;
    }
}
