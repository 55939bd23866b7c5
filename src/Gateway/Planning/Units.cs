using System.Globalization;

namespace Gateway.Planning;

/// <summary>Durations, sizes, ports and switches as operators write them; one grammar for tags, Meta, files and flags.</summary>
internal static class Units
{
    /// <summary>What a duration looks like, for messages.</summary>
    public const string DurationForm = "a number with ms, s, m or h, like 250ms, 10s, 5m";

    /// <summary>What a size looks like, for messages.</summary>
    public const string SizeForm = "a number with B, KiB, MiB or GiB, like 64KiB";

    /// <summary>What a switch looks like, for messages.</summary>
    public const string BooleanForm = "on, off, true or false";

    /// <summary>What a port looks like, for messages.</summary>
    public const string PortForm = "a port from 1 to 65535 without leading zeros";

    /// <summary>
    /// Parses <c>250ms</c>, <c>10s</c>, <c>5m</c>, <c>1h</c>, <c>1.5s</c> and a bare <c>0</c>. Up to 30 days, in whole
    /// microseconds (what is finer is rounded), so that <see cref="Duration"/> gives the same value back.
    /// </summary>
    public static bool TryDuration(ReadOnlySpan<char> text, out TimeSpan duration)
    {
        duration = TimeSpan.Zero;
        if (text is "0")
        {
            return true;
        }

        (int suffix, decimal microseconds) = text switch
        {
            [.., 'm', 's'] => (2, 1_000m),
            [.., 's'] => (1, 1_000_000m),
            [.., 'm'] => (1, 60_000_000m),
            [.., 'h'] => (1, 3_600_000_000m),
            _ => (0, 0m),
        };

        // 20 digits: far more than 30 days in milliseconds need, few enough that no multiplication below can overflow.
        ReadOnlySpan<char> digits = text[..^suffix];
        if (suffix == 0
            || digits.Length is 0 or > 20
            || !char.IsAsciiDigit(digits[0])
            || !char.IsAsciiDigit(digits[^1])
            || !decimal.TryParse(digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out decimal number)
            || number > 2_592_000_000m
            || number * microseconds > 2_592_000_000_000m)
        {
            return false;
        }

        duration = TimeSpan.FromTicks((long)Math.Round(number * microseconds) * TimeSpan.TicksPerMicrosecond);
        return true;
    }

    /// <summary>Renders a duration so that <see cref="TryDuration"/> reads it back.</summary>
    public static string Duration(TimeSpan value) => value switch
    {
        { Ticks: 0 } => "0s",
        _ when value.Ticks % TimeSpan.TicksPerHour == 0 => $"{value.Ticks / TimeSpan.TicksPerHour}h",
        _ when value.Ticks % TimeSpan.TicksPerMinute == 0 => $"{value.Ticks / TimeSpan.TicksPerMinute}m",
        _ when value.Ticks % TimeSpan.TicksPerSecond == 0 => $"{value.Ticks / TimeSpan.TicksPerSecond}s",
        _ => string.Create(CultureInfo.InvariantCulture, $"{value.Ticks / (decimal)TimeSpan.TicksPerMillisecond:0.####}ms"),
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
            bytes = 0;
            return false;
        }

        bytes <<= shift;
        return true;
    }

    /// <summary>Renders a size so that <see cref="TrySize"/> reads it back.</summary>
    public static string Size(long bytes) => bytes switch
    {
        0 => "0B",
        _ when bytes % (1L << 30) == 0 => $"{bytes >> 30}GiB",
        _ when bytes % (1L << 20) == 0 => $"{bytes >> 20}MiB",
        _ when bytes % (1L << 10) == 0 => $"{bytes >> 10}KiB",
        _ => $"{bytes}B",
    };

    /// <summary>Parses <c>on</c>, <c>off</c>, <c>true</c> and <c>false</c>, without case.</summary>
    public static bool TryBoolean(ReadOnlySpan<char> text, out bool value)
    {
        value = Is(text, "on") || Is(text, "true");
        return value || Is(text, "off") || Is(text, "false");

        static bool Is(ReadOnlySpan<char> text, string word) => text.Equals(word, StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>Parses a port, 1-65535 in ASCII digits: without leading zeros, <c>03000</c> is a typing error, not 3000.</summary>
    public static bool TryPort(ReadOnlySpan<char> text, out int port)
    {
        port = 0;
        if (text.Length is 0 or > 5 || text[0] == '0')
        {
            return false;
        }

        int number = 0;
        foreach (char digit in text)
        {
            if (!char.IsAsciiDigit(digit))
            {
                return false;
            }

            number = (number * 10) + (digit - '0');
        }

        port = number <= 65535 ? number : 0;
        return port != 0;
    }
}
