using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>What a tag turned out to be.</summary>
internal enum TagKind
{
    /// <summary>Somebody else's.</summary>
    Other,

    /// <summary>The name of an environment.</summary>
    Environment,

    /// <summary><c>internal-listen-PROTOCOL-PORT</c>.</summary>
    Listen,

    /// <summary><c>external-host-HOST[/PREFIX]</c>.</summary>
    Host,

    /// <summary><c>balance-…</c> or <c>gateway-KEY=VALUE</c>.</summary>
    Setting,

    /// <summary>Ours, and wrong.</summary>
    Wrong,
}

/// <summary>A tag that was read. Only the members of its kind have a meaning.</summary>
internal readonly record struct Tag(TagKind Kind)
{
    /// <summary>Environment: index in the planner's list.</summary>
    public int Environment { get; init; }

    /// <summary>Listen: what is spoken.</summary>
    public ListenProtocol Protocol { get; init; }

    /// <summary>Listen: the port as tagged.</summary>
    public int Port { get; init; }

    /// <summary>Host: in lower case.</summary>
    public string Host { get; init; } = "";

    /// <summary>Host: path prefix.</summary>
    public string Prefix { get; init; } = "/";

    /// <summary>Setting: what it tells; null when it is a default that needs no telling.</summary>
    public SettingSlot? Slot { get; init; }

    /// <summary>Setting: canonical text.</summary>
    public string? Value { get; init; }

    /// <summary>Wrong: problem code.</summary>
    public string Code { get; init; } = "";

    /// <summary>Wrong: what is allowed.</summary>
    public string Allowed { get; init; } = "";

    /// <summary>Wrong: what happens now, beyond that the tag is ignored.</summary>
    public string Now { get; init; } = Ignored;

    /// <summary>What happens to a wrong tag.</summary>
    public const string Ignored = "tag ignored; the instance's other tags stand";
}

/// <summary>
/// The one tag grammar. A tag in; what it says out, or what is wrong with it. Anchored at both ends, without case, blanks around
/// it do not count. Tags of other tools (also Fabio's urlprefix- and Traefik's traefik.) are nobody's mistake.
/// </summary>
internal sealed class TagGrammar(Dictionary<string, int> environments)
{
    private const string Listen = "internal-listen-";
    private const string External = "external-host-";
    private const string Balance = "balance-";
    private const string Setting = "gateway-";
    private const string ListenForm = "internal-listen-http-PORT or internal-listen-tcp-PORT";
    private const string ExternalForm = "external-host-HOST or external-host-HOST/PREFIX";

    /// <summary>Reads one tag.</summary>
    public Tag Read(string raw)
    {
        string text = raw.Trim();
        if (environments.TryGetValue(text, out int environment))
        {
            return new Tag(TagKind.Environment) { Environment = environment };
        }

        if (StartsWith(text, Listen))
        {
            return ReadListen(text.AsSpan(Listen.Length));
        }

        if (StartsWith(text, External))
        {
            return ReadHost(text.AsSpan(External.Length));
        }

        if (StartsWith(text, Balance))
        {
            return ReadSetting("balance", text[Balance.Length..]);
        }

        if (StartsWith(text, Setting))
        {
            int equals = text.IndexOf('=', StringComparison.Ordinal);
            return equals < 0
                ? ReadSetting(text[Setting.Length..], "true")
                : ReadSetting(text[Setting.Length..equals], text[(equals + 1)..]);
        }

        // T9: consul-template's regular expression was not anchored, so x-internal-listen-http-3000y once opened a port. It must
        // not, but whoever wrote it meant something.
        if (text.Contains(Listen, StringComparison.OrdinalIgnoreCase))
        {
            return Wrong(ProblemCodes.TagMalformed, ListenForm);
        }

        return text.Contains(External, StringComparison.OrdinalIgnoreCase)
            ? Wrong(ProblemCodes.TagMalformed, ExternalForm)
            : new Tag(TagKind.Other);
    }

    /// <summary>Reads one Meta entry; kind Other when its key is not ours.</summary>
    public static Tag ReadMeta(string key, string value)
    {
        if (key.Length < Setting.Length || !StartsWith(key, "gateway") || key[Setting.Length - 1] is not ('-' or '_'))
        {
            return new Tag(TagKind.Other);
        }

        string name = key[Setting.Length..];
        Tag read = ReadSetting(SettingGrammar.FindMeta(name), name, value);
        return read.Kind == TagKind.Wrong ? read with { Now = "Meta entry ignored; the instance's other values stand" } : read;
    }

    /// <summary>The environment that an unknown tag probably meant, or null.</summary>
    public string? NearMiss(string raw)
    {
        ReadOnlySpan<char> text = raw.AsSpan().Trim();
        foreach (string name in environments.Keys)
        {
            // Two typing errors in a long name are one word mistyped; in a shorter one they are another word: tagging, sharing and
            // scaling are all that near to staging, and a near miss takes the instance out. Nobody mistypes the first letter too.
            int max = name.Length >= 10 ? 2 : name.Length >= 4 ? 1 : 0;
            int errors = max == 0 ? 1 : EditDistance.Between(text, name, max);
            if (errors <= max && (errors < 2 || char.ToLowerInvariant(text[0]) == char.ToLowerInvariant(name[0])))
            {
                return name;
            }
        }

        return null;
    }

    private static Tag ReadListen(ReadOnlySpan<char> text)
    {
        int dash = text.IndexOf('-');
        ReadOnlySpan<char> protocol = dash < 0 ? text : text[..dash];
        bool http = protocol.Equals("http", StringComparison.OrdinalIgnoreCase);
        if (dash < 0 || (!http && !protocol.Equals("tcp", StringComparison.OrdinalIgnoreCase)))
        {
            return Wrong(ProblemCodes.TagMalformed, ListenForm);
        }

        return Units.TryPort(text[(dash + 1)..], out int port)
            ? new Tag(TagKind.Listen) { Protocol = http ? ListenProtocol.Http : ListenProtocol.Tcp, Port = port }
            : Wrong(ProblemCodes.PortInvalid, Units.PortForm);
    }

    private static Tag ReadHost(ReadOnlySpan<char> text)
    {
        int slash = text.IndexOf('/');
        if (!HostNames.TryHost(slash < 0 ? text : text[..slash], out string host))
        {
            return Wrong(ProblemCodes.HostInvalid, HostNames.HostForm);
        }

        return HostNames.TryPrefix(slash < 0 ? "/" : text[slash..], out string prefix)
            ? new Tag(TagKind.Host) { Host = host, Prefix = prefix }
            : Wrong(ProblemCodes.HostInvalid, HostNames.PrefixForm);
    }

    private static Tag ReadSetting(string name, string value) => name.Trim().Length == 0
        ? Wrong(ProblemCodes.TagMalformed, "gateway-KEY=VALUE")
        : ReadSetting(SettingGrammar.Find(name), name, value);

    private static Tag ReadSetting(SettingKey? key, string name, string value)
    {
        SettingReading reading = key?.Read(value) ?? SettingReading.Invalid;
        if (key is not null && reading.Fault == SettingFault.None)
        {
            return new Tag(TagKind.Setting) { Slot = key.Slot, Value = reading.Canonical };
        }

        Tag wrong = Wrong(SettingGrammar.CodeOf(key, reading.Fault), key?.Allowed ?? SettingGrammar.NearestOrAll(name));
        return key?.Slot is { } slot && ClusterSettings.DefaultOf(slot) is { Length: > 0 } instead
            ? wrong with
            {
                Now = $"tag ignored: {ClusterSettings.NameOf(slot)} is {instead} unless the file, Meta or other instances say more",
            }
            : wrong;
    }

    private static Tag Wrong(string code, string allowed) => new(TagKind.Wrong) { Code = code, Allowed = allowed };

    private static bool StartsWith(string text, string prefix) => text.StartsWith(prefix, StringComparison.OrdinalIgnoreCase);
}
