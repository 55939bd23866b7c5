using System.Text;

namespace Gateway.DataPlane.Http.KestrelLane;

/// <summary>
/// Decodes a line of a request's Connection header so that its names survive Kestrel. Kestrel replaces a header that holds
/// exactly one of keep-alive, close and upgrade by that one word (HttpHeaders.ParseConnection), and the names of headers
/// that end here are gone: <c>Connection: keep-alive, X-Secret</c> would let X-Secret through. A line that names headers
/// therefore comes out with two of the words in it - close beside keep-alive, or keep-alive beside upgrade - which Kestrel
/// leaves alone; close wins, so such a request, rare as it is, is its connection's last. RFC 9112 §9.3: a server may close
/// whenever it likes.
/// </summary>
internal sealed unsafe class ConnectionHeader : Encoding
{
    /// <summary>The one there is.</summary>
    public static readonly ConnectionHeader Instance = new();

    /// <inheritdoc/>
    public override int GetByteCount(char[] chars, int index, int count) => count;

    /// <inheritdoc/>
    public override int GetBytes(char[] chars, int charIndex, int charCount, byte[] bytes, int byteIndex) =>
        Latin1.GetBytes(chars, charIndex, charCount, bytes, byteIndex);

    /// <inheritdoc/>
    public override int GetCharCount(byte[] bytes, int index, int count) => Decode(bytes.AsSpan(index, count)).Length;

    /// <inheritdoc/>
    public override int GetCharCount(byte* bytes, int count) => Decode(new ReadOnlySpan<byte>(bytes, count)).Length;

    /// <inheritdoc/>
    public override int GetChars(byte[] bytes, int byteIndex, int byteCount, char[] chars, int charIndex)
    {
        string decoded = Decode(bytes.AsSpan(byteIndex, byteCount));
        decoded.CopyTo(chars.AsSpan(charIndex));
        return decoded.Length;
    }

    /// <inheritdoc/>
    public override int GetChars(byte* bytes, int byteCount, char* chars, int charCount)
    {
        string decoded = Decode(new ReadOnlySpan<byte>(bytes, byteCount));
        decoded.CopyTo(new Span<char>(chars, charCount));
        return decoded.Length;
    }

    /// <inheritdoc/>
    public override int GetMaxByteCount(int charCount) => charCount;

    /// <inheritdoc/>
    public override int GetMaxCharCount(int byteCount) => byteCount + Both.Length;

    private const string Both = ", close, keep-alive";

    /// <summary>One line as Kestrel is to see it.</summary>
    internal static string Decode(ReadOnlySpan<byte> line)
    {
        if (Ascii.EqualsIgnoreCase(line, "keep-alive"u8))
        {
            return "keep-alive";
        }

        string text = Latin1.GetString(line);
        bool upgrades = false;
        bool names = false;
        foreach (Range part in text.AsSpan().Split(','))
        {
            ReadOnlySpan<char> word = text.AsSpan(part).Trim(" \t");
            bool upgrade = word.Equals("upgrade", StringComparison.OrdinalIgnoreCase);
            upgrades |= upgrade;
            names |= !(word.IsEmpty || upgrade || word.Equals("keep-alive", StringComparison.OrdinalIgnoreCase)
                || word.Equals("close", StringComparison.OrdinalIgnoreCase) || HeaderRules.EndsHere(word));
        }

        return !names ? text : upgrades ? text + ", keep-alive" : text + Both;
    }
}
