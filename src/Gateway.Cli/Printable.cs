using System.Globalization;
using System.Text;

namespace Gateway.Cli;

/// <summary>
/// What comes from a catalog was written by somebody else: its control characters must not reach a terminal, where they could
/// move the cursor, forge a line or hide one.
/// </summary>
internal static class Printable
{
    /// <summary>The text with control and format characters written as <c>\u001b</c>.</summary>
    public static string Of(string text)
    {
        if (!text.Any(IsUnsafe))
        {
            return text;
        }

        StringBuilder safe = new(text.Length + 16);
        foreach (char c in text)
        {
            _ = IsUnsafe(c) ? safe.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}") : safe.Append(c);
        }

        return safe.ToString();
    }

    private static bool IsUnsafe(char c) => char.IsControl(c) || char.GetUnicodeCategory(c) == UnicodeCategory.Format;
}
