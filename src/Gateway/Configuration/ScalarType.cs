using System.Globalization;
using System.Net;
using Gateway.Planning;

namespace Gateway.Configuration;

/// <summary>A typed value, or what is wrong with the text.</summary>
internal readonly record struct Parsed(object? Value, string? Error)
{
    public static Parsed Of(object? value) => new(value, null);

    public static Parsed Bad(string error) => new(null, error);
}

/// <summary>What a value must look like.</summary>
/// <param name="Form">What is allowed, for messages and documentation: unit and range.</param>
/// <param name="Parse">Types the text of a scalar that is not null.</param>
internal sealed record ScalarType(string Form, Func<YamlScalar, Parsed> Parse)
{
    /// <summary>The value is a path; made absolute from the file's folder.</summary>
    public bool IsPath { get; init; }
}

/// <summary>The types of scalars that the schema uses.</summary>
internal static class ScalarTypes
{
    /// <summary>on, off, true or false, without quotes.</summary>
    public static readonly ScalarType OnOff = new("on, off, true or false", s => s switch
    {
        { Quoted: false, Text: "on" or "true" } => Parsed.Of(true),
        { Quoted: false, Text: "off" or "false" } => Parsed.Of(false),
        { Quoted: true, Text: "on" or "true" or "off" or "false" } =>
            Parsed.Bad($"'{s.Text}' is text because of its quotes; write {s.Text} without them"),
        _ => Parsed.Bad($"{Show(s)} is not a boolean; allowed is on, off, true or false"),
    });

    /// <summary>A percentage from 0% to 100%.</summary>
    public static readonly ScalarType Percent = new("0%-100%", s =>
        s.Text is [.. var digits, '%']
        && int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out int percent)
        && percent <= 100
            ? Parsed.Of(percent)
            : Parsed.Bad($"{Show(s)} is not a percentage; allowed is 0%-100%"));

    /// <summary>A percentage from 0% to 100%, or off, which is 100%: nothing is above it.</summary>
    public static readonly ScalarType PercentOrOff = new("0%-100%, or off", s =>
        s is { Quoted: false, Text: "off" } ? Parsed.Of(100)
        : Percent.Parse(s) is { Error: null } percent ? percent
        : Parsed.Bad($"{Show(s)} is not a percentage; allowed is 0%-100%, or off"));

    /// <summary>A file or directory.</summary>
    public static readonly ScalarType FilePath = TextType("a path", static _ => true) with { IsPath = true };

    /// <summary>Any text.</summary>
    public static readonly ScalarType AnyText = TextType("text", static _ => true);

    /// <summary>Value of a header. RFC 9110 section 5.5: visible ASCII, with blanks inside.</summary>
    public static readonly ScalarType HeaderValue = TextType(
        "a header value in ASCII", static t => t == t.Trim() && t.All(c => c is >= ' ' and <= '~'));

    /// <summary>A host name.</summary>
    public static readonly ScalarType HostName = TextType(
        "a host name", AddressForms.IsHostName, static t => t.ToLowerInvariant());

    /// <summary>Name of a datacenter.</summary>
    public static readonly ScalarType Datacenter = TextType(
        "letters, digits, hyphens and underscores", t => t.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'));

    /// <summary>Name of an environment.</summary>
    public static readonly ScalarType EnvironmentName = new(
        EnvironmentForms.NameForm,
        s => EnvironmentForms.NameError(s.Text) is { } error ? Parsed.Bad(error) : Parsed.Of(s.Text.ToLowerInvariant()));

    /// <summary>The port rule of an environment.</summary>
    public static readonly ScalarType PortRule = new(
        EnvironmentForms.PortForm,
        s => EnvironmentForms.PortError(s.Text) is { } error ? Parsed.Bad(error) : Parsed.Of(s.Text));

    /// <summary>The host rule of an environment.</summary>
    public static readonly ScalarType HostRule = new(
        EnvironmentForms.HostForm,
        s => EnvironmentForms.HostError(s.Text) is { } error ? Parsed.Bad(error) : Parsed.Of(s.Text.ToLowerInvariant()));

    /// <summary>An address to listen on.</summary>
    public static readonly ScalarType Listen = new(AddressForms.ListenForm, s =>
        AddressForms.TryListen(s.Text, out IPEndPoint endPoint)
            ? Parsed.Of(endPoint)
            : Parsed.Bad($"{Show(s)} is not an address to listen on; allowed is {AddressForms.ListenForm}, port 1-65535"));

    /// <summary>An address or an interface.</summary>
    public static readonly ScalarType InternalAddress = new("an IP address or an interface name", s =>
    {
        if (AddressForms.TryIp(s.Text, out IPAddress? address))
        {
            return Parsed.Of(address.ToString());
        }

        // Linux: an interface name has 1-15 bytes, neither blanks nor slashes. A host name is a likely slip.
        return s.Text is "localhost"
            ? Parsed.Bad("'localhost' is a host name; write 127.0.0.1 and \"::1\"")
            : s.Text.Length is > 0 and <= 15
                && !AddressForms.IsIpLike(s.Text)
                && s.Text.All(c => c is > ' ' and < (char)127 and not '/')
                ? Parsed.Of(s.Text)
                : Parsed.Bad($"{Show(s)} is neither an IP address (without port) nor an interface name of at most 15 characters");
    });

    /// <summary>An address or a network.</summary>
    public static readonly ScalarType Network = TextType("an IP address or a network like 10.0.0.0/8", AddressForms.TryNetwork);

    /// <summary>A server of a static service.</summary>
    public static readonly ScalarType Server = TextType("HOST:PORT or [V6]:PORT", AddressForms.IsServer);

    /// <summary>Where a route of the edge leads.</summary>
    public static readonly ScalarType ServiceReference = TextType(
        "SERVICE or SERVICE@ENV", t => t.Length > 0 && !t.StartsWith('@') && !t.EndsWith('@'));

    /// <summary>A port.</summary>
    public static readonly ScalarType Port = Integer(1, 65535);

    /// <summary>Base address of Consul.</summary>
    public static readonly ScalarType ConsulAddress = new("http://HOST:PORT, https://HOST:PORT or HOST:PORT", s =>
    {
        string text = s.Text.Contains("://", StringComparison.Ordinal) ? s.Text : "http://" + s.Text;
        if (text.StartsWith("unix:", StringComparison.Ordinal))
        {
            return Parsed.Bad(
                $"{Show(s)}: Consul is not asked over unix sockets; allowed is http://HOST:PORT or https://HOST:PORT");
        }

        return Uri.TryCreate(text, UriKind.Absolute, out Uri? uri)
            && uri.Scheme is "http" or "https"
            && uri is { Host.Length: > 0, UserInfo.Length: 0, AbsolutePath: "/", Query.Length: 0, Fragment.Length: 0, Port: > 0 }
            && !text.Contains(' ', StringComparison.Ordinal)
            ? Parsed.Of(uri)
            : Parsed.Bad($"{Show(s)} is not Consul's address; allowed is http://HOST:PORT, https://HOST:PORT or HOST:PORT");
    });

    /// <summary>A whole number in a range.</summary>
    public static ScalarType Integer(int min, int max)
    {
        string form = string.Create(CultureInfo.InvariantCulture, $"{min}-{max}");
        return new ScalarType(form, s =>
        {
            bool number = s.Text.Length > 0 && s.Text.TrimStart('-').All(char.IsAsciiDigit) && s.Text != "-";
            if (s.Quoted && number)
            {
                return Parsed.Bad($"'{s.Text}' is text because of its quotes; write {s.Text} without them");
            }

            if (!number || s.Text is ['0', _, ..])
            {
                return Parsed.Bad($"{Show(s)} is not a whole number; allowed is {form}");
            }

            return int.TryParse(s.Text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value)
                && value >= min && value <= max
                ? Parsed.Of(value)
                : Parsed.Bad($"{Show(s)} is out of range; allowed is {form}");
        });
    }

    /// <summary>A duration in a range.</summary>
    public static ScalarType Duration(TimeSpan min, TimeSpan max)
    {
        string form = $"{Units.Duration(min)}-{Units.Duration(max)}";
        return new ScalarType($"a duration, {form}", s =>
        {
            bool duration = Units.TryDuration(s.Text, out TimeSpan value);
            if (!duration && !IsLongDuration(s.Text))
            {
                return Parsed.Bad($"{Show(s)} is not a duration; allowed is {Units.DurationForm}");
            }

            return duration && value >= min && value <= max
                ? Parsed.Of(value)
                : Parsed.Bad($"{Show(s)} is out of range; allowed is {form}");
        });
    }

    /// <summary>One of a few words.</summary>
    public static ScalarType Choice(string[] built, params string[] notBuilt)
    {
        string form = string.Join(" or ", built);
        return new ScalarType(form, s =>
        {
            if (built.Contains(s.Text, StringComparer.Ordinal))
            {
                return Parsed.Of(s.Text);
            }

            if (notBuilt.Contains(s.Text, StringComparer.Ordinal))
            {
                return Parsed.Bad($"'{s.Text}' is not built yet; allowed is {form}");
            }

            string? nearest = EditDistance.Closest(s.Text, built.Concat(notBuilt));
            return Parsed.Bad($"{Show(s)} is not one of the values here; allowed is {form}, the nearest is '{nearest}'");
        });
    }

    /// <summary>A value for a message; long ones are cut.</summary>
    public static string Show(YamlScalar scalar) => scalar.Text.Length <= 100
        ? $"'{scalar.Text}'"
        : $"'{scalar.Text[..100]}…' ({scalar.Text.Length} characters)";

    // Units stops at 30 days; what only has too many digits is out of range rather than no duration.
    private static bool IsLongDuration(string text)
    {
        string number = text.TrimEnd('m', 's', 'h');
        return number.Length > 1 && number.All(char.IsAsciiDigit) && Units.TryDuration($"1{text[number.Length..]}", out _);
    }

    private static ScalarType TextType(string form, Predicate<string> allowed, Func<string, string>? normalize = null) =>
        new(form, s =>
        {
            if (s is { Quoted: false, Text: "true" or "false" or "on" or "off" })
            {
                return Parsed.Bad($"'{s.Text}' is a boolean; allowed is {form} (in quotes if '{s.Text}' is really meant)");
            }

            return s.Text.Length > 0 && !s.Text.Any(char.IsControl) && allowed(s.Text)
                ? Parsed.Of(normalize is null ? s.Text : normalize(s.Text))
                : Parsed.Bad($"{Show(s)} is not allowed; allowed is {form}");
        });
}
