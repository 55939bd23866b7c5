namespace Gateway.Configuration;

/// <summary>Names and rules of environments. Each check returns what is wrong, or null.</summary>
internal static class EnvironmentForms
{
    /// <summary>What a name looks like.</summary>
    public const string NameForm = "letters, digits, - and _, at most 63";

    /// <summary>What a port rule looks like.</summary>
    public const string PortForm = "{port} with digits around it, like {port} or 1{port}";

    /// <summary>What a host rule looks like.</summary>
    public const string HostForm = "{host} with text around it, like {host} or staging-{host}";

    // A tag beginning like this means something else (SPEC section 4), so it can never name an environment.
    private static readonly string[] s_otherTags = ["internal-listen-", "external-host-", "balance-", "gateway-", "urlprefix-", "traefik."];

    /// <summary>Checks a name: it is a tag, and stands in <c>SERVICE@ENV/INSTANCE</c>.</summary>
    public static string? NameError(string name)
    {
        if (name.Length is 0 or > 63 || !name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'))
        {
            return $"{ScalarTypes.Show(Text(name))} is not a name of an environment; allowed is {NameForm}";
        }

        string? other = Array.Find(s_otherTags, t => name.StartsWith(t, StringComparison.OrdinalIgnoreCase));
        return other is null ? null : $"'{name}' cannot name an environment: tags that begin with '{other}' mean something else";
    }

    /// <summary>Checks a port rule.</summary>
    public static string? PortError(string rule)
    {
        string bad = $"{ScalarTypes.Show(Text(rule))} is not a port rule; allowed is {PortForm}";
        string[] around = rule.Split("{port}");
        if (around.Length != 2 || !around.All(part => part.All(char.IsAsciiDigit)))
        {
            return bad;
        }

        // The shortest port has one digit, the longest five: with more than four around it no service gets a port.
        return around[0].StartsWith('0') || around[0].Length + around[1].Length > 4
            ? $"{bad}; with '{rule}' no port is ever in 1-65535"
            : null;
    }

    /// <summary>Checks a host rule.</summary>
    public static string? HostError(string rule)
    {
        string[] around = rule.Split("{host}");
        return around.Length == 2 && AddressForms.IsHostName($"{around[0]}a.b{around[1]}")
            ? null
            : $"{ScalarTypes.Show(Text(rule))} is not a host rule; allowed is {HostForm}";
    }

    private static YamlScalar Text(string text) => new(text, quoted: true, Place.Default);
}
