using System.Globalization;
using System.Text;

namespace Gateway.Catalog;

/// <summary>
/// Something an operator should see: where, what value, what is allowed, what happens now. A value, never an exception, so
/// that one team's typo is never everyone's outage.
/// </summary>
public sealed record Problem
{
    /// <summary>Stable code in kebab case, for alerts and searches, for example <c>port-taken</c>.</summary>
    public required string Code { get; init; }

    /// <summary>Service concerned, or null.</summary>
    public string? Service { get; init; }

    /// <summary>Instance concerned as <c>NODE/ID</c>, or null.</summary>
    public string? Instance { get; init; }

    /// <summary>Where it is: a tag, a key, a file with line and column, a socket, a URL.</summary>
    public required string Place { get; init; }

    /// <summary>The offending value, or null.</summary>
    public string? Value { get; init; }

    /// <summary>What is allowed there, or null.</summary>
    public string? Allowed { get; init; }

    /// <summary>What happens now, and what to do.</summary>
    public required string Now { get; init; }

    /// <summary>
    /// <see cref="Value"/> is what was seen last, an error's text for example, and changes while the problem stays the same one.
    /// <see cref="Now"/> may always change: a problem is known by its code, service, instance, place and, without this, value.
    /// </summary>
    public bool ValueMoves { get; init; }

    /// <summary>One sentence: where, value, allowed, now.</summary>
    public override string ToString()
    {
        List<string> where = [];
        if (Service is not null)
        {
            where.Add($"service '{Shorten(Service)}'");
        }

        if (Instance is not null)
        {
            where.Add($"instance '{Shorten(Instance)}'");
        }

        where.Add(Value is null ? Place : $"{Place} '{Shorten(Value)}'");
        string what = Allowed is null ? Code : $"{Code}: allowed is {Allowed}";
        return OneLine($"{string.Join(", ", where)}: {what}; {Now}");
    }

    // Names and tags come from anybody who may register: they must neither forge a line of a log nor paint a terminal.
    private static string OneLine(string text)
    {
        if (!text.Any(IsUnprintable))
        {
            return text;
        }

        StringBuilder line = new(text.Length + 16);
        foreach (char c in text)
        {
            _ = IsUnprintable(c) ? line.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}") : line.Append(c);
        }

        return line.ToString();
    }

    private static bool IsUnprintable(char c) =>
        char.IsControl(c) || char.GetUnicodeCategory(c) is UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator
            or UnicodeCategory.Format;

    private static string Shorten(string value) => value.Length <= 200 ? value : $"{value[..200]}… ({value.Length} characters)";
}
