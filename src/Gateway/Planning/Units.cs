using System.Globalization;

namespace Gateway.Planning;

/// <summary>Durations and sizes as operators write them; one grammar for tags, Meta, files and flags.</summary>
internal static class Units
{
    /// <summary>What a duration looks like, for messages.</summary>
    public const string DurationForm = "a number with ms, s, m or h, like 250ms, 10s, 5m";

    /// <summary>What a size looks like, for messages.</summary>
    public const string SizeForm = "a number with B, KiB, MiB or GiB, like 64KiB";

    /// <summary>Parses <c>250ms</c>, <c>10s</c>, <c>5m</c>, <c>1h</c>, and a bare <c>0</c>. Up to 30 days.</summary>
    public static bool TryDuration(ReadOnlySpan<char> text, out TimeSpan duration)
    {
        duration = TimeSpan.Zero;
        if (text is "0")
        {
            return true;
        }

        (int suffix, double scale) = text switch
        {
            [.., 'm', 's'] => (2, 1d),
            [.., 's'] => (1, 1_000d),
            [.., 'm'] => (1, 60_000d),
            [.., 'h'] => (1, 3_600_000d),
            _ => (0, 0d),
        };
        if (suffix == 0
            || !char.IsAsciiDigit(text[0])
            || !double.TryParse(text[..^suffix], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number)
            || number * scale > TimeSpan.FromDays(30).TotalMilliseconds)
        {
            return false;
        }

        duration = TimeSpan.FromMilliseconds(number * scale);
        return true;
    }

    /// <summary>Renders a duration so that <see cref="TryDuration"/> reads it back.</summary>
    public static string Duration(TimeSpan value) => value switch
    {
        { Ticks: 0 } => "0s",
        _ when value.Ticks % TimeSpan.TicksPerHour == 0 => $"{value.Ticks / TimeSpan.TicksPerHour}h",
        _ when value.Ticks % TimeSpan.TicksPerMinute == 0 => $"{value.Ticks / TimeSpan.TicksPerMinute}m",
        _ when value.Ticks % TimeSpan.TicksPerSecond == 0 => $"{value.Ticks / TimeSpan.TicksPerSecond}s",
        _ => string.Create(CultureInfo.InvariantCulture, $"{value.TotalMilliseconds:0.###}ms"),
    };

    /// <summary>Parses <c>512B</c>, <c>64KiB</c>, <c>8MiB</c>, <c>1GiB</c>, and a bare number of bytes.</summary>
    public static bool TrySize(ReadOnlySpan<char> text, out long bytes)
    {
        (int suffix, int shift) = text switch
        {
            [.., 'K', 'i', 'B'] => (3, 10),
            [.., 'M', 'i', 'B'] => (3, 20),
            [.., 'G', 'i', 'B'] => (3, 30),
            [.., 'B'] => (1, 0),
            _ => (0, 0),
        };
        if (!long.TryParse(text[..^suffix], NumberStyles.None, CultureInfo.InvariantCulture, out bytes)
            || bytes > long.MaxValue >> (shift + 1))
        {
            return false;
        }

        bytes <<= shift;
        return true;
    }
}
